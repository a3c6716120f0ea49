"""Why an engine of ours ends without a result: one line for people, and an exit code for the Job.

Exists beside the engine so that what loads subjects can refuse too. Must not hold text of an exception.
"""


class Refusal(Exception):
    """The evaluation cannot be made; the text is one line for people, `code` one of the exit codes in task.py."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

"""Tells the story at a terminal; exit code 1 if any step did not happen."""

import sys
import time

from e2e.demo.stage import Stage
from e2e.demo.story import CHAPTERS, epilogue


def main() -> int:
    begun = time.monotonic()
    stage = Stage(begun)
    try:
        stage.set_up()
        for title, chapter in CHAPTERS:
            stage.title(title)
            chapter(stage)
        epilogue(stage)
    except KeyboardInterrupt:
        stage.say("stopped; `make demo` tells the story anew, `make demo-clean` removes everything")
        return 130
    except AssertionError as failure:
        stage.say(f"✗ {failure}")
        stage.look_closer()
        return 1
    stage.say(f"The whole story took {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

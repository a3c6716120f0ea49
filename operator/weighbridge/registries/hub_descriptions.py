"""Small descriptions among the files of a repository on the Hub, each read once however many want to know it.

Must not judge what they say.
"""

from collections.abc import Mapping

from . import hub_code
from .hub_answer import Answer
from .hub_files import content
from .hub_repo import File, Repo
from .mlflow_files import DESCRIPTION

_MOST_READ, _LARGEST_READ = 12, 2 * 1024 * 1024
"""How many descriptions of a repository are read, of those with the same content one, and how large one may be, in bytes."""


class Hidden(Exception):
    """A description that cannot be looked into, and why, for people."""


class Reader:
    """Reads descriptions of a repository, each content once."""

    def __init__(self, repo: Repo, files: Mapping[str, File]) -> None:
        self.files = files
        self._repo, self._known = repo, dict[str, Answer]()

    def descriptions(self) -> list[str]:
        """Their paths, the outermost first, but for the MLflow model at the root. Raises Hidden where there are too many."""
        names = hub_code.DESCRIPTIONS | {DESCRIPTION}
        found = [path for path in self.files if path.rpartition("/")[2] in names and path != DESCRIPTION]
        if len({self.files[path].blob for path in found}) > _MOST_READ:
            raise Hidden(f"it has more than {_MOST_READ} different descriptions, too many to look into")
        return sorted(found, key=lambda path: (path.count("/"), path))

    def read(self, path: str) -> Answer:
        """Raises Hidden, RegistryAbsent and RegistryFailed."""
        file = self.files[path]
        if file.sha256:
            raise Hidden(f"{path[:150]} cannot be looked into: it is kept outside of git")
        if file.size > _LARGEST_READ:
            raise Hidden(f"{path[:150]} cannot be looked into: it is larger than {_LARGEST_READ >> 20} MiB")
        if file.blob not in self._known:
            self._known[file.blob] = content(self._repo, path, file)
        return self._known[file.blob]

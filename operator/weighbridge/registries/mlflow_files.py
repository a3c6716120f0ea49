"""Which files an artifact has, and whether a model's files are all there. MLflow answers READY for versions whose files are gone,
so nobody believes in an artifact before its files were seen.

Must not download anything but the model description file.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from .base import RegistryAbsent, RegistryFailed
from .mlflow_answer import Answer
from .mlflow_http import Inquiry
from .mlflow_records import each, integer

DESCRIPTION = "MLmodel"
_MOST_FILES, _MOST_FOLDERS, _DEEPEST = 10_000, 500, 16
_LARGEST_DESCRIPTION = 2 * 1024 * 1024
_PATH = re.compile(r"^[^/\x00-\x1f]+(/[^/\x00-\x1f]+)*$")
_NAMES_FILE = ("model_path", "data", "pickled_model", "model_data", "model_binary", "code", "python_model")


@dataclass(frozen=True)
class Folder:
    """A folder of artifacts on the server, and how it is asked for."""

    inquiry: Inquiry
    what: str
    """What it belongs to, for messages: `fraud-detector 7`."""
    root: str
    """Path of the folder below the run or logged model; empty for the root."""
    listing: Callable[[str, str], Answer]
    """Lists one folder, by its path and page token."""
    content: Callable[[str], Answer]
    """Reads one file by its path."""

    def files(self) -> dict[str, int]:
        """All files with their sizes in bytes, by path relative to the folder; empty where there is none.

        Raises RegistryAbsent (AccessDenied, ArtifactTooLarge) and RegistryFailed.
        """
        found: dict[str, int] = {}
        waiting, listed = [self.root], 0
        while waiting:
            folder = waiting.pop()
            listed += 1
            token = ""
            while True:
                answer = self.listing(folder, token)
                if answer.status == 404:
                    return {}
                self._readable(answer)
                for entry in each(answer.record, "files"):
                    path = self._below(folder, entry.get("path"))
                    if entry.get("is_dir") is True:
                        waiting.append(path)
                    else:
                        found[path.removeprefix(f"{self.root}/") if self.root else path] = max(integer(entry, "file_size") or 0, 0)
                if len(found) > _MOST_FILES or len(waiting) + listed > _MOST_FOLDERS or folder.count("/") > _DEEPEST:
                    raise RegistryAbsent(
                        "ArtifactTooLarge",
                        f"the artifact of {self.what} has more than {_MOST_FILES} files, {_MOST_FOLDERS} folders or {_DEEPEST} "
                        "levels; "
                        "register it as fewer files",
                    )
                following = answer.record.get("next_page_token")
                if not isinstance(following, str) or following in ("", token):
                    break
                token = following
        return found

    def description(self, files: Mapping[str, int]) -> bytes:
        """The bytes of `MLmodel`. Raises RegistryAbsent (ArtifactMissing, AccessDenied)."""
        if not files.get(DESCRIPTION):
            raise RegistryAbsent(
                "ArtifactMissing",
                f"the registry knows {self.what}, but the artifact has no {DESCRIPTION} file any more; register the model again",
            )
        if files[DESCRIPTION] > _LARGEST_DESCRIPTION:
            raise RegistryAbsent(
                "ArtifactIncomplete", f"{DESCRIPTION} of {self.what} is larger than 2 MiB; it is no model description"
            )
        answer = self.content(f"{self.root}/{DESCRIPTION}" if self.root else DESCRIPTION)
        if answer.status == 404:
            raise RegistryAbsent(
                "ArtifactMissing", f"{DESCRIPTION} of {self.what} cannot be read any more; register the model again"
            )
        self._readable(answer)
        return answer.body

    def _readable(self, answer: Answer) -> None:
        if answer.status == 403:
            raise RegistryAbsent("AccessDenied", f"the credentials may not read the artifact of {self.what}; grant them READ on it")
        if answer.status != 200:
            raise RegistryFailed("RegistryMisconfigured", f"{self.inquiry.host} does not list the artifact of {self.what}")

    def _below(self, folder: str, path: object) -> str:
        """The path of an entry, which must lie in the folder that was listed: a server cannot lead elsewhere or in circles."""
        if isinstance(path, str) and len(path) <= 1024 and _PATH.match(path) and not {".", ".."} & set(path.split("/")):
            parent = path.rpartition("/")[0]
            if parent == folder:
                return path
        raise RegistryFailed(
            "RegistryMisconfigured", f"{self.inquiry.host} lists the artifact of {self.what} in a way MLflow does not"
        )


def check_complete(what: str, files: Mapping[str, int], description: bytes) -> None:
    """Every file that the description names is there and not empty. Raises RegistryAbsent(ArtifactIncomplete) naming the file."""
    try:
        content = yaml.load(description, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 both are safe loaders
        flavors = content["flavors"]
        named = sorted({name for flavor in flavors.values() if isinstance(flavor, dict) for name in _named(flavor)})
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"{DESCRIPTION} of {what} is damaged: it cannot be read as a model description; register the model again"
        raise RegistryAbsent("ArtifactIncomplete", message) from error
    if not flavors:
        raise RegistryAbsent("ArtifactIncomplete", f"{DESCRIPTION} of {what} names no flavor, so nothing can load it")
    for name in named:
        sizes = [size for path, size in files.items() if path == name or path.startswith(f"{name}/")]
        if not any(sizes):
            state = "is empty" if sizes else "is missing"
            raise RegistryAbsent(
                "ArtifactIncomplete",
                f"the file {name[:200]} of {what} {state}, though {DESCRIPTION} names it; register the model again",
            )


def _named(flavor: Mapping[str, Any]) -> set[str]:
    """Files and folders, relative to the model's folder, that a flavor cannot be loaded without."""
    found = [flavor.get(key) for key in _NAMES_FILE]
    environment = flavor.get("env")
    found += list(environment.values()) if isinstance(environment, dict) else [environment]
    if environment:
        found.append("requirements.txt")
    script = flavor.get("model_code_path")
    found.append(script.rpartition("/")[2] if isinstance(script, str) else None)  # MLflow loads it by its last part
    artifacts = flavor.get("artifacts")
    if isinstance(artifacts, dict):
        found += [entry.get("path") for entry in artifacts.values() if isinstance(entry, dict)]
    names = (name.removeprefix("./").rstrip("/") for name in found if isinstance(name, str))
    return {name for name in names if name and not name.startswith("/") and ".." not in name.split("/")}

"""Where the artifact behind an entry lies on the server: in a logged model or in a run. Must not judge what lies there."""

import re
from urllib.parse import quote

from .base import RegistryAbsent, RegistryFailed
from .mlflow_answer import Answer, Shape, one
from .mlflow_files import Folder
from .mlflow_http import Inquiry
from .mlflow_lineage import read_run
from .records import Record, inner, text

_LOGGED = re.compile(r"^(?:models:/|mlflow-artifacts:/+(?:[^?#]*/)?models/)(m-[0-9a-f]{32})(?:/artifacts)?/?$")
_VERSION = re.compile(r"^models:/([^/]+)/([0-9]+)$")
_IN_RUN = re.compile(r"^runs:/([^/?#]+)/([^?#]+)$")
_SAFE = re.compile(r"^[^\x00-\x1f?#%\\]*$")
_LONGEST_CHAIN = 5
_LIST = Shape(("root_uri", "files"), may_be_empty=False)


def of_version(inquiry: Inquiry, version: Record, what: str) -> Folder:
    """The folder of a model version. Raises RegistryAbsent (ArtifactMissing, ArtifactIncomplete, ArtifactUnsupported,
    AccessDenied) and RegistryFailed (ModelNotReady, …)."""
    for _ in range(_LONGEST_CHAIN):
        source = text(version, "source", 1024)
        if found := _LOGGED.match(source):
            return _of_logged_model(inquiry, found[1], what)
        if found := _IN_RUN.match(source):
            if is_deleted(inquiry, found[1]):
                raise in_deleted_run(found[1], what)
            return of_run(inquiry, found[1], found[2], what)
        if found := _VERSION.match(source):  # copied from another model version
            answer = inquiry.get("/api/2.0/mlflow/model-versions/get", one("model_version"), name=found[1], version=found[2])
            if answer.status != 200:
                raise RegistryAbsent(
                    "ArtifactMissing",
                    f"{what} is a copy of {found[1]} {found[2]}, which is gone or not for these credentials; register the model "
                    "again",
                )
            version = inner(answer.record, "model_version")
            continue
        run_id = text(version, "run_id", 64)
        if path := below_run(read_run(inquiry, run_id), source):
            return of_run(inquiry, run_id, path, what)
        if run_id and is_deleted(inquiry, run_id):
            raise in_deleted_run(run_id, what)
        break
    raise RegistryAbsent(
        "ArtifactUnsupported",
        f"the files of {what} lie outside of what the MLflow server can list; log the model with mlflow.<flavor>.log_model and "
        "register that",
    )


def of_run(inquiry: Inquiry, run_id: str, path: str, what: str) -> Folder:
    """A folder among the artifacts of a run. Raises RegistryAbsent(ArtifactUnsupported) for a path that leads out of it."""
    if not _SAFE.match(path) or {".", ".."} & set(path.split("/")):
        raise RegistryAbsent(
            "ArtifactUnsupported",
            f"the path of {what} has characters that an address of artifacts cannot carry; log it under another one",
        )

    def listing(folder: str, token: str) -> Answer:
        more = {"path": folder, "page_token": token}
        given = {key: value for key, value in more.items() if value}
        return inquiry.get("/api/2.0/mlflow/artifacts/list", _LIST, run_id=run_id, **given)

    def content(file: str, size: int) -> Answer:
        return inquiry.bytes("/get-artifact", size, run_uuid=run_id, path=file)

    return Folder(inquiry, what, path.strip("/"), listing, content)


def is_deleted(inquiry: Inquiry, run_id: str) -> bool:
    """Whether the run was deleted: its files are there until somebody cleans up, no longer."""
    run = inner(inquiry.get("/api/2.0/mlflow/runs/get", one("run"), run_id=run_id).record, "run")
    return inner(run, "info").get("lifecycle_stage") == "deleted"


def in_deleted_run(run_id: str, what: str) -> RegistryAbsent:
    """The definite no about files in such a run."""
    return RegistryAbsent(
        "ArtifactMissing",
        f"the files of {what} lie in the run {run_id[:64]}, which was deleted; restore the run, or log and register it again",
    )


def below_run(run: Record, address: str) -> str:
    """Path of an address among the artifacts of the run; empty where it lies elsewhere."""
    root = text(inner(run, "info"), "artifact_uri", 1024).rstrip("/")
    return address.removeprefix(f"{root}/").strip("/") if root and address.startswith(f"{root}/") else ""


def in_run(address: str) -> tuple[str, str]:
    """Run and path of a `runs:/…` address; empty where it is none."""
    found = _IN_RUN.match(address)
    return (found[1], found[2].strip("/")) if found else ("", "")


def _of_logged_model(inquiry: Inquiry, model_id: str, what: str) -> Folder:
    answer = inquiry.get(f"/api/2.0/mlflow/logged-models/{model_id}", one("model"))
    if answer.status == 404:
        raise RegistryAbsent(
            "ArtifactMissing", f"the registry knows {what}, but its logged model {model_id} was deleted; register the model again"
        )
    if answer.status == 403:
        raise RegistryAbsent(
            "AccessDenied", f"the credentials may not read the logged model of {what}; grant them READ on its experiment"
        )
    status = text(inner(answer.record, "model", "info"), "status", 64)
    if status == "LOGGED_MODEL_UPLOAD_FAILED":
        raise RegistryAbsent(
            "ArtifactIncomplete", f"the upload of {what} failed when it was logged; log and register the model again"
        )
    if status != "LOGGED_MODEL_READY":
        raise RegistryFailed("ModelNotReady", f"the logged model of {what} is not ready yet; waiting for its upload to be finished")

    where = f"logged-models/{quote(model_id)}/artifacts"

    def listing(folder: str, token: str) -> Answer:
        more = {"artifact_directory_path": folder, "page_token": token}
        given = {key: value for key, value in more.items() if value}
        return inquiry.get(f"/api/2.0/mlflow/{where}/directories", _LIST, **given)

    def content(file: str, size: int) -> Answer:
        return inquiry.bytes(f"/ajax-api/2.0/mlflow/{where}/files", size, artifact_file_path=file)

    return Folder(inquiry, what, "", listing, content, inner(answer.record, "model"))

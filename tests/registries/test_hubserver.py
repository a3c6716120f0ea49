"""The stand-in is what it says: repositories that git itself accepts, and HTTP that the real huggingface_hub downloads through."""

import hashlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

from tests.registries import hubserver
from tests.registries.benches import client
from tests.registries.hubserver import DATASETS, MODELS, Hub, Server, serving

NAME = "org/model"
FILES = {
    "README.md": b'---\n{"license": "mit"}\n---\n# A model\n',
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "unet/deep/a.json": b"{}",
    "unet.json": b"{}",
}


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "hub")
    hub.create_repo(MODELS, NAME)
    hub.commit(MODELS, NAME, {".gitattributes": b"*.safetensors filter=lfs\n"})
    return hub


@pytest.fixture
def server(hub: Hub) -> Iterator[Server]:
    with serving(hub) as server:
        yield server


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def ask(server: Server, path: str, method: str = "GET", token: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by lower-case name and body, redirects not followed."""
    said = headers | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(f"http://127.0.0.1:{server.server_port}{path}", method=method, headers=said)
    try:
        with build_opener(_Stay).open(request, timeout=10) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def git(hub: Hub, *command: str, kind: str = MODELS) -> str:
    folder = str(hub.git(kind, NAME).folder)
    done = subprocess.run(["git", "--git-dir", folder, *command], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def test_git_accepts_the_repositories(hub: Hub) -> None:
    first = hub.commit(MODELS, NAME, FILES)
    second = hub.commit(MODELS, NAME, {"config.json": b'{"a": 1}'}, remove=["unet.json"])
    hub.tag(MODELS, NAME, "v1", first)
    hub.offer(MODELS, NAME, "offered", {}, author="somebody", parent=second)
    git(hub, "fsck", "--strict", "--full")
    assert git(hub, "rev-parse", "main", "v1", "refs/pr/1^").split() == [second, first, second]
    assert git(hub, "cat-file", "blob", f"{second}:config.json") == '{"a": 1}'
    assert set(git(hub, "ls-tree", "-r", "--name-only", "main").split()) == {*FILES, ".gitattributes"} - {"unet.json"}
    pointer = git(hub, "cat-file", "blob", "main:model.safetensors")
    assert f"oid sha256:{hashlib.sha256(FILES['model.safetensors']).hexdigest()}\n" in pointer


def test_commits_of_the_operators_kind_are_git_too(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, FILES)
    hub.add_token("t", "owner", write=[NAME])
    code = f"""
from huggingface_hub import HfApi, CommitOperationAdd
api = HfApi("http://127.0.0.1:{server.server_port}", "t")
api.create_tag("{NAME}", tag="annotated", tag_message="a message")
api.create_commit("{NAME}", [CommitOperationAdd("a/b.yaml", b"x: 1")], commit_message="Offer", create_pr=True)
sha = api.model_info("{NAME}").sha
api.create_commit("{NAME}", [CommitOperationAdd("c.yaml", b"y: 1")], commit_message="Own", parent_commit=sha)
print(next(iter(api.get_repo_discussions("{NAME}"))).title, [tag.target_commit for tag in api.list_repo_refs("{NAME}").tags])
"""
    before = git(hub, "rev-parse", "main").strip()
    assert client(code).strip() == f"Offer ['{before}']"
    git(hub, "fsck", "--strict", "--full")
    assert git(hub, "cat-file", "-t", "annotated").strip() == "tag"
    assert git(hub, "rev-parse", "annotated^{commit}", "refs/pr/1^", "main^").split() == [before] * 3


@pytest.mark.parametrize("kind", [MODELS, DATASETS])
def test_the_real_client_downloads(hub: Hub, server: Server, kind: str, tmp_path: Path) -> None:
    if kind == DATASETS:
        hub.create_repo(kind, NAME)
    sha = hub.commit(kind, NAME, FILES)
    hub.commit(kind, NAME, {"later.txt": b"later"})
    code = f"from huggingface_hub import snapshot_download as s; print(s('{NAME}', repo_type='{kind[:-1]}', revision='{sha}'))"
    folder = Path(client(code, HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=str(tmp_path / "home")).strip())
    there = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    there.pop(".gitattributes", None)
    assert there == FILES


def test_renamed_repository_still_downloads(hub: Hub, server: Server, tmp_path: Path) -> None:
    hub.commit(MODELS, NAME, FILES)
    hub.rename(MODELS, NAME, "other/name")
    status, headers, _ = ask(server, f"/api/models/{NAME}/revision/main?blobs=true")
    assert (status, headers["location"]) == (307, "/api/models/other/name/revision/main?blobs=true")
    code = f"from huggingface_hub import hf_hub_download as d; print(open(d('{NAME}', 'config.json')).read())"
    assert client(code, HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=str(tmp_path)).strip() == "{}"


def test_info_tells_files_and_card(hub: Hub, server: Server) -> None:
    sha = hub.commit(MODELS, NAME, FILES)
    status, headers, body = ask(server, f"/api/models/{NAME}?blobs=true")
    info = json.loads(body)
    assert (status, info["sha"], info["cardData"], info["tags"]) == (200, sha, {"license": "mit"}, ["license:mit"])
    (large,) = [each for each in info["siblings"] if "lfs" in each]
    assert (large["rfilename"], large["size"], large["lfs"]["size"]) == ("model.safetensors", 7000, 7000)
    assert re.search(r'"api";r=[0-9]+;t=[0-9]+', headers["ratelimit"])
    assert set(json.loads(ask(server, f"/api/models/{NAME}?expand=sha&expand=gated")[2])) == {"_id", "id", "sha", "gated"}


def test_the_tree_has_pages(hub: Hub) -> None:
    hub.commit(MODELS, NAME, {f"folder/{number:02}.json": b"{}" for number in range(9)})
    with serving(hub, page=4) as server:
        seen, path = list[str](), f"/api/models/{NAME}/tree/main?recursive=true"
        while path:
            _, headers, body = ask(server, path)
            seen += [each["path"] for each in json.loads(body)]
            following = re.match(r"<http://[^/]+([^>]+)>; rel=\"next\"", headers.get("link", ""))
            path = following[1] if following else ""
        assert seen == [".gitattributes", "folder", *(f"folder/{number:02}.json" for number in range(9))]
        assert [each["type"] for each in json.loads(ask(server, f"/api/models/{NAME}/tree/main")[2])] == ["file", "directory"]
        assert len(json.loads(ask(server, f"/api/models/{NAME}/tree/main/folder")[2])) == 4


def test_content_by_range_and_redirect(hub: Hub, server: Server) -> None:
    sha = hub.commit(MODELS, NAME, FILES)
    status, headers, body = ask(server, f"/{NAME}/resolve/main/README.md", Range="bytes=4-9")
    assert (status, body, headers["content-range"]) == (206, FILES["README.md"][4:10], f"bytes 4-9/{len(FILES['README.md'])}")
    status, headers, body = ask(server, f"/{NAME}/resolve/main/model.safetensors", "HEAD")
    digest = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert (status, headers["x-repo-commit"], headers["x-linked-size"], body) == (302, sha, "7000", b"")
    assert headers["x-linked-etag"] == headers["etag"] == f'"{digest}"'
    assert ask(server, headers["location"])[2] == FILES["model.safetensors"]
    hub.delete_large(MODELS, NAME, sha, "model.safetensors")
    assert ask(server, f"/{NAME}/resolve/main/model.safetensors")[:2][1]["x-error-code"] == "EntryNotFound"


@pytest.mark.parametrize(
    ("path", "token", "answer"),
    [
        ("/api/models/org/none", "", (401, "", "Invalid username or password.")),
        ("/api/models/org/none", "t", (404, "RepoNotFound", "Repository not found")),
        ("/api/models/org/private", "", (401, "", "Invalid username or password.")),
        ("/api/models/org/private", "t", (404, "RepoNotFound", "Repository not found")),
        ("/api/models/org/private", "reader", (200, "", "")),
        (f"/api/models/{NAME}", "wrong", (401, "", "Invalid credentials in Authorization header")),
        (f"/api/models/{NAME}/revision/none", "", (404, "RevisionNotFound", "Invalid rev id: none")),
        (f"/{NAME}/resolve/main/none", "", (404, "EntryNotFound", "Entry not found")),
        ("/api/models/org/gated", "", (200, "", "")),
        ("/api/models/org/gated/auth-check", "", (401, "GatedRepo", None)),
        ("/api/models/org/gated/auth-check", "t", (403, "GatedRepo", None)),
        ("/org/gated/resolve/main/config.json", "t", (403, "GatedRepo", None)),
        ("/api/models/org/gated/auth-check", "reader", (200, "", "")),
        (f"/api/models/{NAME}/auth-check/write", "t", (403, "", None)),
        ("/api/models/org/disabled", "t", (403, "", "Access to this resource is disabled.")),
        ("/somewhere", "", (404, "", None)),
        ("/api/whoami-v2", "t", (200, "", "")),
    ],
)
def test_refusals(hub: Hub, server: Server, path: str, token: str, answer: tuple[int, str, str | None]) -> None:
    for name, what in {
        "org/private": {"private": True},
        "org/gated": {"gated": "auto"},
        "org/disabled": {"disabled": True},
    }.items():
        hub.create_repo(MODELS, name, **what)  # type: ignore[arg-type]
        hub.commit(MODELS, name, {"config.json": b"{}"})
    hub.add_token("t", "somebody")
    hub.add_token("reader", "reader", read=["org/private"], accepted=["org/gated"])
    status, code, message = answer
    found, headers, _ = ask(server, path, token=token)
    assert (found, headers.get("x-error-code", "")) == (status, code)
    assert message is None or headers.get("x-error-message", "") == message


def test_what_no_reference_leads_to_is_not_served(hub: Hub, server: Server) -> None:
    lost = hub.commit(MODELS, NAME, FILES)
    hub.commit(MODELS, NAME, FILES, orphan=True)
    assert ask(server, f"/api/models/{NAME}/revision/{lost}")[0] == 404
    hub.tag(MODELS, NAME, "kept", lost)
    assert ask(server, f"/api/models/{NAME}/revision/{lost}")[0] == 200


def test_stale_parent_and_existing_tag(hub: Hub, server: Server) -> None:
    hub.commit(MODELS, NAME, FILES)
    hub.add_token("t", "owner", write=["*"])
    code = f"""
from huggingface_hub import HfApi, CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError
api = HfApi("http://127.0.0.1:{server.server_port}", "t")
api.create_tag("{NAME}", tag="v1")
for call in (lambda: api.create_tag("{NAME}", tag="v1"), lambda: api.create_commit("{NAME}", [CommitOperationAdd("a", b"x")],
             commit_message="m", parent_commit="0" * 40)):
    try:
        call()
    except HfHubHTTPError as error:
        print(error.response.status_code)
"""
    assert client(code).split() == ["409", "412"]


def test_runs_as_a_program_on_the_standard_library_alone(hub: Hub) -> None:
    hub.commit(MODELS, NAME, FILES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-I",
        "-S",
        str(hubserver.__file__),
        "--root",
        str(hub.root),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command)
    try:
        assert b"sha" in _first_answer(f"http://127.0.0.1:{port}/api/models/{NAME}", process)
    finally:
        process.kill()
        process.wait()


def _first_answer(url: str, process: "subprocess.Popen[bytes]") -> bytes:
    for _ in range(200):
        try:
            with build_opener().open(url, timeout=5) as answer:
                return bytes(answer.read())
        except URLError:
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            break
    raise AssertionError("it did not start")

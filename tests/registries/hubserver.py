"""A stand-in for the Hugging Face Hub: real bare git repositories behind the Hub's HTTP, as huggingface_hub uses it.

Standard library only, so that it also runs in a pod of a plain Python image: `python hubserver.py --root DIR --port N`. Everything
lives in the folder, so one process may seed (`Hub(root)`) what another one serves. Time is a clock of its own that each commit
moves on by a minute: the same story gives the same commits.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import json
import re
import shutil
import ssl
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MODELS, DATASETS = "models", "datasets"
LARGE = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".joblib", ".h5", ".gguf", ".onnx", ".msgpack", ".parquet", ".zip")
"""Files that git LFS keeps; so it does with all larger than `LARGE_SIZE`."""
LARGE_SIZE = 1 << 20
_EPOCH = 1_767_225_600
_POINTER = re.compile(rb"^version https://git-lfs.github.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n$")
_VERBS = set("revision tree commits refs auth-check tag branch preupload commit discussions paths-info resolve".split())


class Git:
    """One bare repository, written without git: loose objects and loose references."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> None:
        for each in ("objects", "refs/heads", "refs/tags", "lfs/objects"):
            (self.folder / each).mkdir(parents=True)
        (self.folder / "HEAD").write_text("ref: refs/heads/main\n")
        (self.folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n")

    def write(self, kind: str, body: bytes) -> str:
        data = f"{kind} {len(body)}\0".encode() + body
        sha = hashlib.sha1(data).hexdigest()
        path = self.folder / "objects" / sha[:2] / sha[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(data))
        return sha

    def read(self, sha: str) -> tuple[str, bytes]:
        """Kind and body of an object. Raises FileNotFoundError."""
        header, _, body = zlib.decompress((self.folder / "objects" / sha[:2] / sha[2:]).read_bytes()).partition(b"\0")
        return header.split()[0].decode(), body

    def references(self, below: str = "refs") -> dict[str, str]:
        root = self.folder / below
        return {str(each.relative_to(self.folder)): each.read_text().strip() for each in sorted(root.rglob("*")) if each.is_file()}

    def point(self, reference: str, sha: str) -> None:
        path = self.folder / reference
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{sha}\n")

    def commit_of(self, sha: str) -> str:
        """The commit behind a reference; an annotated tag names another object."""
        kind, body = self.read(sha)
        return body.split(b"\n", 1)[0].split()[1].decode() if kind == "tag" else sha

    def parents(self, sha: str) -> list[str]:
        head = self.read(sha)[1].partition(b"\n\n")[0].decode()
        return [line.removeprefix("parent ") for line in head.splitlines() if line.startswith("parent ")]

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, tag, full reference or commit that some reference leads to."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name.startswith("refs/") and ".." not in name and (self.folder / name).is_file():
                return self.commit_of((self.folder / name).read_text().strip())
        return revision if re.fullmatch("[0-9a-f]{40}", revision) and revision in self.reachable() else None

    def reachable(self) -> set[str]:
        found, waiting = set[str](), [self.commit_of(sha) for sha in self.references().values()]
        while waiting:
            sha = waiting.pop()
            if sha not in found:
                found.add(sha)
                waiting += self.parents(sha)
        return found

    def history(self, sha: str) -> list[str]:
        found = [sha]
        while parents := self.parents(found[-1]):
            found.append(parents[0])
        return found

    def files(self, commit: str) -> dict[str, str]:
        """Blob of each path."""
        tree = self.read(commit)[1].split(b"\n", 1)[0].split()[1].decode()
        return dict(self._walk(tree, ""))

    def _walk(self, tree: str, prefix: str) -> Iterator[tuple[str, str]]:
        body = self.read(tree)[1]
        while body:
            head, _, rest = body.partition(b"\0")
            mode, name = head.decode().split(" ", 1)
            sha, body = rest[:20].hex(), rest[20:]
            if mode == "40000":
                yield from self._walk(sha, f"{prefix}{name}/")
            else:
                yield prefix + name, sha

    def tree(self, files: Mapping[str, str]) -> str:
        """Writes the trees for these blobs by path."""
        entries: dict[str, tuple[str, str]] = {}
        below: dict[str, dict[str, str]] = {}
        for path, sha in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = sha
            else:
                entries[name] = ("100644", sha)
        entries |= {name: ("40000", self.tree(inner)) for name, inner in below.items()}
        order = sorted(entries, key=lambda name: (name + ("/" if entries[name][0] == "40000" else "")).encode())
        return self.write("tree", b"".join(f"{entries[n][0]} {n}\0".encode() + bytes.fromhex(entries[n][1]) for n in order))

    def large(self, oid: str) -> Path:
        """Where git LFS keeps the content of a pointer."""
        return self.folder / "lfs" / "objects" / oid[:2] / oid[2:4] / oid

    def pointer(self, blob: str) -> tuple[str, int] | None:
        """SHA-256 and size behind a blob that is an LFS pointer."""
        found = _POINTER.match(self.read(blob)[1])
        return (found[1].decode(), int(found[2])) if found else None


class Hub:
    """All repositories of a stand-in, and an administrator's hands."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def state(self) -> Iterator[dict[str, Any]]:
        """What is no part of a repository: rights, renames, pull requests. Written back at the end; one user at a time."""
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.root / "state.json"
            state = json.loads(path.read_text()) if path.exists() else {"clock": 0, "repos": {}, "moved": {}, "tokens": {}}
            before = json.dumps(state)
            yield state
            if (after := json.dumps(state)) != before:
                path.with_suffix(".new").write_text(after)
                path.with_suffix(".new").rename(path)

    def create_repo(
        self,
        kind: str,
        name: str,
        *,
        gated: str | bool = False,
        private: bool = False,
        disabled: bool = False,
    ) -> None:
        with self.state() as state:
            state["repos"][f"{kind}/{name}"] = {"gated": gated, "private": private, "disabled": disabled, "discussions": []}
            state["moved"].pop(f"{kind}/{name}", None)
        self.git(kind, name).create()

    def change(self, kind: str, name: str, **what: Any) -> None:
        """Sets `gated`, `private` or `disabled`."""
        with self.state() as state:
            state["repos"][f"{kind}/{name}"] |= what

    def delete_repo(self, kind: str, name: str) -> None:
        with self.state() as state:
            del state["repos"][f"{kind}/{name}"]
        shutil.rmtree(self.git(kind, name).folder)

    def rename(self, kind: str, name: str, new: str) -> None:
        with self.state() as state:
            state["repos"][f"{kind}/{new}"] = state["repos"].pop(f"{kind}/{name}")
            state["moved"][f"{kind}/{name}"] = new
        self.git(kind, new).folder.parent.mkdir(parents=True, exist_ok=True)
        self.git(kind, name).folder.rename(self.git(kind, new).folder)

    def add_token(
        self, token: str, user: str, *, read: Iterable[str] = (), write: Iterable[str] = (), accepted: Iterable[str] = ()
    ) -> None:
        """`read`, `write`: ids this token may read though they are private, and write; `accepted`: gated ids it has access to.
        `*` is all."""
        with self.state() as state:
            state["tokens"][token] = {"name": user, "read": list(read), "write": list(write), "accepted": list(accepted)}

    def revoke_token(self, token: str) -> None:
        with self.state() as state:
            del state["tokens"][token]

    def git(self, kind: str, name: str) -> Git:
        return Git(self.root / kind / f"{name}.git")

    def commit(
        self,
        kind: str,
        name: str,
        files: Mapping[str, bytes],
        branch: str = "main",
        message: str = "commit",
        *,
        remove: Iterable[str] = (),
        orphan: bool = False,
    ) -> str:
        """Puts files onto a branch, gives the commit. `orphan`: without parents, as a squash or force-push leaves it."""
        git = self.git(kind, name)
        parent = None if orphan else git.resolve(branch)
        blobs = {path: _blob(git, path, content) for path, content in files.items()}
        return self.write(git, f"refs/heads/{branch}", parent, blobs, message, remove=remove)

    def write(
        self, git: Git, reference: str, parent: str | None, blobs: Mapping[str, str], message: str, *, remove: Iterable[str] = ()
    ) -> str:
        """A commit on top of another, at a reference."""
        with self.state() as state:
            state["clock"] += 1
            when = f"{_EPOCH + 60 * state['clock']} +0000"
        kept = {path: sha for path, sha in (git.files(parent) if parent else {}).items() if path not in set(remove)}
        lines = [f"tree {git.tree(kept | dict(blobs))}", *([f"parent {parent}"] if parent else [])]
        lines += [f"{who} someone <someone@hub.example> {when}" for who in ("author", "committer")]
        sha = git.write("commit", "\n".join([*lines, "", message, ""]).encode())
        git.point(reference, sha)
        return sha

    def tag(self, kind: str, name: str, tag: str, sha: str) -> None:
        self.git(kind, name).point(f"refs/tags/{tag}", sha)

    def move_branch(self, kind: str, name: str, branch: str, sha: str) -> None:
        """A force-push."""
        self.git(kind, name).point(f"refs/heads/{branch}", sha)

    def delete_branch(self, kind: str, name: str, branch: str) -> None:
        (self.git(kind, name).folder / "refs" / "heads" / branch).unlink()

    def delete_large(self, kind: str, name: str, sha: str, path: str) -> None:
        """Deletes the content behind a pointer; the pointer stays."""
        git = self.git(kind, name)
        pointer = git.pointer(git.files(sha)[path])
        assert pointer is not None, f"{path} is no pointer"
        git.large(pointer[0]).unlink()

    def discussions(self, kind: str, name: str) -> list[dict[str, Any]]:
        with self.state() as state:
            found: list[dict[str, Any]] = state["repos"][f"{kind}/{name}"]["discussions"]
        return found

    def set_discussion(self, kind: str, name: str, num: int, status: str) -> None:
        """`open`, `closed` or `merged`; merging moves main."""
        with self.state() as state:
            (found,) = (each for each in state["repos"][f"{kind}/{name}"]["discussions"] if each["num"] == num)
            found["status"] = status
        if status == "merged":
            git = self.git(kind, name)
            git.point("refs/heads/main", git.references()[f"refs/pr/{num}"])

    def offer(self, kind: str, name: str, title: str, blobs: Mapping[str, str], *, author: str, parent: str) -> tuple[int, str]:
        """Opens a pull request, gives its number and commit."""
        with self.state() as state:
            repo = state["repos"][f"{kind}/{name}"]
            num = len(repo["discussions"]) + 1
            repo["discussions"].append(
                {"num": num, "title": title, "status": "open", "author": {"name": author}, "isPullRequest": True}
                | {"createdAt": _iso(_EPOCH + 60 * state["clock"]), "repo": {"name": name, "type": kind[:-1]}}
            )
        return num, self.write(self.git(kind, name), f"refs/pr/{num}", parent, blobs, title)


def _blob(git: Git, path: str, content: bytes) -> str:
    if not path.endswith(LARGE) and len(content) <= LARGE_SIZE:
        return git.write("blob", content)
    oid = hashlib.sha256(content).hexdigest()
    git.large(oid).parent.mkdir(parents=True, exist_ok=True)
    git.large(oid).write_bytes(content)
    return _pointer(git, oid, len(content))


def _pointer(git: Git, oid: str, size: int) -> str:
    return git.write("blob", f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode())


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Problem(Exception):
    """An answer that is no 200."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Asked:
    """A request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By name in lower case."""


class Server(ThreadingHTTPServer):
    """Serves a Hub. `page` is how many files a page of the tree has; `large_elsewhere`: origin that large files are redirected to,
    as the Hub does; empty serves them here, by a redirect to another path. `tls`: speaks https with it."""

    daemon_threads = True

    def __init__(
        self,
        hub: Hub,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        page: int = 1000,
        large_elsewhere: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__((host, port), Handler)
        self.scheme = "http"
        if tls is not None:
            self.scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.hub, self.page, self.large_elsewhere = hub, page, large_elsewhere
        self.asked: list[Asked] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of ours; other errors show as a broken answer."""


@contextlib.contextmanager
def serving(hub: Hub, **options: Any) -> Iterator[Server]:
    """Runs a server for a while."""
    server = Server(hub, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.server.asked.append(Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        try:
            self._route([unquote(each) for each in parts.path.strip("/").split("/")], parts.path.strip("/").split("/"))
        except _Answered:
            pass
        except Problem as problem:
            headers = {"X-Error-Code": problem.code, "X-Error-Message": problem.message.encode("ascii", "replace").decode()}
            self._json({"error": problem.message}, problem.status, {name: value for name, value in headers.items() if value})

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    # Who asks, and what for

    def _route(self, path: list[str], raw: list[str]) -> None:
        self.who = self._user()
        if path == ["api", "whoami-v2"]:
            if self.who is None:
                raise Problem(401, "", "Invalid username or password.")
            self._json({"type": "user", "name": self.who["name"], "auth": {"type": "access_token"}})
            return
        if path[:1] == ["api"] and len(path) == 2 and path[1] in (MODELS, DATASETS):
            with self.server.hub.state() as state:
                ids = [name.partition("/")[2] for name in state["repos"] if name.startswith(f"{path[1]}/")]
            self._json([{"id": each} for each in ids][: int(self.query.get("limit", ["100"])[0])])
            return
        if path[:1] == ["api"] and len(path) > 2 and path[1] in (MODELS, DATASETS):
            self.kind, rest, start = path[1], path[2:], 2
        elif "resolve" in path:
            start = 1 if path[0] == DATASETS else 0
            self.kind, rest = path[0] if start else MODELS, path[start:]
        else:
            raise Problem(404, "", "Sorry, we can't find the page you are looking for.")
        size = next((at for at, each in enumerate(rest) if each in _VERBS and at > 0), len(rest))
        self.id, verb = "/".join(rest[:size]), rest[size] if size < len(rest) else ""
        self._redirect_renamed(raw, start, size)
        self._admit()
        getattr(self, f"_{verb.replace('-', '_') or 'info'}")(rest[size + 1 :])

    def _user(self) -> dict[str, Any] | None:
        said = self.headers.get("Authorization", "")
        if not said:
            return None
        with self.server.hub.state() as state:
            found: dict[str, Any] | None = state["tokens"].get(said.removeprefix("Bearer "))
        if found is None:
            raise Problem(401, "", "Invalid credentials in Authorization header")
        return found

    def _may(self, right: str) -> bool:
        return self.who is not None and bool({"*", self.id} & set(self.who[right]))

    def _redirect_renamed(self, raw: list[str], start: int, size: int) -> None:
        with self.server.hub.state() as state:
            new = state["moved"].get(f"{self.kind}/{self.id}")
        if new:
            query = f"?{urlsplit(self.path).query}" if urlsplit(self.path).query else ""
            self._send(307, b"", {"Location": "/" + "/".join([*raw[:start], new, *raw[start + size :]]) + query})
            raise _Answered

    def _admit(self) -> None:
        with self.server.hub.state() as state:
            repo = state["repos"].get(f"{self.kind}/{self.id}")
        if repo is None or (repo["private"] and not (self._may("read") or self._may("write"))):
            raise (
                Problem(404, "RepoNotFound", "Repository not found")
                if self.who
                else Problem(401, "", "Invalid username or password.")
            )
        if repo["disabled"]:
            raise Problem(403, "", "Access to this resource is disabled.")
        self.repo: dict[str, Any] = repo
        self.git = self.server.hub.git(self.kind, self.id)

    def _admit_to_files(self) -> None:
        if self.repo["gated"] and not self._may("accepted") and not self._may("write"):
            message = f"Access to {self.kind[:-1]} {self.id} is restricted and you are not in the authorized list."
            raise Problem(403 if self.who else 401, "GatedRepo", message)

    def _admit_writer(self) -> None:
        if self.who is None:
            raise Problem(401, "", "Invalid username or password.")
        if not self._may("write"):
            raise Problem(403, "", f"Forbidden: you don't have the right to write {self.id}")

    def _commit_at(self, revision: str) -> str:
        found = self.git.resolve(revision)
        if found is None:
            raise Problem(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    # Reads

    def _info(self, rest: list[str]) -> None:
        self._revision([*rest, "main"])

    def _revision(self, rest: list[str]) -> None:
        sha = self._commit_at(rest[0])
        files = self.git.files(sha)
        card = _card(self.git.read(files["README.md"])[1]) if "README.md" in files else {}
        config = self._config(files)
        tags = [f"{key}:{value}" for key in ("license", "dataset", "base_model") for value in _listed(card, key)]
        siblings = [
            {"rfilename": path} | (self._entry(path, blob, blobs=True) if "blobs" in self.query else {})
            for path, blob in files.items()
        ]
        whole = {
            "_id": hashlib.sha1(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            "modelId": self.id,
            "sha": sha,
            **{key: self.repo[key] for key in ("private", "gated", "disabled")},
            "downloads": 0,
            "likes": 0,
            "createdAt": _iso(_EPOCH),
            "lastModified": self._date(self.git.resolve("main") or sha),
            "tags": [*tags, *(["custom_code"] if "auto_map" in config else [])],
            "cardData": card,
            **({"library_name": card["library_name"]} if "library_name" in card else {}),
            "config": config,
            "siblings": siblings,
        }
        wanted = {"_id", "id", *self.query.get("expand", [])}
        self._json({key: value for key, value in whole.items() if key in wanted} if "expand" in self.query else whole)

    def _config(self, files: Mapping[str, str]) -> dict[str, Any]:
        try:
            found = json.loads(self.git.read(files["config.json"])[1]) if "config.json" in files else {}
        except ValueError:
            found = {}
        return (
            {key: found[key] for key in ("architectures", "model_type", "auto_map") if key in found}
            if isinstance(found, dict)
            else {}
        )

    def _entry(self, path: str, blob: str, *, blobs: bool = False) -> dict[str, Any]:
        pointer = self.git.pointer(blob)
        size = pointer[1] if pointer else len(self.git.read(blob)[1])
        if blobs:
            large = {"lfs": {"sha256": pointer[0], "size": size, "pointerSize": len(self.git.read(blob)[1])}} if pointer else {}
            return {"size": size, "blobId": blob} | large
        large = {"lfs": {"oid": pointer[0], "size": size, "pointerSize": len(self.git.read(blob)[1])}} if pointer else {}
        return {"type": "file", "oid": blob, "size": size, "path": path} | large

    def _tree(self, rest: list[str]) -> None:
        sha, folder = self._commit_at(rest[0]), "/".join(rest[1:])
        files = {path: blob for path, blob in self.git.files(sha).items() if not folder or path.startswith(f"{folder}/")}
        if folder and not files:
            raise Problem(404, "EntryNotFound", f'{folder} does not exist on "{rest[0]}"')
        start = len(folder) + 1 if folder else 0
        folders = {path[: path.index("/", at)] for path in files for at in _slashes(path, start)}
        if self.query.get("recursive", [""])[0].lower() not in ("true", "1"):
            folders = {each for each in folders if "/" not in each[start:]}
            files = {path: blob for path, blob in files.items() if "/" not in path[start:]}
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": each} for each in folders]
        entries += [self._entry(path, blob) for path, blob in files.items()]
        entries.sort(key=lambda each: str(each["path"]))
        first = int(self.query.get("cursor", ["0"])[0])
        last = first + self.server.page
        headers = {}
        if last < len(entries):
            query = f"{urlsplit(self.path).query}&".replace(f"cursor={first}&", "")
            following = f"{self.server.scheme}://{self.headers['Host']}{urlsplit(self.path).path}?{query}cursor={last}"
            headers["Link"] = f'<{following}>; rel="next"'
        self._json(entries[first:last], 200, headers)

    def _paths_info(self, rest: list[str]) -> None:
        files = self.git.files(self._commit_at(rest[0]))
        asked = parse_qs(self.body.decode()).get("paths", []) if not self.body.startswith(b"{") else json.loads(self.body)["paths"]
        self._json([self._entry(path, files[path]) for path in asked if path in files])

    def _commits(self, rest: list[str]) -> None:
        page, history = int(self.query.get("p", ["0"])[0]), self.git.history(self._commit_at(rest[0]))
        found = [
            {
                "id": sha,
                "title": message.partition("\n")[0],
                "message": "",
                "authors": [{"user": "someone"}],
                "date": self._date(sha),
            }
            for sha in history[50 * page : 50 * page + 50]
            for message in [self.git.read(sha)[1].partition(b"\n\n")[2].decode()]
        ]
        self._json(found, 200, {"X-Total-Count": str(len(history))})

    def _date(self, sha: str) -> str:
        committer = next(line for line in self.git.read(sha)[1].decode().splitlines() if line.startswith("committer "))
        return _iso(int(committer.split()[-2]))

    def _refs(self, rest: list[str]) -> None:
        found: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
        names = {"heads": "branches", "tags": "tags"} | ({"pr": "pullRequests"} if "include_prs" in self.query else {})
        for reference, sha in self.git.references().items():
            _, kind, name = reference.split("/", 2)
            if kind in names:
                entry = {"name": name, "ref": reference, "targetCommit": self.git.commit_of(sha)}
                found.setdefault(names[kind], []).append(entry)
        self._json(found)

    def _auth_check(self, rest: list[str]) -> None:
        if rest == ["write"]:
            self._admit_writer()
        self._admit_to_files()
        self._send(200, b"OK", {"Content-Type": "text/plain"})

    def _resolve(self, rest: list[str]) -> None:
        sha, path = self._commit_at(rest[0]), "/".join(rest[1:])
        self._admit_to_files()
        blob = self.git.files(sha).get(path)
        if blob is None:
            raise Problem(404, "EntryNotFound", "Entry not found")
        pointer = self.git.pointer(blob)
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes", "ETag": f'"{pointer[0] if pointer else blob}"'}
        if pointer is None:
            return self._content(self.git.read(blob)[1], headers)
        large = self.git.large(pointer[0])
        if not large.exists():
            raise Problem(404, "EntryNotFound", "Entry not found")
        headers |= {"X-Linked-Etag": f'"{pointer[0]}"', "X-Linked-Size": str(pointer[1])}
        if "content" in self.query:
            return self._content(large.read_bytes(), headers)
        where = f"{self.server.large_elsewhere}{urlsplit(self.path).path}?content=1"
        return self._send(302, b"", headers | {"Location": where})

    def _content(self, content: bytes, headers: dict[str, str]) -> None:
        headers["Content-Type"] = "application/octet-stream"
        asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))
        if asked is None:
            return self._send(200, content, headers)
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        if first > last:
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self._send(206, content[first : last + 1], headers)

    # Writes

    def _tag(self, rest: list[str]) -> None:
        self._admit_writer()
        if self.command == "DELETE":
            path = self.git.folder / "refs" / "tags" / rest[0]
            if not path.is_file():
                raise Problem(404, "RevisionNotFound", "Tag not found")
            path.unlink()
            return self._json({})
        said = json.loads(self.body)
        sha, tag = self._commit_at(rest[0]), said["tag"]
        if not re.fullmatch(r"(?!.*\.\.)[\w][\w./-]*", tag):
            raise Problem(400, "", "Invalid tag name")
        if f"refs/tags/{tag}" in self.git.references():
            raise Problem(409, "", f"Tag reference exists already: {tag}")
        if said.get("message"):
            body = (
                f"object {sha}\ntype commit\ntag {tag}\ntagger someone <someone@hub.example> {_EPOCH} +0000\n\n{said['message']}\n"
            )
            self.git.point(f"refs/tags/{tag}", self.git.write("tag", body.encode()))
        else:
            self.git.point(f"refs/tags/{tag}", sha)
        return self._json({})

    def _branch(self, rest: list[str]) -> None:
        self._admit_writer()
        reference = f"refs/heads/{rest[0]}"
        if self.command == "DELETE":
            (self.git.folder / reference).unlink(missing_ok=True)
        elif reference in self.git.references():
            raise Problem(409, "", "Reference already exists")
        else:
            self.git.point(reference, self._commit_at(json.loads(self.body or b"{}").get("startingPoint", "main")))
        self._json({})

    def _preupload(self, rest: list[str]) -> None:
        blobs = self.git.files(self._commit_at(rest[0]))
        files = json.loads(self.body)["files"]
        modes = ["lfs" if each["path"].endswith(LARGE) or each["size"] > LARGE_SIZE else "regular" for each in files]
        self._json(
            {
                "files": [
                    {"path": each["path"], "uploadMode": mode, "shouldIgnore": False, "oid": blobs.get(each["path"])}
                    for each, mode in zip(files, modes, strict=True)
                ]
            }
        )

    def _commit(self, rest: list[str]) -> None:
        offered = self.query.get("create_pr") == ["1"]
        if offered and self.who is None:
            raise Problem(401, "", "Invalid username or password.")
        if not offered:
            self._admit_writer()
        if offered and self.repo.get("discussions_disabled"):
            raise Problem(403, "", "Discussions are disabled for this repo")
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        header = next(each["value"] for each in lines if each["key"] == "header")
        parent = self.git.resolve(rest[0])
        if header.get("parentCommit") not in (None, parent):
            raise Problem(412, "", "A commit has happened since. Please refresh and try again.")
        blobs, removed = dict[str, str](), list[str]()
        for each in lines:
            value = each["value"]
            if each["key"] == "file":
                blobs[value["path"]] = self.git.write("blob", base64.b64decode(value["content"]))
            elif each["key"] == "lfsFile":
                blobs[value["path"]] = _pointer(self.git, value["oid"], value["size"])
            elif each["key"] == "deletedFile":
                removed.append(value["path"])
        hub, base = (
            self.server.hub,
            f"{self.server.scheme}://{self.headers['Host']}/{'' if self.kind == MODELS else 'datasets/'}{self.id}",
        )
        answer: dict[str, Any] = {"success": True, "hookOutput": ""}
        if offered:
            assert self.who is not None
            assert parent is not None
            num, sha = hub.offer(self.kind, self.id, header["summary"], blobs, author=self.who["name"], parent=parent)
            answer["pullRequestUrl"] = f"{base}/discussions/{num}"
        else:
            sha = hub.write(self.git, f"refs/heads/{rest[0]}", parent, blobs, header["summary"], remove=removed)
        self._json(answer | {"commitOid": sha, "commitUrl": f"{base}/commit/{sha}"})

    def _discussions(self, rest: list[str]) -> None:
        if self.repo.get("discussions_disabled"):
            raise Problem(403, "", "Discussions are disabled for this repo")
        found = list(reversed(self.repo["discussions"]))
        status, author = self.query.get("status", ["all"])[0], self.query.get("author", [""])[0]
        if status != "all":
            found = [each for each in found if (each["status"] == "open") == (status == "open")]
        if author:
            found = [each for each in found if each["author"]["name"] == author]
        start = 20 * int(self.query.get("p", ["0"])[0])
        self._json({"discussions": found[start : start + 20], "count": len(found), "start": start, "numClosedDiscussions": 0})

    # Answers

    def _json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"} | dict(headers or {}))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        limits = {"RateLimit": '"api";r=499;t=300', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
        self.send_response(status)
        for name, value in (limits | {"Content-Length": str(len(body))} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Answered(Exception):
    """The answer is sent already."""


def _slashes(path: str, start: int) -> Iterator[int]:
    at = path.find("/", start)
    while at >= 0:
        yield at
        at = path.find("/", at + 1)


def _card(readme: bytes) -> dict[str, Any]:
    """The metadata above a README. Only JSON is read of YAML, which is a part of it."""
    found = re.match(rb"---\n(.*?)\n---\n", readme, re.DOTALL)
    try:
        card = json.loads(found[1]) if found else {}
    except ValueError:
        return {}
    return card if isinstance(card, dict) else {}


def _listed(card: Mapping[str, Any], key: str) -> list[str]:
    value = card.get(key, card.get(f"{key}s", []))
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def main() -> None:
    """Serves a folder until it is stopped."""
    parser = argparse.ArgumentParser(description="A stand-in for the Hugging Face Hub")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    Server(Hub(options.root), options.host, options.port).serve_forever()


if __name__ == "__main__":
    main()

"""A hub on loopback: the part of huggingface.co that its client asks for, from memory, on 127.0.0.1.

What it is: model info, listings, files with HEAD, GET and ranges, ETags and commits, branches by any name
(``refs/convert/parquet`` too), the error codes of missing, private and gated repositories, and pushes. The client that talks to
it is the real one, see :func:`asked` (this process) and :meth:`Hub.environment` (others). It writes down each request, and can
be told to cut a file off or to be wrong about its size.

What it is not: a hub. There are no accounts (one token opens all that is private), no Xet storage, no redirects to other
hosts, no pull requests, no history: a commit is what its files are.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_the_tests"
"""Opens private and gated repositories."""
FOREIGN = ("somebody-else",)
"""Owners in whose name the token may not write."""
LARGE = (".bin", ".model", ".npy", ".parquet", ".safetensors")
"""Endings of files that are kept in LFS, whose ETag is the SHA-256 of their bytes."""
Files = dict[str, bytes]


@dataclass(frozen=True)
class Answer:
    """What goes out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def tree_of(folder: Path) -> Files:
    """Return all files of a folder, by their paths in it."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@dataclass
class Repository:
    """One repository with its branches."""

    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    """Commits by the names of branches."""
    commits: dict[str, Files] = field(default_factory=dict)
    """Files by commit."""
    cuts: dict[str, int] = field(default_factory=dict)
    """Bytes after which the next answer with a file breaks off, by path."""
    holds: dict[str, int] = field(default_factory=dict)
    """Bytes after which the next answer with a file stops until :attr:`Hub.go_on` is set, by path."""
    lies: dict[str, int] = field(default_factory=dict)
    """Sizes that are told in place of the true ones, by path."""

    def commit(self, branch: str, files: Files) -> str:
        """Let a branch be these files; return the commit, 40 hex digits."""
        content = json.dumps([[path, hashlib.sha256(files[path]).hexdigest()] for path in sorted(files)])
        name = hashlib.sha1(content.encode()).hexdigest()
        self.branches[branch], self.commits[name] = name, dict(files)
        return name

    def resolve(self, revision: str) -> str | None:
        """Return the commit of a branch, or the commit itself; None if there is neither."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class Hub:
    """Serves repositories while its ``with`` block lasts."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        """By kind and name: ``models/owner/name``."""
        self.uploads: dict[str, bytes] = {}
        """Contents that were sent ahead of a commit, by SHA-256."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request, as it came."""
        self.held, self.go_on = threading.Event(), threading.Event()
        """Whether an answer has stopped midway, and whether it may go on."""
        self.spoil: Callable[[str, str, Answer], Answer] = lambda method, path, answer: answer
        """What becomes of an answer, by the method and path that were asked."""
        self.sent: Counter[str] = Counter()
        """Bytes of each file that went out, by its path in its repository."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nobody any more: connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        name: str,
        files: Mapping[str, bytes] | Path,
        *,
        kind: str = "models",
        branch: str = "main",
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Put files, or those of a folder, into a repository, in place of what the branch was; return the commit."""
        repository = self.repositories.setdefault(f"{kind}/{name}", Repository())
        repository.private, repository.gated = private, gated
        return repository.commit(branch, tree_of(files) if isinstance(files, Path) else dict(files))

    def model(self, name: str) -> Repository:
        """Return a repository of models, to look into it, or to spoil it."""
        return self.repositories[f"models/{name}"]

    def files(self, name: str, *, kind: str = "models", branch: str = "main") -> Files:
        """Return what a branch holds, pushed or not."""
        repository = self.repositories[f"{kind}/{name}"]
        return repository.commits[repository.branches[branch]]

    def asked_for(self, pattern: str) -> list[tuple[str, str]]:
        """Return the requests whose path has the pattern in it."""
        return [request for request in self.requests if re.search(pattern, request[1])]

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Return the environment of a process whose client asks this hub and nobody else, and keeps its cache in ``home``."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")) and not name.lower().endswith("_proxy")
        }
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        return {**inherited, **own, "HF_HUB_DISABLE_TELEMETRY": "1", **more}


@contextmanager
def asked(hub: Hub, home: Path, *, token: str | None = None, offline: bool = False) -> Iterator[None]:
    """Let the client of this process, which has read its environment already, ask the hub and keep its cache in ``home``."""
    from huggingface_hub import close_session, constants

    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HUB_OFFLINE": offline,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_XET": True,
        "HF_TOKEN_PATH": str(home / "token"),
    }
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HF_TOKEN": token} if token else {}
    close_session()
    with patch.multiple(constants, **settings), patch.dict(os.environ, environment, clear=True):
        yield
    close_session()


class _Refused(Exception):
    """An answer other than 200, with the hub's code for it."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(status, code)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(self._read)

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_POST(self) -> None:
        self._answer(self._write)

    def do_PUT(self) -> None:
        self._answer(self._write)

    def _answer(self, respond: Any) -> None:
        self.hub.requests.append((self.command, self.path))
        try:
            respond(urlsplit(self.path).path)
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.code} if refused.code else {}
            self._send(b"{}", status=refused.status, **headers)

    def _send(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = Answer(status, {"Content-Length": str(len(body)), **told}, body)
        answer = self.hub.spoil(self.command, self.path, answer)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = answer.body
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), Content_Type="application/json")

    # --- who may see what ---------------------------------------------------------------------------------------------

    @property
    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, key: str) -> Repository:
        """Return a repository; one that is missing and one that is private look alike from outside."""
        repository = self.hub.repositories.get(key)
        if repository is None or (repository.private and not self._is_known):
            raise _Refused(404 if self._is_known else 401, "RepoNotFound")
        return repository

    def _commit(self, repository: Repository, revision: str) -> str:
        commit = repository.resolve(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound")
        return commit

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, path: str) -> None:
        if found := re.fullmatch(r"/api/(models|datasets)/(.+?)(?:/(revision|tree)/([^/]+)(?:/(.+))?)?", path):
            kind, name, what, revision, below = found.groups()
            repository = self._repository(f"{kind}/{name}")
            commit = self._commit(repository, unquote(revision or "main"))
            if what == "tree":
                self._send_json(_tree(repository, commit, unquote(below or "")))
            else:
                blobs = "blobs" in parse_qs(urlsplit(self.path).query)
                self._send_json(_info(name, repository, commit, blobs))
        elif found := re.fullmatch(r"/(?:(datasets)/)?(.+?)/resolve/([^/]+)/(.+)", path):
            kind, name, revision, file = found.groups()
            self._send_file(self._repository(f"{kind or 'models'}/{name}"), unquote(revision), unquote(file))
        elif path == "/api/whoami-v2" and self._is_known:
            self._send_json({"type": "user", "name": "someone", "orgs": []})
        else:
            raise _Refused(404)

    def _send_file(self, repository: Repository, revision: str, file: str) -> None:
        commit = self._commit(repository, revision)
        if repository.gated and not self._is_known:
            raise _Refused(401, "GatedRepo")
        if file not in repository.commits[commit]:
            raise _Refused(404, "EntryNotFound")
        content = repository.commits[commit][file]
        headers = {"ETag": f'"{_etag(file, content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if self.command == "HEAD":
            self._send(content, **headers, Content_Length=str(repository.lies.get(file, len(content))))
            return
        status, asked = 200, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start, end = int(asked[1]), len(content)
            status, content = 206, content[start:]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{end}"
        whole = str(len(content))
        if file in repository.cuts:
            content = content[: repository.cuts.pop(file)]
            self.close_connection = True
        held = repository.holds.pop(file, len(content))
        self.hub.sent[file] += len(content)
        self._send(content[:held], status=status, **headers, Content_Length=whole)
        if held < len(content):
            self.hub.held.set()
            self.hub.go_on.wait(60)
            with suppress(OSError):  # who asked may have gone
                self.wfile.write(content[held:])

    # --- pushes -------------------------------------------------------------------------------------------------------

    def _write(self, path: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            if hashlib.sha256(body).hexdigest() != found[1]:
                raise _Refused(400)
            self.hub.uploads[found[1]] = body
            self._send(b"")
        elif not self._is_known:
            raise _Refused(401)
        elif path == "/api/validate-yaml":
            self._send_json({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/(.+)/branch/([^/]+)", path):
            self._branch(self._repository(f"models/{found[1]}"), unquote(found[2]))
        elif found := re.fullmatch(r"/(?:(datasets)/)?(.+)\.git/info/lfs/objects/batch", path):
            self._send_json({"transfer": "basic", "objects": [self._upload(o) for o in json.loads(body)["objects"]]})
        elif found := re.fullmatch(r"/api/(models|datasets)/(.+)/(preupload|commit)/([^/]+)", path):
            kind, name, what, revision = found.groups()
            repository = self._repository(f"{kind}/{name}")
            if what == "preupload":
                self._send_json({"files": [_preupload(entry) for entry in json.loads(body)["files"]]})
            else:
                self._push(name, repository, unquote(revision), [json.loads(line) for line in body.splitlines()])
        else:
            raise _Refused(404)

    def _create(self, asked: Mapping[str, Any]) -> None:
        name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
        key = f"{asked.get('type') or 'model'}s/{name}"
        if name.partition("/")[0] in FOREIGN:
            raise _Refused(403)
        told = json.dumps({"url": f"{self.hub.url}/{name}", "name": name}).encode()
        if key in self.hub.repositories:
            self._send(told, status=409)
            return
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.repositories[key] = repository = Repository(private)
        repository.commit("main", {})
        self._send(told, Content_Type="application/json")

    def _branch(self, repository: Repository, name: str) -> None:
        if name in repository.branches:
            raise _Refused(409)
        repository.branches[name] = repository.branches["main"]
        self._send(b"")

    def _upload(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        known = {"oid": entry["oid"], "size": entry["size"]}
        if entry["oid"] in self.hub.uploads:
            return known
        return {**known, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{entry['oid']}", "header": {}}}}

    def _push(self, name: str, repository: Repository, branch: str, lines: list[dict[str, Any]]) -> None:
        files = dict(repository.commits[self._commit(repository, branch)])
        for key, value in ((line["key"], line["value"]) for line in lines):
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(branch, files)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self._send_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


def _is_large(path: str) -> bool:
    return path.endswith(LARGE)


def _git(content: bytes) -> str:
    """Return what git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _etag(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if _is_large(path) else _git(content)


def _preupload(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": entry["path"],
        "uploadMode": "lfs" if _is_large(entry["path"]) else "regular",
        "shouldIgnore": False,
    }


def _info(name: str, repository: Repository, commit: str, blobs: bool) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = []
    for path, content in repository.commits[commit].items():
        large = {"lfs": {"sha256": _etag(path, content), "size": len(content), "pointerSize": 134}}
        details = {"size": len(content), "blobId": _git(content), **(large if _is_large(path) else {})}
        siblings.append({"rfilename": path, **(details if blobs else {})})
    return {
        "_id": commit[:24],
        "id": name,
        "modelId": name,
        "sha": commit,
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "tags": [],
        "siblings": siblings,
    }


def _tree(repository: Repository, commit: str, below: str) -> list[dict[str, Any]]:
    """List all files below a folder, as ``recursive`` does."""
    prefix = f"{below}/" if below else ""
    found = {path: content for path, content in repository.commits[commit].items() if path.startswith(prefix)}
    if below and not found:
        raise _Refused(404, "EntryNotFound")
    folders = sorted({parent.as_posix() for path in found for parent in list(Path(path).parents)[:-1]})
    entries: list[dict[str, Any]] = [
        {"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders
    ]
    for path, content in found.items():
        size = repository.lies.get(path, len(content))
        large = {"lfs": {"oid": _etag(path, content), "size": size, "pointerSize": 134}} if _is_large(path) else {}
        entries.append({"type": "file", "path": path, "size": size, "oid": _git(content), **large})
    return entries

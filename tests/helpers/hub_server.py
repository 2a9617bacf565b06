"""A stand-in of the Hugging Face Hub on this machine: its HTTP interface, as far as pushing and fetching a model go."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    """Its commits, newest last: each a name and all files."""

    private: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(repr([len(self.commits), sorted(files.items())]).encode()).hexdigest()
        self.commits.append((sha, files))
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[-1]
        return next((one for one in self.commits if one[0] == revision), None)


@dataclass
class Hub:
    """What the server holds and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def files(self, name: str) -> dict[str, bytes]:
        return self.repositories[name].commits[-1][1]


class Handler(BaseHTTPRequestHandler):
    """Answers one request; ``hub`` is set by the server's subclass."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *told: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self._path()
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            self._info(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            _, files = self._commit(found[1], found[2]) or ("", {})
            self._json([{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(found[1], found[2], found[3])
        elif path == "/api/whoami-v2":
            self._json({"name": "me", "type": "user"}) if self._known() else self._fail(401, "Unauthorized")
        else:
            self._fail(404, path)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        body = self._body()
        sha = hashlib.sha256(body).hexdigest()
        if self._path() != f"/upload/{sha}":
            self._fail(400, "other bytes than announced")
        else:
            self.hub.uploaded[sha] = body
            self._json({})

    def do_POST(self) -> None:
        path, body = self._path(), self._body()
        if not self._known():
            self._fail(401, "Invalid username or password.")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/main", path):
            files = json.loads(body)["files"]
            mode = {True: "lfs", False: "regular"}
            told = [{"path": f["path"], "uploadMode": mode[f["path"].endswith(".safetensors")],
                     "shouldIgnore": False, "oid": None} for f in files]  # fmt: skip
            self._json({"files": told})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            made = [{**one, "actions": {"upload": {"href": f"{self.hub.url}/upload/{one['oid']}"}}} for one in objects]
            self._json({"transfer": "basic", "objects": made}, "application/vnd.git-lfs+json")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self._take(found[1], body)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/paths-info/([^/]+)", path):
            self._json([])
        else:
            self._json({}) if path in ("/api/validate-yaml",) else self._fail(404, path)

    # ------------------------------------------------------------------------------------------------- of the answers

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.hub.repositories:
            told = {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}
            self._send(409, json.dumps(told).encode(), {})
            return
        self.hub.repositories[name] = Repository(bool(asked.get("private") or asked.get("visibility") == "private"))
        self.hub.repositories[name].commit({".gitattributes": b""})
        self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _take(self, name: str, body: bytes) -> None:
        repository = self.hub.repositories[name]
        files = dict(repository.commits[-1][1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploaded[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(files)
        url = f"{self.hub.url}/{name}/commit/{sha}"
        self._json({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._known()):
            self._fail(401, "Repository not found", "RepoNotFound")
            return None
        found = repository.at(revision)
        if found is None:
            self._fail(404, "Invalid rev id", "RevisionNotFound")
        return found

    def _info(self, name: str, revision: str) -> None:
        found = self._commit(name, revision)
        if found is None:
            return
        sizes = {file: self.hub.sizes.get(file, len(data)) for file, data in found[1].items()}
        listed = [{"rfilename": file, "size": size, "blobId": "0"} for file, size in sizes.items()]
        self._json({"id": name, "modelId": name, "sha": found[0], "siblings": listed, "tags": [], "private": False})

    def _file(self, name: str, revision: str, path: str) -> None:
        found = self._commit(name, revision)
        if found is None:
            return
        data = found[1].get(path)
        if data is None:
            self._fail(404, "Entry not found", "EntryNotFound")
        else:
            self._send(200, data, {"X-Repo-Commit": found[0], "ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        return path

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _json(self, value: object, kind: str = "application/json") -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": kind})

    def _fail(self, code: int, why: str, name: str = "") -> None:
        told = {"X-Error-Code": name, "X-Error-Message": why} if name else {"X-Error-Message": why}
        self._send(code, json.dumps({"error": why}).encode(), told)

    def _send(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def reach(hub: Hub, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Have the hub's client in this process, and in those that it starts, ask the stand-in."""
    import huggingface_hub
    from huggingface_hub import constants

    known = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}
    for name, value in {**known, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    huggingface_hub.close_session()


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers at ``hub.url`` until the context ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

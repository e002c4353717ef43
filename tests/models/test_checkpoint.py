"""Hub names: an early answer without a network, the cache first, and only the files that are read. Skipped without torch."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

for package in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(package)

import huggingface_hub  # noqa: E402
import tiny_transformers as tiny  # noqa: E402
from huggingface_hub import constants  # noqa: E402

from equipoise.errors import ChecksumError, InputError, MissingFileError  # noqa: E402
from equipoise.models import checkpoint  # noqa: E402
from equipoise.models.transformers import load  # noqa: E402

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give an empty cache, and let nothing switch the network off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tiny.clip(tmp_path_factory.mktemp("hub") / "clip")
    (found / "pytorch_model.bin").write_bytes(b"pickle")
    (found / "onnx").mkdir()
    (found / "onnx" / "model.safetensors").write_bytes(b"not wanted")
    return found


def at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}")  # fmt: skip


class Hub(ThreadingHTTPServer):
    """One model of a folder, over HTTP."""

    folder: Path
    asked: list[str]


class Answers(BaseHTTPRequestHandler):
    """What the hub's interface answers: the model's files, their heads, their bytes."""

    server: Hub

    def do_HEAD(self) -> None:
        self.answer(head=True)

    def do_GET(self) -> None:
        self.answer()

    def answer(self, head: bool = False) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path.startswith("/api/models/someone/tiny"):
            files = [p for p in sorted(self.server.folder.rglob("*")) if p.is_file()]
            names = [p.relative_to(self.server.folder).as_posix() for p in files]
            if "/tree/" in path:
                found: object = [
                    {"type": "file", "path": n, "size": p.stat().st_size, "oid": "0"} for n, p in zip(names, files, strict=True)
                ]  # fmt: skip
            else:
                found = {"id": "someone/tiny", "modelId": "someone/tiny", "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}  # fmt: skip
            self.send(200, json.dumps(found).encode(), head, {"Content-Type": "application/json"})
            return
        prefix = f"/someone/tiny/resolve/{COMMIT}/"
        file = self.server.folder / path.removeprefix(prefix)
        if path.startswith(prefix) and file.is_file():
            data = file.read_bytes()
            self.send(200, data, head, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
            return
        self.send(404, b"{}", head, {"X-Error-Code": "RepoNotFound", "Content-Type": "application/json"})

    def send(self, code: int, data: bytes, head: bool, headers: dict[str, str]) -> None:
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if not head:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with Hub(("127.0.0.1", 0), Answers) as found:
        found.folder, found.asked = Path(shutil.copytree(folder, tmp_path / "served")), []
        thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        at(monkeypatch, found.server_address[1])
        yield found
        found.shutdown()
        thread.join()
        if hasattr(huggingface_hub, "close_session"):
            huggingface_hub.close_session()


def test_a_hub_name_where_nothing_listens(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    at(monkeypatch, port)
    start = time.monotonic()
    with pytest.raises(MissingFileError, match=r"no folder 'someone/tiny'.*hub cannot be reached.*name its folder"):
        load("someone/tiny")
    assert time.monotonic() - start < 10


def test_a_hub_name_where_nobody_answers(monkeypatch):
    monkeypatch.setattr(checkpoint, "TIMEOUT", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        at(monkeypatch, silent.getsockname()[1])
        start = time.monotonic()
        with pytest.raises(MissingFileError, match="hub cannot be reached"):
            load("someone/tiny")
        assert time.monotonic() - start < 5


def test_a_hub_name_when_the_network_is_switched_off(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingFileError, match="hub cannot be reached"):
        load("someone/tiny")


def test_a_model_is_fetched_once_and_then_comes_from_the_cache(server, folder, monkeypatch):
    assert load("someone/tiny").fingerprint == load(str(folder)).fingerprint
    fetched = {path.rpartition("/")[2] for path in server.asked if "/resolve/" in path}
    assert "model.safetensors" in fetched
    assert not any(path.endswith(".bin") or "/onnx/" in path for path in server.asked)
    server.asked.clear()
    assert load("someone/tiny", local_files_only=True).name == "someone/tiny"
    assert load("someone/tiny").dim == 16
    assert server.asked == []


def test_a_cache_that_lacks_the_tokenizer_is_completed_where_there_is_a_hub(server, tmp_path, monkeypatch):
    load("someone/tiny")
    for path in (tmp_path / "cache").rglob("snapshots/*/tokenizer*.json"):
        path.unlink()
    with pytest.raises(MissingFileError, match="no tokenizer"):
        load("someone/tiny", local_files_only=True)
    assert load("someone/tiny").dim == 16


def test_local_files_only_asks_nobody(server):
    with pytest.raises(MissingFileError, match="not in the local cache"):
        load("someone/tiny", local_files_only=True)
    assert server.asked == []


def test_a_name_that_the_hub_does_not_know(server):
    with pytest.raises(MissingFileError, match="hub has no such model"):
        load("someone/else")


def test_a_hub_model_of_pickles_is_refused_before_it_is_fetched(server):
    (server.folder / "model.safetensors").unlink()
    (server.folder / "onnx" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pytorch_model\.bin, and not as safetensors"):
        load("someone/tiny")
    assert not any("/resolve/" in path for path in server.asked)


def test_a_bit_that_flips_in_the_cache_is_noticed(server, tmp_path):
    load("someone/tiny")
    (weights,) = (tmp_path / "cache").rglob("snapshots/*/model.safetensors")
    if not weights.is_symlink():
        pytest.skip("this file system has no links, and its cache no checksums")
    blob = weights.resolve()
    data = bytearray(blob.read_bytes())
    data[-3] ^= 1
    blob.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"'model\.safetensors' of 'someone/tiny' is damaged"):
        load("someone/tiny")


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "/nowhere/at/all", "~/nowhere-at-all", "a b"])
def test_paths_never_go_to_the_hub(name, server):
    with pytest.raises(MissingFileError, match="no folder"):
        load(name)
    assert server.asked == []

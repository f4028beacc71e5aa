"""Weights are fetched whole or not at all, from the revision that is named, and only once."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import InvalidInputError, UnavailableError
from core.weights import HUB_MODELS, NAMES, seed


class Hub:
    """A server of files that counts what it is asked for and may tell a wrong checksum."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lies = self.breaks = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                large = self.path.endswith((".safetensors", ".pth"))
                if large and not self.path.startswith("/cdn"):
                    self.send_response(302)
                    self.send_header("location", f"/cdn{self.path}")
                    told = "0" * 64 if hub.lies else hashlib.sha256(content(self.path)).hexdigest()
                    self.send_header("x-linked-etag", f'"{told}"')
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                body = content(self.path.removeprefix("/cdn"))
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:3] if hub.breaks else body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def content(path: str) -> bytes:
    """What stands behind an address."""
    if path.endswith(".zip"):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("tts_models--en--ljspeech--vits/config.json", "{}")
            archive.writestr("tts_models--en--ljspeech--vits/model_file.pth", b"weights")
            archive.writestr("__MACOSX/._config.json", b"x")
        return held.getvalue()
    return f"content of {path}".encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Where models come from."""
    started = Hub()
    yield started
    started.server.shutdown()
    started.server.server_close()


def held(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", sorted(HUB_MODELS))
def test_every_file_of_a_model_comes_from_its_revision_to_its_place(hub: Hub, tmp_path: Path, name: str) -> None:
    (line,) = seed(tmp_path, [name], hub=hub.url)

    wanted = {
        f"{name}/{place}": content(f"/{source.repo}/resolve/{source.revision}/{path}")
        for source in HUB_MODELS[name]
        for path, place in source.files.items()
    }
    assert held(tmp_path) == wanted
    for source in HUB_MODELS[name]:
        assert len(source.revision) == 40
        assert source.repo in line
        assert source.licence in line


def test_the_voice_in_an_archive_is_unpacked_flat(hub: Hub, tmp_path: Path) -> None:
    seed(tmp_path, ["vits"], vits=f"{hub.url}/voice.zip")

    assert held(tmp_path) == {"vits/config.json": b"{}", "vits/model_file.pth": b"weights"}


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    for _ in range(2):
        seed(tmp_path, ["xtts", "vits"], hub=hub.url, vits=f"{hub.url}/voice.zip")
        asked = len(hub.asked)

    assert asked == len(set(hub.asked))


def test_bytes_that_were_changed_on_their_way_are_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.lies = True

    with pytest.raises(UnavailableError, match="other bytes"):
        seed(tmp_path, ["xtts"], hub=hub.url)

    assert not [path for path in held(tmp_path) if path.endswith(".pth")]


def test_a_line_that_breaks_leaves_nothing_that_looks_whole(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = True
    with pytest.raises(UnavailableError):
        seed(tmp_path, ["xtts"], hub=hub.url)
    assert all(path.endswith(".part") for path in held(tmp_path))
    hub.breaks = False

    seed(tmp_path, ["xtts"], hub=hub.url)

    assert not [path for path in held(tmp_path) if path.endswith(".part")]


@pytest.mark.parametrize("names", [[], ["sdxl-base", "../x"]])
def test_a_model_that_nobody_knows_is_refused_with_the_names_there_are(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InvalidInputError) as raised:
        seed(tmp_path, names)

    assert all(name in raised.value.sentence for name in NAMES)
    assert held(tmp_path) == {}

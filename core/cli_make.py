"""`make` and `watch`: from what a person typed to three files on the disk."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from core import stack as local
from core.adapters.retries import with_retries
from core.cli_connect import Connection
from core.cli_scenes import ScenesFile, send
from core.cli_view import View, free_path, slug
from core.documents import Video
from core.errors import InvalidInputError, UnavailableError
from core.identity import file_sha256
from core.request import validate
from core.schema import UPLOADS, bucket
from core.settings import Settings
from core.watch import Session, execute, follow

SCRIPT_BYTES = 1_000_000
_BLOCK = 1 << 18
_TIMEOUT = (3.0, 30.0)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for. `options`: as the API names them, only those that were given."""

    topic: str = ""
    script: str | None = None
    music: Path | None = None
    out: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    scenes: ScenesFile | None = None

    def body(self, id_of: Callable[[Path], str] = lambda path: file_sha256(path)[:36]) -> dict[str, Any]:
        """The body of POST /videos; `id_of` gives the id of a file that a scene brings."""
        scenes = self.scenes.body(id_of) if self.scenes else None
        given = {"topic": self.topic or None, "script": self.script, "scenes": scenes, **self.options}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Result:
    """The finished film and what lies beside it."""

    video: Video
    film: Path
    beside: dict[str, Path]  # "srt" and "vtt" -> file


# ---- before anything is started


def read_script(source: str) -> str:
    """The text of a script file, or of standard input for "-".

    Raises:
        InvalidInputError: field script; it is missing, unreadable, too big, no text, or not UTF-8.
    """
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(SCRIPT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(SCRIPT_BYTES + 1)
    except FileNotFoundError as error:
        raise _bad_script(f"There is no file {source}.", "script_missing") from error
    except OSError as error:
        raise _bad_script(f"{source} cannot be read: {error.strerror}.", "script_unreadable") from error
    name = "Standard input" if source == "-" else source
    if len(raw) > SCRIPT_BYTES:
        raise _bad_script(f"{name} is over 1 MB, which is no script of a video.", "script_too_big")
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in raw and not utf16:
        raise _bad_script(f"{name} is a binary file, not text.", "script_binary")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_script(f"{name} is not UTF-8: save it in that encoding and try again.", "wrong_encoding") from error


def _bad_script(sentence: str, code: str) -> InvalidInputError:
    return InvalidInputError(sentence, code=code, field="script")


def check_wish(wish: Wish, settings: Settings) -> None:
    """Refuse, before anything is started or recorded, what could not become a film here.

    A configured server decides for itself what it offers; the local one runs this very code.

    Raises:
        InvalidInputError: naming the field.
        MissingToolError: there is no ffmpeg.
    """
    if wish.out and wish.out.suffix.lower() != ".mp4" and not wish.out.is_dir():
        raise InvalidInputError(f"{wish.out} must end in .mp4.", code="out_not_mp4", field="out")
    if wish.out and not wish.out.is_dir():
        with local.writable(wish.out.parent, "out"):
            wish.out.parent.mkdir(parents=True, exist_ok=True)
    if wish.music:
        _check_music(wish.music)
    if settings.endpoint:
        return
    from core.engines.voice_espeak import EspeakVoice
    from core.media.run import ffmpeg_path
    from core.wiring import build_choices

    request = validate(wish.body(), build_choices(settings))
    ffmpeg_path()
    if request.options.voice and settings.voice_engine == "espeak":  # a model's own voices are in its weights
        EspeakVoice().resolve(request.options.language, request.options.voice)


def _check_music(path: Path) -> None:
    from core.media.mix import check_music

    limit, kinds = bucket(UPLOADS)["maximumFileSize"], ("mp3", "wav", "m4a", "ogg", "flac")
    try:
        with path.open("rb") as file:
            file.read(1)
        size = path.stat().st_size
    except OSError as error:
        sentence = f"The music {path} cannot be read: {error.strerror}."
        raise InvalidInputError(sentence, code="music_unreadable", field="music") from error
    if size > limit:
        sentence = f"The music {path} has {size / 1e6:.0f} MB; at most {limit / 1e6:.0f} are allowed."
        raise InvalidInputError(sentence, code="music_too_big", field="music")
    if path.suffix.lower().lstrip(".") not in kinds:
        sentence = f"{path.name} must be one of {', '.join(kinds)}."
        raise InvalidInputError(sentence, code="music_not_audio", field="music")
    check_music(path)


# ---- with a server


def create(session: Session, wish: Wish) -> str:
    """Bring the music and the files of the scenes there and record the video; returns its id."""
    client, user = session.client(), session.user_id
    body = wish.body(lambda path: send(client, path, user, "material"))
    if wish.music:
        body["music_file_id"] = send(client, wish.music, user, "music")
    key = {"Idempotency-Key": secrets.token_hex(16)}  # an answer that got lost makes no second video
    answer = execute(client, "POST", "/videos", body, key)
    return str(answer["videoId"])


def watch(connection: Connection, session: Session, video_id: str, view: View) -> Video:
    """Show a video until it has ended; returns its last state."""
    last: Video | None = None
    with view:
        for video in follow(session, video_id, alive=connection.died):
            view.show(video)
            last = video
    assert last is not None  # follow yields at least the present state
    return last


def fetch(session: Session, video: Video, out: Path | None) -> Result:
    """Bring film and subtitles here.

    Args:
        out: the film's path or a folder for it; None: a new name in the present folder.

    Raises:
        MissingToolError: the disk is full or the folder cannot be written.
        UnavailableError: the download broke off.
    """
    answer = execute(session.client(), "GET", f"/videos/{video.id}")
    film = _place(answer, out)
    with local.writable(film.parent, "out"):
        _save(str(answer["play_url"]), film)
        beside = {}
        for kind, url in (("srt", answer["subtitlesUrl"]), ("vtt", answer["captionsUrl"])):
            if url:
                beside[kind] = film.with_suffix(f".{kind}")
                _save_own(session, url, beside[kind])
    return Result(video, film, beside)


def _place(answer: Mapping[str, Any], out: Path | None) -> Path:
    if out and not out.is_dir():
        return out
    first = answer["scenes"][0]["title"] if answer["scenes"] else ""
    title = answer["options"].get("title") or answer["topic"] or first or ""
    return free_path((out or Path()) / f"{slug(title)}.mp4")


def _save(url: str, out: Path) -> None:
    """Stream a URL to a file that appears whole or not at all."""
    part = out.with_name(f".{out.name}.part")
    try:
        with requests.Session() as http:
            http.trust_env = False
            with http.get(url, stream=True, timeout=_TIMEOUT) as response:
                if response.status_code >= 400:
                    raise UnavailableError(f"The download was refused ({response.status_code}).")
                with part.open("wb") as file:
                    for block in response.iter_content(_BLOCK):
                        file.write(block)
        part.replace(out)
    except requests.RequestException as error:
        raise UnavailableError(
            f"The download broke off ({type(error).__name__}); `scenewright watch` again."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _save_own(session: Session, url: str, out: Path) -> None:
    """Download a file that only its owner may read, by its view URL."""
    path = re.sub(r"^.*?/v1(?=/storage/)", "", urlsplit(url).path)
    client = session.client()
    with_retries(lambda: client.download(path, out), out.name)

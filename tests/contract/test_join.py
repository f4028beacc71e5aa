"""The join: what is tried again, kept and thrown away; real documents, files and engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from core.engine_ports import FilmBrief, Finding, Heard, Report
from core.errors import EngineError, UnavailableError
from core.identity import digest, file_sha256
from core.schema import FILMS
from core.status import VideoStatus
from tests.contract.conftest import client_of
from tests.contract.making import BUSY, REAL, TEXTS, Begin, engines_that
from tests.emulator.conftest import Running
from tests.waiting import wait_for


@dataclass
class Film:
    """The real film engine; the test says what is found wrong with a film, or does something first."""

    inner: Any
    wrong: Callable[[], str]
    joined: list[Path] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the real engine's own."""
        return getattr(self.inner, name)

    def join(self, brief: FilmBrief, out: Path) -> Heard:
        """See engine_ports.FilmEngine."""
        self.joined.append(out)
        heard: Heard = self.inner.join(brief, out)
        return heard

    def inspect(self, brief: FilmBrief, film: Path, heard: Heard, report: Report) -> Sequence[Finding]:
        """See engine_ports.FilmEngine."""
        if wrong := self.wrong():
            return [Finding("black", False, wrong)]
        found: Sequence[Finding] = self.inner.inspect(brief, film, heard, report)
        return found


def test_the_join_is_tried_again_too(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    errors: list[Exception | None] = [EngineError("ffmpeg was killed.", retryable=True), None]
    engines, _ = engines_that(fade=lambda _: errors.pop(0))

    made.run(engines)

    assert made.video.status is VideoStatus.COMPLETED
    assert made.events("retrying") == ["Joining: retrying the fade (2 of 3): ffmpeg was killed."]


@pytest.mark.parametrize("lost", [False, True])
def test_a_fade_that_was_kept_is_used_again_and_one_whose_file_is_gone_is_made_again(begin: Begin, lost: bool) -> None:
    made = begin(*TEXTS[:3])
    engines, _ = engines_that(fade=lambda before: BUSY if before.brief.number == 2 else None)
    with pytest.raises(UnavailableError):
        made.run(engines)
    (kept,) = (asset for asset in made.parts.store.assets(made.id) if asset.kind == "fade")
    if lost:
        made.parts.files.delete(kept.bucket_id, kept.file_id)
    filmed: list[int] = []

    made.again()
    made.run(engines_that(fade=lambda before: filmed.append(before.brief.number))[0])

    assert made.video.status is VideoStatus.COMPLETED
    assert sorted(filmed) == ([1, 2] if lost else [2])


def test_a_film_is_sent_while_it_is_looked_at(begin: Begin) -> None:
    made = begin(TEXTS[0])

    def is_there() -> str:
        file_id = digest(made.id, "film", file_sha256(film.joined[0]))[:36]
        wait_for(lambda: made.parts.files.stat(FILMS, file_id), "the film to be in storage before it is judged")
        assert made.video.combined_video_url == ""
        return ""

    film = Film(REAL.film, is_there)
    made.run(replace(REAL, film=film))

    assert made.video.status is VideoStatus.COMPLETED


def test_a_film_that_is_found_bad_is_not_kept(begin: Begin) -> None:
    made = begin(*TEXTS[:2])

    made.run(replace(REAL, film=Film(REAL.film, lambda: "At 0.0-2.0 s the picture is black.")))

    assert (made.video.status, made.video.error_code) == (VideoStatus.FAILED, "quality_black")
    assert made.video.error_message == "At 0.0-2.0 s the picture is black."
    kept = {asset.kind: asset for asset in made.parts.store.assets(made.id)}
    assert "film" not in kept
    assert made.parts.files.called(FILMS, made.id) == [kept["thumbnail"].file_id]


def test_a_film_that_could_not_be_looked_at_is_looked_at_again_and_not_joined_again(begin: Begin) -> None:
    made = begin(TEXTS[0])
    errors = [EngineError("ffmpeg was killed.", retryable=True)]

    def killed_once() -> str:
        if errors:
            raise errors.pop()
        return ""

    film = Film(REAL.film, killed_once)
    made.run(replace(REAL, film=film))

    assert made.video.status is VideoStatus.COMPLETED
    assert made.events("retrying") == ["Joining: retrying the check of the film (2 of 3): ffmpeg was killed."]
    assert len(film.joined) == 1


@pytest.fixture
def small_bucket(appwrite: Running) -> Iterator[None]:
    """While a test runs, no film may be larger than 100 kB."""
    client, path = client_of(appwrite), f"/storage/buckets/{FILMS}"
    before = client.ask("get", path, "bucket")
    given = {name: before[name] for name in ("name", "fileSecurity", "enabled", "maximumFileSize", "encryption")}
    given["permissions"] = before["$permissions"]
    client.ask("put", path, "bucket", {**given, "maximumFileSize": 100_000})
    yield
    client.ask("put", path, "bucket", given)


@pytest.mark.usefixtures("small_bucket")
def test_a_film_that_storage_refuses_for_its_size_is_said_to_be_too_large(begin: Begin) -> None:
    made = begin(TEXTS[0])

    made.run(REAL)

    assert (made.video.status, made.video.error_code) == (VideoStatus.FAILED, "quality_size")
    assert "0.1 MB" in made.video.error_message

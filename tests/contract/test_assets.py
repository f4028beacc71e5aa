"""Kept files: made once, believed only with the bytes they had, made again when they are gone or changed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from core import assets
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.adapters.inline_dispatch import InlineDispatcher
from core.control import edit
from core.create import create_video
from core.documents import Asset, Options, Video
from core.errors import NotFoundError
from core.journal import EventKind, note
from core.plan import plan
from core.ports import Parts
from core.request import VideoRequest
from core.settings import Settings
from core.status import VideoStatus
from core.wiring import build_choices, build_parts
from core.wishes import SceneEdit
from tests.chaos.proxy import Fault, faulty_proxy
from tests.emulator.conftest import Running
from tests.waiting import wait_for

from .conftest import client_of


@pytest.fixture(scope="module")
def parts(appwrite: Running) -> Parts:
    """Everything real, and the renderer in this very process."""
    at = Settings(
        endpoint=appwrite.endpoint,
        project_id=appwrite.project,
        api_key=appwrite.key,
        renderer="inline",
        report_seconds=0.2,
    )
    return build_parts(at)


@pytest.fixture
def video() -> Video:
    """Somebody's video; no row is needed to keep files for it."""
    return Video(id=secrets.token_hex(10), owner_id="ada")


def written(tmp_path: Path, content: bytes) -> Path:
    """A finished file."""
    path = tmp_path / f"{secrets.token_hex(4)}.mp4"
    path.write_bytes(content)
    return path


def replace_bytes(parts: Parts, asset: Asset, tmp_path: Path) -> None:
    """Put as many other bytes where an asset's file is."""
    parts.files.delete(asset.bucket_id, asset.file_id)
    parts.files.upload(asset.bucket_id, asset.file_id, written(tmp_path, os.urandom(asset.bytes)), "ada")


def file_ids(parts: Parts, video_id: str) -> list[str]:
    """The files of a video's rows."""
    return [a.file_id for a in parts.store.assets(video_id)]


def test_a_file_with_other_bytes_of_the_same_length_is_not_believed(parts: Parts, video: Video, tmp_path: Path) -> None:
    kept = assets.keep(parts, video, "clip", "k", written(tmp_path, b"as it was made"), {})
    assert assets.find(parts, video.id, "k") == kept

    replace_bytes(parts, kept, tmp_path)

    assert assets.find(parts, video.id, "k") is None


@pytest.mark.parametrize("broken", ["gone", "other bytes"])
def test_the_row_of_a_lost_file_gets_the_new_one(parts: Parts, video: Video, tmp_path: Path, broken: str) -> None:
    lost = assets.keep(parts, video, "clip", "k", written(tmp_path, b"the first encode"), {"frames": 3})
    if broken == "gone":
        parts.files.delete(lost.bucket_id, lost.file_id)
    else:
        replace_bytes(parts, lost, tmp_path)

    again = assets.keep(parts, video, "clip", "k", written(tmp_path, b"the second encode"), {"frames": 4})

    assert (again.id, again.facts["frames"]) == (lost.id, 4)
    assert again.file_id != lost.file_id
    assert assets.find(parts, video.id, "k") == again
    assert file_ids(parts, video.id) == [again.file_id]
    assert parts.files.stat(lost.bucket_id, lost.file_id) is None


def test_of_two_who_keep_the_same_the_first_is_right_and_the_other_leaves_nothing(
    parts: Parts, video: Video, tmp_path: Path
) -> None:
    first = assets.keep(parts, video, "clip", "k", written(tmp_path, b"one encode"), {})
    other = written(tmp_path, b"another encode")

    assert assets.keep(parts, video, "clip", "k", other, {}) == first

    assert file_ids(parts, video.id) == [first.file_id]
    twin = assets.keep(parts, video, "clip", "other key", other, {})
    assert {first.file_id, twin.file_id} == set(file_ids(parts, video.id))


def test_a_file_that_two_rows_share_outlives_the_loss_of_one(parts: Parts, video: Video, tmp_path: Path) -> None:
    same = written(tmp_path, b"the same bytes for two keys")
    one, two = (assets.keep(parts, video, "picture", key, same, {}) for key in ("one", "two"))
    assert one.file_id == two.file_id
    other = assets.keep(parts, video, "picture", "three", written(tmp_path, b"something else"), {})

    # the third row's file is lost, and what is drawn in its place is like the others to the bit
    parts.files.delete(other.bucket_id, other.file_id)
    assert assets.keep(parts, video, "picture", "three", same, {}).file_id == one.file_id

    assert all(assets.find(parts, video.id, key) for key in ("one", "two", "three"))


def test_scenes_that_say_the_same_fetch_their_one_file_at_the_same_moment(
    parts: Parts, video: Video, tmp_path: Path
) -> None:
    kept = assets.keep(parts, video, "voice", "k", written(tmp_path, os.urandom(3_000_000)), {})
    with ThreadPoolExecutor(4) as pool:
        fetched = [pool.submit(assets.fetch, parts, kept, tmp_path / "fetched.wav") for _ in range(8)]
        assert {future.result().stat().st_size for future in fetched} == {3_000_000}

    assert assets.find(parts, video.id, "k") == kept
    assert list(tmp_path.glob("*.part")) == []


def test_other_bytes_at_the_fetch_count_as_a_missing_asset(parts: Parts, video: Video, tmp_path: Path) -> None:
    kept = assets.keep(parts, video, "clip", "k", written(tmp_path, b"as it was made"), {})
    silent = replace(kept, facts={})  # kept where storage names no checksum
    replace_bytes(parts, kept, tmp_path)

    with pytest.raises(NotFoundError) as raised:
        assets.fetch(parts, silent, tmp_path / "out")

    assert (raised.value.code, raised.value.retryable) == ("asset_gone", True)
    assert not (tmp_path / "out").exists()
    assert assets.find(parts, video.id, "k") is None


@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.CUT])
def test_a_large_file_arrives_whole_although_every_fifth_call_fails(
    appwrite: Running, fault: Fault, tmp_path: Path
) -> None:
    path = written(tmp_path, os.urandom(22_000_000))
    with faulty_proxy(appwrite.endpoint, 5.0) as proxy:
        proxy.begin(fault, seed=1)
        files = AppwriteFiles(client_of(appwrite, proxy.endpoint))
        file_id = secrets.token_hex(8)
        kept = files.upload("final_videos", file_id, path, "ada")
        files.download("final_videos", file_id, tmp_path / "back")
        assert proxy.failed > 0

    assert (kept.complete, kept.bytes) == (True, 22_000_000)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


# ---- a whole video, made again in parts

_ONE, _OTHER = "a volcano with smoke", "a bicycle and a tree"


@pytest.fixture(scope="module")
def film(parts: Parts) -> Iterator[Video]:
    """A finished video of one scene."""
    choices = build_choices(parts.settings)
    request = VideoRequest(
        topic="", description="", script="The mountain sleeps for years.", options=Options(resolution=360, seed=4)
    )
    video = create_video(parts, request, "ada")
    plan(parts, video.id, choices)
    yield ended(parts, video.id)
    parts.store.forget(video.id)


def ended(parts: Parts, video_id: str) -> Video:
    """The video, when no call of it runs any more."""
    wait_for(lambda: parts.store.get_video(video_id).is_terminal, "the end of the video", 200)
    assert isinstance(parts.dispatcher, InlineDispatcher)
    parts.dispatcher.wait(30)
    video = parts.store.get_video(video_id)
    assert (video.status, video.error_message) == (VideoStatus.COMPLETED, "")
    return video


def drawn(parts: Parts, video: Video, prompt: str) -> dict[tuple[str, str], Asset]:
    """Let the scene show something else; the assets after that, by kind and key."""
    edit(parts, parts.store.get_video(video.id), 1, SceneEdit(visual_prompt=prompt))
    ended(parts, video.id)
    return kept_by(parts, video)


def kept_by(parts: Parts, video: Video) -> dict[tuple[str, str], Asset]:
    """The assets of a video by kind and key."""
    found = parts.store.assets(video.id)
    assert len({a.key for a in found}) == len(found)
    return {(a.kind, a.key): a for a in found}


def of_kind(made: dict[tuple[str, str], Asset], kind: str) -> set[str]:
    """The keys of one kind."""
    return {key for k, key in made if k == kind}


def test_only_what_a_change_touches_is_made_and_what_is_whole_never_again(parts: Parts, film: Video) -> None:
    (scene,) = parts.store.scenes(film.id)
    urls = (scene.audio_url, scene.image_url, scene.video_url, film.captions_url, film.subtitles_url)
    assert all(urls)
    drawn(parts, film, _ONE)

    one = kept_by(parts, film)
    other = drawn(parts, film, _OTHER)

    assert of_kind(other, "voice") == of_kind(one, "voice")
    assert len(of_kind(other, "picture")) == len(of_kind(one, "picture")) + 1
    assert {name: (a.file_id, a.updated_at) for name, a in other.items() if name in one} == {
        name: (a.file_id, a.updated_at) for name, a in one.items()
    }
    back = drawn(parts, film, _ONE)
    assert {name: a.updated_at for name, a in back.items()} == {name: a.updated_at for name, a in other.items()}


def test_a_broken_and_a_lost_file_are_made_again_and_nothing_else(parts: Parts, film: Video, tmp_path: Path) -> None:
    drawn(parts, film, _ONE)
    there = drawn(parts, film, _OTHER)
    before = parts.store.scenes(film.id)[0]
    drawn(parts, film, _ONE)
    voice, clip = (assets.of_scene(parts, before, kind) for kind in ("voice", "clip"))
    replace_bytes(parts, voice, tmp_path)
    parts.files.delete(clip.bucket_id, clip.file_id)

    after = drawn(parts, film, _OTHER)

    assert assets.of_scene(parts, before, "voice").file_id == voice.file_id  # the same words give the same bytes
    assert assets.fetch(parts, assets.of_scene(parts, before, "voice"), tmp_path / "voice").exists()
    assert assets.find(parts, film.id, clip.key) is not None
    assert {kind: of_kind(after, kind) for kind in ("voice", "picture", "clip")} == {
        kind: of_kind(there, kind) for kind in ("voice", "picture", "clip")
    }
    for name, asset in there.items():
        assert name[0] in ("voice", "clip") or after[name].updated_at == asset.updated_at


def test_one_row_of_the_log_although_its_answer_was_lost(appwrite: Running, parts: Parts, video: Video) -> None:
    with faulty_proxy(appwrite.endpoint, 5.0) as proxy:
        proxy.begin(Fault.RESET_AFTER, seed=3)
        far = replace(parts, store=AppwriteStore(client_of(appwrite, proxy.endpoint)))
        for number in range(40):
            note(far, video, EventKind.HANDED_OUT, f"event {number}")
        assert proxy.applied > 0

    assert [e.sentence for e in parts.store.events(video.id)] == [f"event {number}" for number in range(40)]

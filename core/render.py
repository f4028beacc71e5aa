"""What a renderer does with its share of a video: scene by scene, reusing what is there, keeping what it makes."""

from __future__ import annotations

import json
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from core import assets
from core.costs import Meter
from core.dispatch import fail, hand_out
from core.documents import FPS, Scene, Video
from core.engine_ports import CodedFootage, Engines
from core.errors import (
    CANCELLED,
    ConflictError,
    LimitError,
    NotFoundError,
    ScenewrightError,
    StoppedError,
    UnavailableError,
)
from core.journal import EventKind, note
from core.ladder import verdict
from core.order_ahead import order_ahead, take_back
from core.pace import leave_room
from core.ports import Job, Parts
from core.progress import RENDERED, Reporter
from core.redelivery import may_render
from core.scene_assets import Orders, SceneAssets, Studio
from core.scene_code import code_ahead
from core.schema import UPLOADS
from core.status import SceneStatus, VideoStatus

log = logging.getLogger(__name__)

_CONFLICT_TRIES = 8


def render_chunk(parts: Parts, engines: Engines, job: Job, meter: Meter) -> None:
    """Make the scenes of a job; the last finisher of the video hands it on to be joined.

    Returns quietly when the work is not wanted any more. Errors end the video with a sentence.
    """
    video = _wanted(parts, job, VideoStatus.RENDERING)
    if video is None or not may_render(parts, job):
        return
    holder, orders = secrets.token_hex(8), Orders()
    try:
        with (
            tempfile.TemporaryDirectory(dir=parts.settings.work_dir or None) as folder,
            Reporter(parts, video, meter) as reporter,
        ):
            _check_music(parts, engines, video, job, Path(folder))
            studio = Studio(parts, engines, video, Path(folder), reporter, orders)
            order_ahead(studio, job.scenes)
            passing = [error for error in _make_scenes(studio, job, holder) if error.retryable]
            if not passing or studio.last_attempt:
                # before this call's last progress write, which then has nothing to add
                leave_room(parts, video.id)
                hand_on(parts, video.id, job.attempt, meter)
        if passing and not studio.last_attempt:
            raise passing[0]
    except StoppedError as error:
        log.info("stopped: %s", error.sentence, extra={"action": "stopped", "video": job.video_id})
        if error.code == CANCELLED:
            take_back(orders)
    except ScenewrightError as error:
        log.error("failed: %s", error.sentence, exc_info=error, extra={"action": "failed", "video": job.video_id})
        if error.retryable and video.tries < parts.settings.tries_max:
            raise  # the call ends as failed; the sweep hands the video out again
        fail(parts, video, error.code, error.sentence, meter)


def _make_scenes(studio: Studio, job: Job, holder: str) -> Iterator[ScenewrightError]:
    """Make scene after scene; one that cannot be made costs no other. Yields their errors."""
    for number in job.scenes:
        studio.reporter.check()
        _code_ahead(studio, number)
        scene = _take(studio.parts, studio.video, number, job.attempt, holder)
        error = _make_scene(studio, scene) if scene is not None else None
        if error is not None:
            yield error


def _code_ahead(studio: Studio, number: int) -> None:
    """A scene that a program makes is coded before it is taken."""
    if not any(isinstance(engine, CodedFootage) for engine in studio.engines.footage.values()):
        return
    for scene in (s for s in studio.parts.store.scenes(studio.video.id) if s.scene_number == number):
        code_ahead(scene, studio.engines.footage.get(scene.engine), lambda engine: studio.programs(number, engine))


def _check_music(parts: Parts, engines: Engines, video: Video, job: Job, folder: Path) -> None:
    """Music that cannot be heard is found before anything is made for it, by the call that has the first scene."""
    file_id = video.parsed_options.music_file_id
    if file_id and 1 in job.scenes:
        path = folder / "music"
        parts.files.download(UPLOADS, file_id, path)
        engines.film.check_music(path)
        path.unlink()


def _wanted(parts: Parts, job: Job, status: VideoStatus) -> Video | None:
    """The video, if this job is still the one that is wanted."""
    try:
        video = parts.store.get_video(job.video_id)
    except NotFoundError:
        return None
    return video if video.attempt == job.attempt and video.status is status else None


def _take(parts: Parts, video: Video, number: int, attempt: int, holder: str) -> Scene | None:
    """Take a scene in hand; None when it is made already or somebody living makes it."""
    for _ in range(_CONFLICT_TRIES):
        scene = next((s for s in parts.store.scenes(video.id) if s.scene_number == number), None)
        if scene is None or scene.attempt > attempt:
            raise StoppedError(f"Scene {number} was deleted, or a newer attempt has had it in hand.")
        now = parts.clock.now()
        if scene.status is SceneStatus.RENDERED or _is_in_hand(parts, scene, attempt, now):
            return None
        # one that was left in the middle is taken up where it stood; one that was planned (again) is made as asked
        stood = scene.substitution if scene.status is SceneStatus.RENDERING else ""
        with suppress(ConflictError):  # somebody else took it, or who had it in an older attempt has not yet noticed
            return parts.store.advance(
                scene,
                status=SceneStatus.RENDERING,
                holder=holder,
                beat_at=now,
                attempt=attempt,
                tries=scene.tries + 1,
                substitution=stood,
            )
    raise UnavailableError(f"Scene {number} of {video.id} changed too often to be taken.")


def _is_in_hand(parts: Parts, scene: Scene, attempt: int, now: datetime) -> bool:
    """Whether somebody living makes the scene; who has it in an older attempt will stop and is not waited for."""
    if scene.status is not SceneStatus.RENDERING or not scene.beat_at or scene.attempt < attempt:
        return False
    # far in the future: said before the clock was set back
    return abs(now - datetime.fromisoformat(scene.beat_at)) < timedelta(seconds=parts.settings.stale_seconds)


def _make_scene(studio: Studio, scene: Scene) -> ScenewrightError | None:
    """Make a scene and write its row; the error, if it could not be made.

    Raises:
        StoppedError: it is not wanted any more.
    """
    reporter, begun = studio.reporter, time.monotonic()
    reporter.hold(scene)
    let_go = {"status": SceneStatus.PLANNED, "holder": "", "beat_at": None}
    try:
        reporter.look()  # who cancels frees the scenes last: one that was taken after that is seen here
        _finish(studio, scene, SceneAssets(studio, scene), begun)
    except StoppedError as error:
        if error.code == CANCELLED:
            with suppress(ScenewrightError):
                reporter.advance_scene(**let_go)
        raise
    except LimitError:
        reporter.advance_scene(**let_go)
        raise
    except ScenewrightError as error:
        _give_up(studio, scene, error)
        return error
    except BaseException:  # told to stop, as when the machine is taken away: whoever goes on need not wait
        with suppress(Exception):
            reporter.advance_scene(holder="", beat_at=None)
        raise
    finally:
        reporter.hold(None)
    return None


def _finish(studio: Studio, scene: Scene, made: SceneAssets, begun: float) -> None:
    """Picture beside voice, then captions, then the clip, then the row."""
    reporter, parts, number = studio.reporter, studio.parts, scene.scene_number
    said = f"Scene {number} of {studio.video.scene_count}"
    reporter.tell(0.0, f"{said}: recording the voice, drawing the picture")
    with ThreadPoolExecutor(2) as pool:
        voice_job = pool.submit(made.voice)
        picture_job = pool.submit(made.picture, lambda: voice_job.result()[0])
        voice, voice_asset = voice_job.result()
        reporter.tell(reporter.clip_from / 2)
        drawn = picture_job.result()
    reporter.check()
    reporter.tell(reporter.clip_from, f"{said}: filming")
    shown, clip = made.clip(voice, drawn)
    reporter.check()
    picture = shown.picture
    kept = {"voice": voice_asset, "picture": picture, "clip": clip}
    kept |= {kind: asset for kind, asset in (("fitted", shown.footage), ("code", shown.program)) if asset}
    rendered = reporter.advance_scene(
        status=SceneStatus.RENDERED,
        assets=json.dumps({kind: asset.id for kind, asset in kept.items()}),
        video_url=assets.url_of(parts, clip),
        image_url=assets.url_of(parts, picture),
        audio_url=assets.url_of(parts, voice_asset),
        duration_seconds=round(voice.frames / FPS, 3),
        holder="",
        beat_at=None,
        # a rendered scene may still carry a warning, for example letters that no font here has
        error_message=" ".join(picture.facts.get("warnings", ())),
    )
    seconds, usd = time.monotonic() - begun, reporter.meter.usd(f"{number}/")
    kind, facts = EventKind.SCENE_RENDERED, {"seconds": seconds, "cost_usd": usd}
    note(parts, studio.video, kind, f"{said} is made.", scene=number, **facts, at=rendered.updated_at)


def _give_up(studio: Studio, scene: Scene, error: ScenewrightError) -> None:
    """Let go of a scene: for the next attempt, which goes on where this one stood, or for good."""
    facts = {"action": "scene_failed", "video": studio.video.id, "attempt": studio.video.attempt}
    log.error("scene %d: %s", scene.scene_number, error.sentence, exc_info=error, extra=facts)
    free = {"holder": "", "beat_at": None, "error_message": error.sentence}
    if error.retryable and not studio.last_attempt:
        studio.reporter.advance_scene(**free)
        return
    failed = studio.reporter.advance_scene(status=SceneStatus.FAILED, **free)
    sentence = f"Scene {scene.scene_number} could not be made: {error.sentence}"
    number, at = scene.scene_number, failed.updated_at
    note(studio.parts, studio.video, EventKind.SCENE_FAILED, sentence, scene=number, at=at)


def hand_on(
    parts: Parts,
    video_id: str,
    attempt: int,
    meter: Meter | None = None,
    tell: Callable[[Video], None] = lambda _: None,
) -> None:
    """When every scene is settled, the one who finds it so first hands the video on to be joined, or ends it.

    `meter`: of the call that made the last scene; `tell`: see `hand_out`.
    """
    scenes = parts.store.scenes(video_id)
    video = parts.store.get_video(video_id)
    if video.attempt != attempt or len(scenes) < video.scene_count or not all(settled(s, attempt) for s in scenes):
        return
    wrong = verdict(scenes)
    if wrong is not None:
        fail(parts, video, *wrong, meter)
        return

    stage = f"Joining {video.scene_count} scenes" if video.scene_count > 1 else "Finishing the film"

    def told(begun: Video) -> None:
        tell(begun)
        note(parts, begun, EventKind.COMBINING, f"All scenes are made: {stage.lower()}.", at=begun.updated_at)

    hand_out(
        parts,
        video,
        [("compose", ())],
        tell=told,
        goes_on=True,
        wanted=lambda v: v.attempt == attempt and v.status is VideoStatus.RENDERING,
        meter=meter,
        status=VideoStatus.COMBINING,
        progress=max(video.progress, RENDERED),
        current_scene=video.scene_count,
        stage=stage,
    )


def settled(scene: Scene, attempt: int) -> bool:
    """Whether nobody makes the scene in this attempt any more; what failed in an earlier one may still be taken."""
    return scene.status is SceneStatus.RENDERED or (scene.status is SceneStatus.FAILED and scene.attempt == attempt)

"""What a renderer does with its share of a video: scene by scene, reusing what is there, keeping what it makes."""

from __future__ import annotations

import json
import logging
import random
import secrets
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from core import assets, captions
from core.dispatch import advance_while, expected_seconds, fail, hand_out, started_at
from core.documents import CROSSFADE_FRAMES, FPS, Asset, Options, Scene, Video
from core.errors import ConflictError, EngineError, NotFoundError, ScenewrightError, StoppedError
from core.identity import digest
from core.plan import effective_options
from core.ports import Engines, Job, Parts, PictureBrief, PictureEngine, Shot, Voice, VoiceBrief, Word
from core.progress import RENDERED, Reporter
from core.schema import UPLOADS
from core.status import SceneStatus, VideoStatus

log = logging.getLogger(__name__)

LEAD_SECONDS, TAIL_SECONDS = 0.35, 0.40  # silence around a narration: the fades lie in it
FIRST_LEAD_SECONDS, LAST_TAIL_SECONDS = 0.60, 0.90
_TRIES = 3  # of one asset, when the error may pass
_BACKOFF_SECONDS = 0.5
_VOICE_SHARE, _PICTURE_SHARE, _CLIP_FROM = 0.05, 0.10, 0.12  # of one scene's time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SceneInputs:
    """Everything one scene is made from."""

    scene: Scene
    options: Options
    voice: VoiceBrief
    picture: PictureBrief


def inputs_of(video: Video, scene: Scene) -> SceneInputs:
    """The briefs of a scene; they depend on its own row and the video's, never on its neighbours."""
    options = effective_options(video)
    first, last = scene.scene_number == 1, scene.scene_number == video.scene_count
    return SceneInputs(
        scene=scene,
        options=options,
        voice=VoiceBrief(
            text=scene.narration,
            language=options.language,
            voice=options.voice,
            speed=options.speed,
            lead=FIRST_LEAD_SECONDS if first else LEAD_SECONDS,
            tail=LAST_TAIL_SECONDS if last else TAIL_SECONDS,
        ),
        picture=PictureBrief(
            canvas=options.canvas,
            number=scene.scene_number,
            count=video.scene_count,
            film_title=options.title or video.topic,
            title=scene.title,
            prompt=scene.visual_prompt,
            narration=scene.narration,
            language=options.language,
            style=options.style,
            seed=options.seed,
            captions=options.captions != "off",
        ),
    )


def span_of(scene_number: int, scene_count: int, frames: int) -> range:
    """The frames of a scene that its clip holds: those of the fades are made at the join."""
    start = CROSSFADE_FRAMES if scene_number > 1 else 0
    stop = frames - (CROSSFADE_FRAMES if scene_number < scene_count else 0)
    return range(start, stop)


def voice_key(engines: Engines, brief: VoiceBrief) -> str:
    """The key of a narration."""
    return digest("voice", engines.voice.id, engines.voice.version, asdict(brief))


def picture_key(engine: PictureEngine, brief: PictureBrief) -> str:
    """The key of a picture."""
    return digest("picture", engine.id, engine.version, asdict(brief))


def picture_engine(engines: Engines, scene: Scene) -> PictureEngine:
    """The engine a scene asks for. Raises EngineError when this renderer has none of that name."""
    try:
        return engines.pictures[scene.engine]
    except KeyError as error:
        raise EngineError(f"This renderer has no engine {scene.engine!r}.", code="no_such_engine") from error


def caption_text(inputs: SceneInputs, words: tuple[Word, ...], span: range) -> str | None:
    """The ASS text of a clip, or None when captions are off."""
    if inputs.options.captions == "off":
        return None
    offset = span.start / FPS
    shifted = tuple(Word(w.text, w.start - offset, w.end - offset) for w in words)
    return captions.ass(shifted, inputs.options.canvas, style=inputs.options.captions, language=inputs.options.language)


def render_chunk(parts: Parts, engines: Engines, job: Job) -> None:
    """Make the scenes of a job; the last finisher of the video hands it on to be joined.

    Returns quietly when the work is not wanted any more. Errors end the video with a sentence.
    """
    video = _wanted(parts, job, VideoStatus.RENDERING)
    if video is None or not parts.store.claim("render", job.attempt, *job.scenes, video_id=video.id):
        return
    holder = secrets.token_hex(8)
    clock = {"expected_seconds": expected_seconds(video), "started_at": started_at(parts, video)}
    try:
        with (
            tempfile.TemporaryDirectory(dir=parts.settings.work_dir or None) as folder,
            Reporter(parts, video, **clock) as reporter,  # type: ignore[arg-type] # two values of two types
        ):
            _check_music(parts, engines, video, job, Path(folder))
            for number in job.scenes:
                reporter.check()
                scene = _take(parts, video, number, job.attempt, holder)
                if scene is not None:
                    _make_scene(parts, engines, video, scene, Path(folder), reporter)
        hand_on(parts, video.id, job.attempt)
    except StoppedError as error:
        log.info("stopped: %s", error.sentence, extra={"action": "stopped", "video": job.video_id})
    except ScenewrightError as error:
        log.error("failed: %s", error.sentence, exc_info=error, extra={"action": "failed", "video": job.video_id})
        if error.retryable:
            raise  # the call ends as failed; the sweep hands the video out again
        fail(parts, video, error.code, error.sentence)


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
    (scene,) = (s for s in parts.store.scenes(video.id) if s.scene_number == number)
    now = parts.clock.now()
    if scene.status is SceneStatus.RENDERED:
        return None
    if scene.status is SceneStatus.RENDERING and scene.beat_at and scene.attempt >= attempt:
        silent = now - datetime.fromisoformat(scene.beat_at)
        if silent < timedelta(seconds=parts.settings.stale_seconds):
            return None
    try:
        return parts.store.advance(
            scene, status=SceneStatus.RENDERING, holder=holder, beat_at=now, attempt=attempt, tries=scene.tries + 1
        )
    except ConflictError:
        return None


def _make_scene(parts: Parts, engines: Engines, video: Video, scene: Scene, folder: Path, reporter: Reporter) -> None:
    """Picture beside voice, then captions, then the clip, then the row."""
    reporter.hold(scene)
    inputs = inputs_of(video, scene)
    said = f"Scene {scene.scene_number} of {video.scene_count}"
    try:
        reporter.tell(0.0, f"{said}: recording the voice, drawing the picture")
        with ThreadPoolExecutor(2) as pool:
            voice_job = pool.submit(_retrying, lambda: _voice(parts, engines, video, inputs, folder))
            picture_job = pool.submit(_retrying, lambda: _picture(parts, engines, video, inputs, folder))
            voice, voice_asset = voice_job.result()
            reporter.tell(_VOICE_SHARE)
            picture_asset = picture_job.result()
        reporter.check()
        reporter.tell(_CLIP_FROM, f"{said}: filming")
        clip_asset = _retrying(lambda: _clip(parts, engines, video, inputs, voice, picture_asset, folder, reporter))
        reporter.check()
    except ScenewrightError as error:
        if not isinstance(error, StoppedError):
            reporter.advance_scene(status=SceneStatus.FAILED, error_message=error.sentence, holder="", beat_at=None)
        raise
    made = {"voice": voice_asset, "picture": picture_asset, "clip": clip_asset}
    reporter.advance_scene(
        status=SceneStatus.RENDERED,
        assets=json.dumps({kind: asset.id for kind, asset in made.items()}),
        video_url=assets.url_of(parts, clip_asset),
        image_url=assets.url_of(parts, picture_asset),
        audio_url=assets.url_of(parts, voice_asset),
        duration_seconds=round(voice.frames / FPS, 3),
        holder="",
        beat_at=None,
        # a rendered scene may still carry a warning, for example letters that no font here has
        error_message=" ".join(picture_asset.facts.get("warnings", ())),
    )
    reporter.hold(None)


def _retrying(make: Callable[[], T]) -> T:
    """Try again when the error may pass."""
    for attempt in range(_TRIES):
        try:
            return make()
        except ScenewrightError as error:
            if not error.retryable or attempt == _TRIES - 1:
                raise
            wait = _BACKOFF_SECONDS * 2**attempt * random.uniform(0.7, 1.3)
            log.warning("%s Trying again.", error.sentence, extra={"action": "asset_retry"})
            time.sleep(wait)
    raise AssertionError("unreachable")


def _voice(parts: Parts, engines: Engines, video: Video, inputs: SceneInputs, folder: Path) -> tuple[Voice, Asset]:
    key = voice_key(engines, inputs.voice)
    path = folder / f"{key}.wav"
    asset = assets.find(parts, video.id, key)
    if asset is None:
        voice = engines.voice.speak(inputs.voice, path)
        facts = {"frames": voice.frames, "words": [[w.text, w.start, w.end] for w in voice.words]}
        asset = assets.keep(parts, video, "voice", key, path, facts)
    return voice_of(asset, path), asset


def voice_of(asset: Asset, path: Path) -> Voice:
    """A kept narration, by its recorded facts; the file itself is fetched where it is heard."""
    words = tuple(Word(text, start, end) for text, start, end in asset.facts["words"])
    return Voice(path=path, frames=int(asset.facts["frames"]), words=words)


def _picture(parts: Parts, engines: Engines, video: Video, inputs: SceneInputs, folder: Path) -> Asset:
    engine = picture_engine(engines, inputs.scene)
    key = picture_key(engine, inputs.picture)
    asset = assets.find(parts, video.id, key)
    if asset is not None:
        return asset
    path = folder / f"{key}{engine.suffix}"
    facts = engine.draw(inputs.picture, path)
    return assets.keep(parts, video, "picture", key, path, facts)


def _clip(
    parts: Parts,
    engines: Engines,
    video: Video,
    inputs: SceneInputs,
    voice: Voice,
    picture: Asset,
    folder: Path,
    reporter: Reporter,
) -> Asset:
    span = span_of(inputs.scene.scene_number, video.scene_count, voice.frames)
    text = caption_text(inputs, voice.words, span)
    clip = engines.clip
    key = digest(
        "clip", clip.id, clip.version, picture.key, picture.sha256, voice.frames, [span.start, span.stop], text
    )
    asset = assets.find(parts, video.id, key)
    if asset is not None:
        return asset
    suffix = picture_engine(engines, inputs.scene).suffix
    shot = Shot(
        brief=inputs.picture,
        picture=assets.fetch(parts, picture, folder / f"{picture.key}{suffix}"),
        frames=voice.frames,
    )
    path = folder / f"{key}.mp4"

    def report(share: float) -> None:
        reporter.check()
        reporter.tell(_CLIP_FROM + (1 - _CLIP_FROM) * share)

    facts = clip.film(shot, span, text, path, report)
    asset = assets.keep(parts, video, "clip", key, path, {**facts, "frames": len(span)})
    path.unlink()  # a long video must not fill the scratch folder
    return asset


def hand_on(parts: Parts, video_id: str, attempt: int) -> None:
    """If every scene is rendered, the one who finds it so first hands the video on to be joined."""
    scenes = parts.store.scenes(video_id)
    video = parts.store.get_video(video_id)
    if len(scenes) < video.scene_count or any(s.status is not SceneStatus.RENDERED for s in scenes):
        return

    combining = advance_while(
        parts,
        video,
        lambda v: v.attempt == attempt and v.status is VideoStatus.RENDERING,
        lambda v: {
            "status": VideoStatus.COMBINING,
            "progress": max(v.progress, RENDERED),
            "current_scene": v.scene_count,
            "stage": f"Joining {v.scene_count} scenes" if v.scene_count > 1 else "Finishing the film",
        },
    )
    if combining is not None:
        hand_out(parts, combining, [("compose", ())], goes_on=True)

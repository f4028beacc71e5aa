"""From rendered scenes to the film: join, look at it, keep it, and one write that says completed."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from core import assets, captions, times
from core.costs import Meter
from core.deadlines import asked_at
from core.dispatch import advance_while, fail, hand_out, render_jobs
from core.documents import CROSSFADE_FRAMES, FPS, Asset, Canvas, Scene, Video
from core.engine_ports import Engines, FilmBrief, Heard, Look, Report, Shot, Sound, SoundBrief, SoundTrack, Voice, Word
from core.errors import NotFoundError, QualityError, ScenewrightError, StoppedError
from core.identity import asset_id, digest
from core.journal import EventKind, note
from core.ladder import TRIES, completed_stage, substitutions, with_tries
from core.pace import leave_room
from core.ports import Job, Parts
from core.progress import Reporter
from core.redelivery import may_join
from core.scene_assets import shot_of
from core.scene_inputs import SceneInputs, caption_text, file_name, inputs_of, span_of, voice_of
from core.schema import FILMS, UPLOADS
from core.status import SceneStatus, VideoStatus

log = logging.getLogger(__name__)

T = TypeVar("T")

_SHARES = {"files": 0.12, "fades": 0.3, "sound": 0.3}  # of combining, that go on side by side
_BROUGHT = sum(_SHARES.values())  # share of combining when those are done
_INSPECTED = 0.92  # and when the film has been looked at
_AT_ONCE = 4  # files fetched at a time: each is mostly waiting for storage


@dataclass(frozen=True, slots=True)
class Take:
    """One rendered scene with its files at hand."""

    inputs: SceneInputs
    voice: Voice
    silent: bool  # the voice says nothing, on purpose
    clip: Asset
    clip_path: Path
    shot: Shot


@dataclass(frozen=True, slots=True)
class _Join:
    """What a running call joins the scenes of one video with."""

    parts: Parts
    engines: Engines
    video: Video
    folder: Path  # scratch
    reporter: Reporter

    def make(self, what: str, share: float, make: Callable[[], T]) -> T:
        """Let an engine work, again while its errors may pass; `share` of the joining is done before it."""

        def again(number: int, error: ScenewrightError) -> None:
            self.reporter.check()
            said = f"retrying the {what} ({number} of {TRIES})"
            self.reporter.tell(share, f"Joining: {said}")
            note(self.parts, self.video, EventKind.RETRYING, f"Joining: {said}: {error.sentence}")

        return with_tries(make, self.parts.clock, self.parts.settings.backoff_seconds, again)


def starts_of(frames: list[int]) -> list[int]:
    """The film's frame at which each scene begins: neighbours overlap by a fade."""
    starts, at = [], 0
    for count in frames:
        starts.append(at)
        at += count - CROSSFADE_FRAMES
    return starts


def film_frames(frames: list[int]) -> int:
    """How many frames the film has."""
    return sum(frames) - CROSSFADE_FRAMES * (len(frames) - 1)


def film_words(takes: list[Take]) -> list[list[Word]]:
    """The words of each scene, in the film's time."""
    starts = starts_of([t.voice.frames for t in takes])
    return [
        [Word(w.text, w.start + start / FPS, w.end + start / FPS) for w in take.voice.words]
        for take, start in zip(takes, starts, strict=True)
    ]


def compose(parts: Parts, engines: Engines, job: Job, meter: Meter) -> None:
    """Join a video's scenes. Returns quietly when that is not wanted any more; errors end the video with a sentence."""
    try:
        video = parts.store.get_video(job.video_id)
    except NotFoundError:
        return
    if video.attempt != job.attempt or video.status is not VideoStatus.COMBINING:
        return
    if not may_join(parts, video, job):
        return
    try:
        with (
            tempfile.TemporaryDirectory(dir=parts.settings.work_dir or None) as folder,
            Reporter(parts, video, meter) as reporter,
        ):
            _complete(parts, video, _make(_Join(parts, engines, video, Path(folder), reporter)), meter)
        times.learn(parts, video)
    except StoppedError as error:
        log.info("stopped: %s", error.sentence, extra={"action": "stopped", "video": job.video_id})
    except NotFoundError as error:
        log.warning("%s", error.sentence, extra={"action": "asset_gone", "video": job.video_id})
        _back_to_rendering(parts, video)
    except ScenewrightError as error:
        log.error("failed: %s", error.sentence, exc_info=error, extra={"action": "failed", "video": job.video_id})
        if error.retryable and video.tries < parts.settings.tries_max:
            raise  # the call ends as failed; the sweep hands the video out again
        fail(parts, video, error.code, error.sentence, meter)


def _make(join: _Join) -> dict[str, object]:
    """Fetch, fade, join, inspect, keep; returns the columns of the last write."""
    begun = time.monotonic()
    video, engines = join.video, join.engines
    scenes = join.parts.store.scenes(video.id)
    count = len(scenes)
    _check_made(scenes)
    join.reporter.tell(0.0, f"Joining {count} scenes" if count > 1 else "Finishing the film")
    takes, brief = _brought(join, scenes)
    key = _film_key(engines, video, takes, brief)
    with ThreadPoolExecutor(2) as pool:  # beside the film, which leaves a processor free
        drawing = pool.submit(_thumbnail, join, takes[0].shot.picture, brief.canvas)
        writing = pool.submit(_subtitles, join, key, takes)
        film = _film(join, key, brief, begun)
        thumbnail, subtitles = drawing.result(), writing.result()
    join.reporter.check()
    _check_made(join.parts.store.scenes(video.id))
    return {
        **subtitles,
        "thumbnail_url": assets.url_of(join.parts, thumbnail),
        "combined_video_url": assets.url_of(join.parts, film),
        "final_file_id": film.file_id,
        "duration_seconds": round(brief.frames / FPS, 3),
        "substitutions": substitutions(scenes, video.substitutions),
        "stage": completed_stage(scenes, video.substitutions),
    }


def _film(join: _Join, key: str, brief: FilmBrief, begun: float) -> Asset:
    """The film, found, or joined, inspected and kept; `begun`: when the joining began, time.monotonic."""
    parts, video, engine = join.parts, join.video, join.engines.film
    film, path = assets.find(parts, video.id, key), join.folder / "film.mp4"
    if film is not None:
        return film
    heard = join.make("film", _BROUGHT, lambda: engine.join(brief, path))
    join.reporter.check()
    join.reporter.tell(_BROUGHT, "Checking the film: picture, sound, captions")
    with ThreadPoolExecutor(1) as pool:  # it is sent while it is looked at: hardly one is found bad
        sending = pool.submit(assets.send, parts, video, "film", key, path)
        try:
            join.make("check of the film", _BROUGHT, lambda: _inspected(join, brief, path, heard))
        except QualityError:
            with contextlib.suppress(ScenewrightError):  # storage may have refused it: for its size, for instance
                assets.discard(parts, sending.result())
            raise
        join.reporter.tell(_INSPECTED, "Keeping the film")
        sent = sending.result()
    join.reporter.check()
    facts = {"frames": brief.frames, "loudness": heard.loudness, "true_peak": heard.true_peak}
    film = assets.record(parts, video, sent, {**facts, **times.took(engine.id, begun)})
    seconds = time.monotonic() - begun
    note(parts, video, EventKind.ASSET_MADE, f"The film was made by {engine.id}.", seconds=seconds)
    return film


def _film_key(engines: Engines, video: Video, takes: Sequence[Take], brief: FilmBrief) -> str:
    return digest(
        "film", engines.film.id, engines.film.version, engines.clip.id, engines.clip.version,
        [t.clip.sha256 for t in takes], [t.voice.path.name for t in takes], brief.title, brief.language,
        video.parsed_options.music_file_id,
    )  # fmt: skip


def _inspected(join: _Join, brief: FilmBrief, path: Path, heard: Heard) -> None:
    """Look at the film. Raises QualityError, EngineError."""
    report = _within(join.reporter, _BROUGHT, _INSPECTED)
    wrong = [finding for finding in join.engines.film.inspect(brief, path, heard, report) if not finding.ok]
    if wrong:
        raise QualityError(" ".join(finding.sentence for finding in wrong), code=f"quality_{wrong[0].check}")


def _thumbnail(join: _Join, picture: Path, canvas: Canvas) -> Asset:
    """The first picture made small, found or made: most changes leave it as it is. `picture`: named by its key."""
    engine, path = join.engines.film, join.folder / "thumbnail.jpg"
    key = digest("thumbnail", engine.id, engine.version, picture.name, asdict(canvas))
    found = assets.find(join.parts, join.video.id, key)
    if found is not None:
        return found
    join.make("thumbnail", _BROUGHT, partial(engine.thumbnail, picture, canvas, path))
    join.reporter.check()
    return assets.keep(join.parts, join.video, "thumbnail", key, path, {})


def _subtitles(join: _Join, film_key: str, takes: list[Take]) -> dict[str, str]:
    """Keep the subtitles of a film; returns the columns with their URLs."""
    cues = film_words(takes)
    join.reporter.check()

    def keep(kind: str, write: Callable[[list[list[Word]]], str]) -> str:
        path = join.folder / f"film.{kind}"
        path.write_text(write(cues), encoding="utf-8")
        return assets.url_of(join.parts, assets.keep(join.parts, join.video, kind, digest(kind, film_key), path, {}))

    return {"subtitles_url": keep("srt", captions.srt), "captions_url": keep("vtt", captions.vtt)}


def _check_made(scenes: Sequence[Scene]) -> None:
    """Raise NotFoundError unless all are made: a change that was asked for may have reached one late."""
    for scene in scenes:
        if scene.status is not SceneStatus.RENDERED:
            raise NotFoundError(f"Scene {scene.scene_number} is {scene.status}.", code="scene_open", retryable=True)


def _brought(join: _Join, scenes: Sequence[Scene]) -> tuple[list[Take], FilmBrief]:
    """Bring the files of the scenes, the fades and the sound, and put everything in order."""
    done = dict.fromkeys(_SHARES, 0.0)

    def tell(what: str, share: float) -> None:
        done[what] = share
        join.reporter.check()
        join.reporter.tell(sum(_SHARES[part] * share for part, share in done.items()))

    rows = {asset.id: asset for asset in join.parts.store.assets(join.video.id)}
    with ThreadPoolExecutor(1) as pool:  # for the sound, from its beginning to its end: its coder uses one processor
        voices = list(_at_once(partial(_voice, join, rows), scenes))
        mixing = pool.submit(_sound, join, voices, partial(tell, "sound"))
        takes: list[Take] = []
        for take in _at_once(partial(_take, join, rows), scenes, voices):
            takes.append(take)
            tell("files", len(takes) / len(scenes))
        segments, made = [takes[0].clip_path], [takes[0].clip]
        for index, (path, fade) in enumerate(_fades(join, rows, takes), start=1):
            segments += [path, takes[index].clip_path]
            made += [fade, takes[index].clip]
            tell("fades", index / (len(takes) - 1))
        sound = mixing.result()
    return takes, _brief(join, takes, segments, _looks(made), sound)


def _at_once(fetch: Callable[..., T], *each: Sequence[Any]) -> Iterator[T]:
    """What `fetch` brings for each, in order; a few at a time, and none any more when one cannot be had."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            yield from pool.map(fetch, *each)
        finally:
            pool.shutdown(cancel_futures=True)


def _voice(join: _Join, rows: Mapping[str, Asset], scene: Scene) -> Voice:
    """The narration of a scene; `rows`: all assets of the video, by their ids."""
    voice = assets.recorded(rows, scene, "voice")
    return voice_of(voice, assets.fetch(join.parts, voice, join.folder / f"{voice.key}.wav"))


def _take(join: _Join, rows: Mapping[str, Asset], scene: Scene, narration: Voice) -> Take:
    """A scene with the rest of its files."""
    parts, folder, inputs = join.parts, join.folder, inputs_of(join.video, scene)
    clip, voice, picture = (assets.recorded(rows, scene, kind) for kind in ("clip", "voice", "picture"))
    image = assets.fetch(parts, picture, folder / file_name(picture))
    fitted = assets.recorded(rows, scene, "fitted") if "fitted" in json.loads(scene.assets) else None
    footage = assets.fetch(parts, fitted, folder / file_name(fitted)) if fitted else None
    return Take(
        inputs=inputs,
        voice=narration,
        silent=bool(voice.facts.get("silent")),
        clip=clip,
        clip_path=assets.fetch(parts, clip, folder / f"{clip.key}.mp4"),
        shot=shot_of(inputs.picture, picture, image, narration.frames, footage),
    )


def _brief(
    join: _Join, takes: list[Take], segments: Sequence[Path], looks: tuple[Look, ...], sound: SoundTrack
) -> FilmBrief:
    """All that the film is joined from, in order."""
    starts = starts_of([t.voice.frames for t in takes])
    video, options = join.video, join.video.parsed_options
    burnt = [
        caption_text(t.inputs, t.voice.words, span_of(t.inputs.scene.scene_number, len(takes), t.voice.frames))
        for t in takes
    ]
    return FilmBrief(
        canvas=options.canvas,
        segments=tuple(segments),
        looks=looks,
        sound=sound,
        frames=film_frames([t.voice.frames for t in takes]),
        title=options.title or video.topic or takes[0].inputs.scene.title,
        language=options.language,
        captions=tuple(text for text in burnt if text),
        max_bytes=join.parts.files.max_bytes(FILMS),
        quiet=tuple(range(s, s + t.voice.frames) for t, s in zip(takes, starts, strict=True) if t.silent),
        # a frame more on both sides: the detector rounds
        given=tuple(
            range(s - 2, s + t.voice.frames + 2)
            for t, s in zip(takes, starts, strict=True)
            if t.shot.footage or t.inputs.scene.parsed_material.shows
        ),
    )


def _sound(join: _Join, voices: Sequence[Voice], report: Report) -> SoundTrack:
    """Mix and encode the sound."""
    frames = [voice.frames for voice in voices]
    sounds = tuple(Sound(voice.path, start) for voice, start in zip(voices, starts_of(frames), strict=True))
    music, music_file_id = None, join.video.parsed_options.music_file_id
    if music_file_id:
        music = join.folder / "music"
        join.parts.files.download(UPLOADS, music_file_id, music)
    brief = SoundBrief(sounds, film_frames(frames), music)
    path = join.folder / "sound.mp4"
    return join.make("sound", _SHARES["files"], lambda: join.engines.film.mix(brief, path, report))


def _fades(join: _Join, rows: Mapping[str, Asset], takes: Sequence[Take]) -> Iterator[tuple[Path, Asset]]:
    """The fades between neighbouring scenes, in order; those between scenes that have not changed are kept ones.

    Two are made at a time, since each is mostly one encoder at work.
    """
    parts, video, clip = join.parts, join.video, join.engines.clip

    def fade(before: Take, after: Take) -> tuple[Path, Asset]:
        key = digest("fade", clip.id, clip.version, CROSSFADE_FRAMES, before.clip.key, after.clip.key)
        path = join.folder / f"{key}.mp4"
        if asset := rows.get(asset_id(video.id, key)):
            with contextlib.suppress(NotFoundError):  # its file is gone: it is made again
                return assets.fetch(parts, asset, path), asset
        facts = join.make("fade", _SHARES["files"], lambda: clip.fade(before.shot, after.shot, CROSSFADE_FRAMES, path))
        look = join.engines.film.look(path, before.shot.brief.canvas)
        join.reporter.check()
        return path, assets.keep(parts, video, "fade", key, path, {**facts, "look": asdict(look)})

    with ThreadPoolExecutor(2) as pool:
        try:
            yield from pool.map(fade, takes, takes[1:])
        finally:
            pool.shutdown(cancel_futures=True)


def _looks(made: Sequence[Asset]) -> tuple[Look, ...]:
    """What was seen when the segments were made; none at all if one was made before anybody looked."""
    looks = [asset.facts["look"] for asset in made if "overflow" in asset.facts.get("look", {})]
    return tuple(map(_look, looks)) if len(looks) == len(made) else ()


def _look(facts: Mapping[str, Any]) -> Look:
    black, frozen = (tuple((float(a), float(b)) for a, b in facts[name]) for name in ("black", "frozen"))
    return Look(
        frames=int(facts["frames"]),
        packets=str(facts["packets"]),
        parameters=str(facts["parameters"]),
        overflow=tuple(facts["overflow"]),
        black=black,
        frozen=frozen,
        complaints=tuple(facts["complaints"]),
    )


def _within(reporter: Reporter, low: float, high: float) -> Callable[[float], None]:
    """A report for a part of the joining."""

    def report(share: float) -> None:
        reporter.check()
        reporter.tell(low + (high - low) * share)

    return report


def _complete(parts: Parts, video: Video, changes: dict[str, object], meter: Meter) -> None:
    """The one write that makes a film the video's film."""
    attempt = video.attempt
    completed = advance_while(
        parts,
        leave_room(parts, video.id),
        lambda v: v.attempt == attempt and v.status is VideoStatus.COMBINING,
        lambda v: {
            **changes,
            **meter.columns(v),
            "status": VideoStatus.COMPLETED,
            "progress": 100,
            "current_scene": v.scene_count,
            "eta_seconds": 0,
            "due_at": None,
            "error_code": "",
            "error_message": "",
        },
    )
    if completed is not None:
        seconds = max(0.0, (parts.clock.now() - asked_at(completed)).total_seconds())
        said, cost, at = completed.stage, completed.cost_usd, completed.updated_at
        note(parts, completed, EventKind.COMPLETED, said, seconds=seconds, cost_usd=cost, at=at)


def _back_to_rendering(parts: Parts, video: Video) -> None:
    """At the join something was missing: scenes without whole assets are made again, all else is reused."""
    missing = []
    for scene in parts.store.scenes(video.id):
        if scene.status is SceneStatus.RENDERED and _is_whole(parts, scene):
            continue
        if scene.status is SceneStatus.RENDERED:
            parts.store.advance(scene, status=SceneStatus.PLANNED)
        missing.append(scene.scene_number)
    current = leave_room(parts, video.id)
    if current.attempt == video.attempt and current.status is VideoStatus.COMBINING and missing:
        hand_out(
            parts,
            current,
            render_jobs(parts, missing),
            status=VideoStatus.RENDERING,
            stage=f"Making {len(missing)} missing parts again",
        )


def _is_whole(parts: Parts, scene: Scene) -> bool:
    """Whether all that the film needs of a scene is there."""
    try:
        for kind in ("clip", "voice", "picture"):
            assets.of_scene(parts, scene, kind)
    except NotFoundError:
        return False
    return True

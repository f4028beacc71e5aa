"""What a watcher sees: one number that never falls, a sentence, and how long it will still take."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from core import times
from core.costs import Meter
from core.deadlines import next_look
from core.dispatch import read_handle
from core.documents import Scene, Video
from core.errors import CANCELLED, ConflictError, NotFoundError, ScenewrightError, StoppedError
from core.eta import Work
from core.pace import APART_SECONDS
from core.ports import Parts
from core.status import SceneStatus, VideoStatus

log = logging.getLogger(__name__)

PLANNED = 10  # per cent reached when the storyboard is kept
RENDERED = 85  # per cent reached when every scene is kept
_QUIET_SECONDS = 1.8  # a write at least this often: two seconds without one look like a hang
_CONFLICT_TRIES = 8


def rendering_progress(scene_count: int, shares: float) -> int:
    """Per cent for `shares` scenes made (a half-made scene counts half)."""
    return PLANNED + int((RENDERED - PLANNED) * min(shares / max(scene_count, 1), 1.0))


def restart_progress(scene_count: int, rendered: int) -> int:
    """Per cent at which the bar of a video begins again: the share that is already made; 0 before there are scenes."""
    return rendering_progress(scene_count, rendered) if scene_count else 0


def combining_progress(share: float) -> int:
    """Per cent for a share (0 to 1) of joining, checking and keeping the film; 100 is the last write's own."""
    return min(99, RENDERED + int((100 - RENDERED) * min(max(share, 0.0), 1.0)))


def current_scene(scenes: Sequence[Scene], scene_count: int) -> int:
    """The lowest scene not yet rendered; the last one when all are."""
    open_numbers = [s.scene_number for s in scenes if s.status is not SceneStatus.RENDERED]
    return min(open_numbers, default=scene_count)


def merged_shares(shares: Mapping[str, float], scene: int, share: float, scenes: Sequence[Scene]) -> dict[str, float]:
    """How much of each unfinished scene is made, by number: one's own beside what other renderers told."""
    unfinished = {str(s.scene_number) for s in scenes if s.status is not SceneStatus.RENDERED}
    told = {number: made for number, made in shares.items() if number in unfinished}
    return told | ({str(scene): round(share, 2)} if str(scene) in unfinished else {})


@dataclass
class _Wanted:
    """What the work says of itself; the reporting thread reads it."""

    share: float = 0.0  # of the scene in hand, or of the whole when combining
    scene: int = 0
    sentence: str = ""


class Reporter:
    """One per running call: writes progress in its own thread, beats for the scene in hand, notices that it must stop.

    Use as a context manager. The work calls `tell` as often as it likes and `check` before each asset.
    """

    def __init__(self, parts: Parts, video: Video, meter: Meter) -> None:
        self._parts = parts
        self.meter = meter
        self._video_id = video.id
        self._attempt = video.attempt
        self._status = video.status
        self.pace = times.pace_of(times.read(parts), video)
        self._wanted = _Wanted()
        self._stop = threading.Event()
        self._stopped: StoppedError | None = None
        self._lock = threading.Lock()  # one writer at a time within this call
        self._scene: Scene | None = None
        self._cost_before = 0.0  # of the scene in hand, when it was taken
        self._beat_at = parts.clock.now()
        self._written_at = parts.clock.now()
        self._told: tuple[float, str, int] = (0.0, "", 0)
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._stopped is None:
            self._write_last()

    def _write_last(self) -> None:
        """What was told last reaches the watcher too, unless somebody has already said more."""
        try:
            for _ in range(_CONFLICT_TRIES):  # those who write in between tell of this work too
                wait = self._write()
                if not wait:
                    return
                self._parts.clock.sleep(wait)
        except ScenewrightError as error:
            log.info("nothing more to tell: %s", error.sentence, extra={"action": "progress_ended"})

    def tell(self, share: float, sentence: str = "") -> None:
        """Say how much of the scene in hand (or of the joining) is made, 0 to 1."""
        self._wanted.share = share
        if sentence:
            self._wanted.sentence = sentence

    def hold(self, scene: Scene | None) -> None:
        """Say which scene is in hand, so that its row is kept alive; None lets go."""
        with self._lock:
            self._scene = scene
            self._wanted = replace(self._wanted, share=0.0, scene=scene.scene_number if scene else 0)
            self._beat_at = self._parts.clock.now()
            self._cost_before = scene.cost_usd if scene else 0.0
        self.meter.rest(scene.scene_number if scene else 0)

    @property
    def clip_from(self) -> float:
        """Share of the time of the scene in hand after which its clip is filmed. Raises StoppedError without one."""
        if self._scene is None:
            raise StoppedError("No scene is in hand.")
        return self.pace.clip_from(self._scene)

    def advance_scene(self, **changes: Any) -> Scene:
        """Write to the scene in hand, in turn with the beats. Raises StoppedError when it was taken over."""
        with self._lock:
            if self._scene is None:
                raise StoppedError("No scene is in hand.")
            spent = self._cost_before + self.meter.usd(f"{self._scene.scene_number}/")
            self._scene = self._advanced(self._scene, cost_usd=round(spent, 9), **changes)
            return self._scene

    def _advanced(self, scene: Scene, **changes: Any) -> Scene:
        for _ in range(_CONFLICT_TRIES):
            try:
                return self._parts.store.advance(scene, **changes)
            except ConflictError:
                there = next((s for s in self._parts.store.scenes(self._video_id) if s.id == scene.id), None)
                if there is None or (there.holder, there.attempt) != (scene.holder, scene.attempt):
                    break
                scene = there  # nobody took it: the reply to a beat of this call was lost
        raise StoppedError(f"Scene {scene.scene_number} was taken over.")

    def check(self) -> None:
        """Raise StoppedError when the video was cancelled, deleted, or handed to a newer attempt."""
        if self._stopped is not None:
            raise StoppedError(self._stopped.sentence, code=self._stopped.code)

    def look(self) -> Video:
        """The video as it is now. Raises StoppedError as `check` does, of what happened until this moment."""
        try:
            video = self._parts.store.get_video(self._video_id)
        except NotFoundError as error:
            raise StoppedError("The video was deleted.", code=CANCELLED) from error
        if video.attempt != self._attempt or video.status is not self._status:
            code = CANCELLED if video.status is VideoStatus.CANCELLED else None
            raise StoppedError(f"The video is {video.status} in attempt {video.attempt}.", code=code)
        return video

    def _run(self) -> None:
        wait = self._parts.settings.report_seconds
        while not self._stop.wait(wait):
            wait = self._parts.settings.report_seconds
            try:
                wait = self._write() or wait
                self._beat()
            except StoppedError as error:
                self._stopped = error
                return
            except ScenewrightError as error:
                # the work goes on; the next write brings the watcher up to date
                log.warning("progress not written: %s", error.sentence, extra={"action": "progress_failed"})

    def _beat(self) -> None:
        now = self._parts.clock.now()
        quiet = timedelta(seconds=self._parts.settings.beat_seconds)
        if timedelta(0) <= now - self._beat_at < quiet:  # below 0: the clock was set back
            return
        with self._lock:  # a slow write may have ended the scene meanwhile: what is rendered is not touched again
            if self._scene and self._scene.status is SceneStatus.RENDERING:
                self._scene = self._advanced(self._scene, beat_at=now)
                self._beat_at = now

    def _write(self) -> float:
        """Write if there is news, or if the next chance would come too late; seconds until the next try, 0: as usual.

        A try that comes too soon after another renderer's write waits for its turn.
        """
        now = self._parts.clock.now()
        wanted = replace(self._wanted)
        told = (round(wanted.share, 2), wanted.sentence, wanted.scene)
        quiet = timedelta(seconds=_QUIET_SECONDS - self._parts.settings.report_seconds)
        if told == self._told and timedelta(0) <= now - self._written_at < quiet:
            return 0.0
        early = self._write_once(wanted)
        if not early:
            self._told, self._written_at = told, now
        return early

    def _write_once(self, wanted: _Wanted) -> float:
        """One progress write, which is the video's heartbeat too; another renderer's write meanwhile: read again.

        Returns:
            Seconds by which it would have been too early, and nothing was written; else 0.

        Raises:
            StoppedError: the video is not in this call's status and attempt any more.
        """
        for _ in range(_CONFLICT_TRIES):
            video = self.look()
            now = self._parts.clock.now()  # after the read: a write during it was seen, and is young
            age = (now - datetime.fromisoformat(video.updated_at)).total_seconds()
            apart = APART_SECONDS * (2 if _is_handed_out_now(video) else 1)
            if 0 <= age < apart:  # below 0: the server's clock is ahead, and says nothing
                return apart - age
            changes = self._changes(video, wanted, now)
            try:
                self._parts.store.advance(video, **changes)
            except ConflictError:
                continue
            return 0.0
        return APART_SECONDS

    def _changes(self, video: Video, wanted: _Wanted, now: datetime) -> dict[str, Any]:
        scenes, handle = self._parts.store.scenes(video.id), read_handle(video)
        if self._status is VideoStatus.COMBINING:
            progress, scene = combining_progress(wanted.share), video.scene_count
            alone, left = 0.0, self.pace.joining(scenes) * (1 - min(max(wanted.share, 0.0), 1.0))
        else:
            scene = current_scene(scenes, video.scene_count)
            shares = merged_shares(handle.get("shares", {}), wanted.scene, wanted.share, scenes)
            handle["shares"] = shares
            missing = [s for s in scenes if s.status is not SceneStatus.RENDERED]
            progress = rendering_progress(video.scene_count, len(scenes) - len(missing) + sum(shares.values()))
            alone = self.pace.alone(missing, shares, self._parts.dispatcher.parallel_calls)
            left = alone * self.pace.together + self.pace.joining(scenes)
        work = _work(video, handle, left, alone, now)
        # several renderers tell of their scenes; the watcher hears of the one that is looked for first
        heard = wanted.sentence and (self._status is VideoStatus.COMBINING or wanted.scene <= scene)
        return {
            **self.meter.columns(video),
            "handle": json.dumps(handle | {"work": work.columns()}),
            "progress": max(progress, video.progress),
            "stage": wanted.sentence if heard else video.stage,
            "current_scene": scene,
            "eta_seconds": work.eta_seconds,
            "due_at": next_look(self._parts.settings, video, self._parts.clock.now()),
        }


def _is_handed_out_now(video: Video) -> bool:
    """Whether the ids of its calls are about to be written, which would be one more write right after this one."""
    handle = read_handle(video)
    return "handed_at" in handle and not handle.get("calls") and "work" not in handle


def _work(video: Video, handle: Mapping[str, Any], left: float, alone: float, now: datetime) -> Work:
    """The work in the handle, gone on; or begun, where it goes on from what people were told last."""
    work = Work.read(handle.get("work"))
    return (work or Work.begin(left, alone, now, video.eta_seconds or None)).went_on(left, now)

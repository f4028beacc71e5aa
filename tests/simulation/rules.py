"""What must hold at every write to a video or scene, and of its log, whoever writes and whatever went wrong before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.control import is_deleting
from core.documents import Scene, Video
from core.journal import EventKind
from core.ports import Job
from core.status import SCENE_ARROWS, VIDEO_ARROWS, SceneStatus, VideoStatus
from tests.simulation.scheduler import Process, Scheduler

# told by a renderer at work, which may be of an attempt that was overtaken a moment ago
_WORK = {
    EventKind.ASSET_MADE,
    EventKind.RETRYING,
    EventKind.SUBSTITUTED,
    EventKind.SCENE_RENDERED,
    EventKind.SCENE_FAILED,
}


@dataclass
class Rules:
    """Hears of every write and of every asset that an engine begins to make."""

    scheduler: Scheduler
    stale_seconds: float
    scenes: Callable[[str], list[Scene]] = field(default=lambda _: [])
    known: dict[str, list[Scene]] = field(default_factory=dict)  # process -> the scenes as it has read them last
    takers: dict[str, Process] = field(default_factory=dict)  # scene -> who took it last
    made: dict[tuple[int, str, str], Process] = field(default_factory=dict)  # (attempt, kind, what) -> who made it
    relieved: set[str] = field(default_factory=set)  # processes that let go of a scene, or had it taken from them
    spoke: dict[str, float] = field(default_factory=dict)  # process -> the second in which it last wrote
    history: list[str] = field(default_factory=list)
    count: int = 0  # of assets made
    broken: list[str] = field(default_factory=list)  # rules that did not hold; kept, since the product catches errors

    def _hold(self, holds: bool, rule: str) -> None:
        if not holds:
            self.broken.append(rule)

    def wrote(self, before: Video | Scene | None, after: Video | Scene) -> None:
        """Check one write."""
        who = self.scheduler.process
        row = f"scene {after.scene_number}" if isinstance(after, Scene) else f"video {after.progress}%"
        by = f"{who.name} ({who.attempt})" if who else "-"
        if who is not None:
            self.spoke[who.name] = self.scheduler.seconds
        self.history.append(f"{self.scheduler.seconds:8.2f} {by:22} {row} {after.status} attempt {after.attempt}")
        if before is None:
            return
        self._hold(after.revision == before.revision + 1, "a revision was left out")
        if isinstance(before, Video) and isinstance(after, Video):
            self._video(before, after, who)
        elif isinstance(before, Scene) and isinstance(after, Scene):
            self._scene(before, after, who)

    def _video(self, before: Video, after: Video, who: Process | None) -> None:
        person = who is not None and who.kind == "person"
        self._hold(after.status in VIDEO_ARROWS[before.status], f"{before.status} became {after.status}")
        self._hold(after.attempt >= before.attempt, "an attempt fell")
        self._hold(after.progress >= before.progress or person, "progress fell")
        self._hold(person or not before.is_terminal or after.is_terminal, "ended work began again, and nobody asked")
        if after.is_terminal:
            idle = after.due_at is None
            self._hold(idle or after.status is VideoStatus.CANCELLED or is_deleting(after), "ended and yet due")
        else:
            self._hold(after.due_at is not None, "nobody will ever look at it again")
        if who is not None and who.kind == "renderer":
            self._hold(before.attempt <= who.attempt, "a stale attempt wrote to the video")
            who.attempt = max(who.attempt, after.attempt)
        self._current_scene(after, self.known.get(who.name) if who else None)

    def read(self, scenes: list[Scene]) -> None:
        """Remember what whoever runs now has read."""
        if self.scheduler.process is not None:
            self.known[self.scheduler.process.name] = scenes

    def _current_scene(self, video: Video, known: list[Scene] | None) -> None:
        """It is right by what its writer has read: a scene may be changed between that and the write."""
        if video.status is VideoStatus.RENDERING:
            scenes = known or self.scenes(video.id)
            unfinished = [s.scene_number for s in scenes if s.status is not SceneStatus.RENDERED]
            self._hold(1 <= video.current_scene <= min(unfinished, default=video.scene_count), "current_scene is ahead")
        elif video.status is VideoStatus.COMPLETED:
            self._hold(video.current_scene == video.scene_count, "current_scene is not the last")

    def _scene(self, before: Scene, after: Scene, who: Process | None) -> None:
        self._hold(after.status in SCENE_ARROWS[before.status], f"a {before.status} scene became {after.status}")
        self._hold(after.attempt >= before.attempt, "a scene's attempt fell")
        if who is None or who.kind != "renderer":
            return
        self._hold(before.attempt <= who.attempt, "a stale attempt wrote to a scene that a newer one has had in hand")
        if before.holder and after.holder != before.holder and after.id in self.takers:
            self.relieved.add(self.takers[after.id].name)
        if after.holder and after.holder != before.holder:
            if before.status is SceneStatus.RENDERING and before.attempt == after.attempt and before.beat_at:
                silent = self.scheduler.now() - datetime.fromisoformat(before.beat_at)
                self._hold(silent >= timedelta(seconds=self.stale_seconds), "a living holder's scene was taken")
            self.takers[after.id] = who
        if after.status is SceneStatus.RENDERED:
            self._hold(self.takers[after.id] is who, "a scene was finished by somebody who had it no more")

    def rendered(self, job: Job, video: Video | None) -> None:
        """Check what a render call leaves that has come to its end, while its attempt is the newest."""
        if video is None or video.attempt != job.attempt or video.status is not VideoStatus.RENDERING:
            return
        mine = [s for s in self.scenes(video.id) if s.scene_number in job.scenes]
        left = [s for s in mine if s.status is SceneStatus.RENDERING and s.attempt < job.attempt]
        self._hold(not left, "a scene was left to a holder that belongs to an older attempt")

    def making(self, kind: str, what: str) -> None:
        """Check that no two who both live and hold the scene make this in the same attempt."""
        who = self.scheduler.process
        assert who is not None
        self.count += 1
        first = self.made.setdefault((who.attempt, kind, what), who)
        self._hold(
            first is who or first.name in self.relieved or self._silent(first) or self._silent(who),
            f"a {kind} was made by {first.name} and {who.name} in one attempt",
        )

    def _silent(self, process: Process) -> bool:
        """Whether a process has not written for so long, or ever since it began, that its work may be another's."""
        heard = self.spoke.get(process.name, process.began)
        return heard is not None and self.scheduler.seconds - heard >= self.stale_seconds


def out_of_order(video_id: str, told: list[tuple[str, int]]) -> list[str]:
    """A complaint about a log, as (kind, attempt) of each event, that tells of an attempt after a newer one."""
    attempts = [attempt for kind, attempt in told if kind not in _WORK]
    if attempts == sorted(attempts):
        return []
    return [f"{video_id}: the log tells of attempts out of order: {', '.join(f'{k} {a}' for k, a in told)}"]

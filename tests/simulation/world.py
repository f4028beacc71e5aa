"""One video's life from creation to end, by the real steps, in one seed's order of events and accidents."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from core import control
from core.documents import Options, Video
from core.engine_ports import Engines
from core.engines.storyboard_text import TextStoryboard
from core.errors import ScenewrightError
from core.plan import plan
from core.ports import Job, Parts
from core.schema import FILMS
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.sweep import sweep
from core.wiring import build_choices, run_job
from core.wishes import SceneEdit
from tests.simulation import scheduler as ours
from tests.simulation.calls import Calls
from tests.simulation.makers import makers
from tests.simulation.rules import Rules, out_of_order
from tests.simulation.store import Fate, MemoryFiles, MemoryStore, Way

SCRIPT = "The first paragraph tells of the sea.\n\nThe second tells of the boats on it.\n\nThe third of the gulls."
SETTINGS = Settings(
    tries_max=500,
    beat_seconds=2.0,
    stale_seconds=10.0,
    queued_due_seconds=10.0,
    planning_seconds=40.0,
    call_deadline_seconds=50.0,
    combine_deadline_seconds=50.0,
)
_TICK_SECONDS = 10.0
_TROUBLE_SECONDS = 240.0  # after that nothing goes wrong any more, and nobody asks for anything
_END_SECONDS = 7200.0  # by then it has ended
_OVERTAKEN = {"planner": 0.1, "renderer": 0.1, "sweep": 0.1, "person": 0.4}  # chance, in a moment in which it is worst
_FATES = (Fate.REFUSED, Fate.ANSWER_LOST, Fate.KILLED_BEFORE, Fate.KILLED_AFTER)


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    seed: int
    status: str  # or "deleted"
    steps: int
    kills: int
    faults: int
    made: int  # assets that engines made
    seconds: float  # of the simulation


class World:
    """Runs one seed. `calm`: nothing goes wrong, nobody asks for anything; only the order is drawn."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self.scheduler = ours.Scheduler(seed)
        self.seed = seed
        self._chance = self.scheduler.rng.choice([0.002, 0.006, 0.02])
        self._calm = calm
        self.kills = self.faults = self.frozen = 0
        self.asked: list[str] = []  # what persons asked for and got
        self.texts: dict[int, set[str]] = {}  # scene -> the texts that persons gave it
        way = Way(self.scheduler, self._fate)
        self.rules = Rules(self.scheduler, SETTINGS.stale_seconds)
        self.store = MemoryStore(way, self.rules.wrote, self._overtaken, self.rules.read)
        self.rules.scenes = self.store.scenes_of
        self.files = MemoryFiles(way)
        engines = makers(self.scheduler, self.rules.making)
        self.calls = Calls(way, lambda job: self._run_job(engines, job), self._unreliable)
        self.calls.deaf = self.scheduler.rng.choice([0.2, 0.9])
        self.parts = Parts(self.store, self.files, self.calls, TextStoryboard(), SETTINGS, self.scheduler)
        self.choices = build_choices(SETTINGS)
        self._others: list[ours.Process] = []

    # ---- accidents

    @property
    def _trouble(self) -> bool:
        return not self._calm and self.scheduler.seconds < _TROUBLE_SECONDS

    def _unreliable(self, chance: float) -> bool:
        return self._trouble and self.scheduler.rng.random() < chance

    def _fate(self) -> Fate:
        process = self.scheduler.process
        if process is None or not self._unreliable(self._chance):
            return Fate.FINE
        fate = self.scheduler.rng.choice(_FATES)
        self.faults += 1
        self.kills += fate in (Fate.KILLED_BEFORE, Fate.KILLED_AFTER)
        return fate

    def _accident(self) -> None:
        """Now and then the renderer starts anew, the way to it breaks, or a process stands still for a while."""
        rng, working = self.scheduler.rng, self.calls.processes()
        if not working or not self._unreliable(self._chance):
            return
        kind = rng.choice(["restart", "lost way", "frozen"])
        if kind == "frozen":
            self._freeze(rng.choice(working), rng.uniform(5, 90))
        else:
            self.calls.restart(leave_running=kind == "lost way")
            self.kills += len(working) if kind == "restart" else 0
            # a renderer that has just started looks for what it lost
            self._start("sweep", lambda: sweep(self.parts, self.choices, after_restart=True), rng.uniform(0.1, 5))
        self.faults += 1

    def _freeze(self, process: ours.Process, seconds: float) -> None:
        process.frozen_until = self.scheduler.seconds + seconds
        self.frozen += 1

    def _overtaken(self) -> None:
        """Let this process stand still, now and then, until somebody else has taken its work over."""
        process = self.scheduler.process
        if process is None or not self._unreliable(_OVERTAKEN[process.kind]):
            return
        attempts = {v.id: v.attempt for v in self.store.videos.values()}
        later = self.scheduler.rng.choice([0.0, 2.0, 8.0])

        def look() -> None:
            if any(v.attempt > attempts[v.id] for v in self.store.videos.values()):
                process.frozen_until = self.scheduler.seconds + later
                process.while_frozen = lambda: None

        process.while_frozen = look
        self._freeze(process, 2 * SETTINGS.call_deadline_seconds)
        self.scheduler.pause()

    def _run_job(self, engines: Engines, job: Job) -> None:
        self._overtaken()
        run_job(self.parts, engines, job)
        copies = next(len(call.processes) for call in self.calls.calls.values() if call.job is job)
        if job.kind == "render" and copies == 1:  # of two, one has left it to the other
            self.rules.rendered(job, self.store.videos.get(job.video_id))

    # ---- who acts

    def _start(self, kind: str, work: Callable[[], object], after: float) -> ours.Process:
        process = ours.Process(f"{kind}-{len(self._others)}", kind)
        self._others.append(process)
        self.scheduler.spawn(process, work, after=after, main=True)
        return process

    def _sweeps(self) -> Iterator[ours.Process]:
        """One tick after the other; `next` gives the one that is on its way."""
        tick: ours.Process | None = None
        while True:
            if tick is None or not self.scheduler.running(tick):
                wait = self.scheduler.rng.uniform(0.5, 1.5) * _TICK_SECONDS
                tick = self._start("sweep", lambda: sweep(self.parts, self.choices), wait)
            yield tick

    def _asks(self, video_id: str, what: str) -> None:
        """A person asks for something; being refused is an answer too."""
        video = self.parts.store.get_video(video_id)
        number = self.scheduler.rng.randint(1, 3)
        match what:
            case "cancel":
                control.cancel(self.parts, video)
            case "retry":
                control.retry(self.parts, video, self.choices)
            case "resume":
                control.resume(self.parts, video, self.choices)
            case "edit":
                text = f"What is told now is number {len(self.rules.history)}."
                control.edit(self.parts, video, number, SceneEdit(narration=text))
                self.texts.setdefault(number, set()).add(text)
            case "delete":
                control.delete(self.parts, video)
        self.asked.append(what)

    def _people(self, video_id: str) -> None:
        rng = self.scheduler.rng
        for _ in range(rng.choice([0, 1, 2, 3, 4])):
            what = rng.choice(["cancel", "cancel", "retry", "resume", "resume", "edit", "edit", "delete"])
            self._start("person", partial(self._asks, video_id, what), rng.uniform(0.1, 0.6 * _TROUBLE_SECONDS))

    # ---- the run

    def run(self) -> Outcome:
        """Let it happen. Raises AssertionError, with the writes so far, when something does not hold."""
        try:
            with under(self.scheduler):
                try:
                    return self._run()
                finally:
                    self.scheduler.end()
        except AssertionError as error:
            writes = "\n".join(self.rules.history[-80:])
            raise AssertionError(f"seed {self.seed}: {error}\n{writes}") from error

    def _run(self) -> Outcome:
        rng, video_id = self.scheduler.rng, "the-video"
        options = Options(resolution=360, captions="off").to_json()
        due = self.scheduler.now().isoformat(timespec="milliseconds")
        self.store.create_video(Video(id=video_id, owner_id="ada", script=SCRIPT, options=options, due_at=due))
        for _ in range(1 if self._calm else rng.choice([0, 1, 1, 2])):  # the trigger's event, lost or delivered twice
            self._start("planner", lambda: plan(self.parts, video_id, self.choices), rng.uniform(0.01, 1.0))
        if not self._calm:
            self._people(video_id)
        tickers = [self._sweeps(), self._sweeps()]
        while not self._ended(video_id):
            for ticker in tickers:
                next(ticker)
            self._accident()
            self.scheduler.step()
            self._look()
            assert self.scheduler.seconds < _END_SECONDS, "it never ended"
        return self._outcome(video_id)

    def _ended(self, video_id: str) -> bool:
        video = self.store.videos.get(video_id)
        if self.calls.processes() or any(p.kind != "sweep" and self.scheduler.running(p) for p in self._others):
            return False
        return video is None or (video.is_terminal and video.due_at is None)

    def _look(self) -> None:
        """Every rule holds, and no process ended with an error that is none of ours."""
        assert not self.rules.broken, self.rules.broken[0]
        assert not self.scheduler.stray, f"a thread ended with {self.scheduler.stray[0]!r}"
        processes = [p for call in self.calls.calls.values() for p in call.processes] + self._others
        for process in processes:
            error = process.error
            assert error is None or isinstance(error, ScenewrightError), f"{process.name} ended with {error!r}"

    def _outcome(self, video_id: str) -> Outcome:
        video = self.store.videos.get(video_id)
        disorder = out_of_order(video_id, [(e.kind, e.attempt) for e in self.store.log_of(video_id)])
        assert not disorder, disorder[0]
        status = video.status.value if video else "deleted"
        if video is None:
            assert "delete" in self.asked or self.faults, "it is gone, and nobody deleted it"
            # what a renderer wrote too late that was out of reach, or stood still meanwhile
            late = 5 * (self.frozen + sum(call.forgotten for call in self.calls.calls.values()))
            assert len(self.store.kept) + len(self.store.rows) <= late, "rows were left over"
            assert len(self.files.held) <= late, "files were left over"
        elif video.status is VideoStatus.CANCELLED:
            assert "cancel" in self.asked or self.faults, "cancelled, and nobody asked for it"
        else:
            self._completed(video)
        return Outcome(
            self.seed, status, self.scheduler.steps, self.kills, self.faults, self.rules.count, self.scheduler.seconds
        )

    def _completed(self, video: Video) -> None:
        """The film is there, whole, and is what its scenes say."""
        assert video.status is VideoStatus.COMPLETED, f"{video.status}: {video.error_code} {video.error_message}"
        assert (video.progress, video.eta_seconds, video.error_code) == (100, 0, "")
        scenes = self.store.scenes_of(video.id)
        assert [s.status for s in scenes] == [SceneStatus.RENDERED] * 3
        for number, texts in self.texts.items():
            # an edit whose answer was lost may have come after those that were answered
            assert self.faults or scenes[number - 1].narration in texts, "an edit was lost"
        film = self.files.held[FILMS, video.final_file_id][0].decode()
        assert film == "".join(f"{s.visual_prompt} / {s.narration}\n" for s in scenes), "the film is not what was asked"
        for asset in self.store.kept.values():
            assert self.files.held[asset.bucket_id, asset.file_id][1].complete


@contextmanager
def under(scheduler: ours.Scheduler) -> Iterator[None]:
    """Give the modules of the product threads, locks, time and chance that the scheduler decides on."""
    chance = random.Random(scheduler.seed)
    stand_ins: dict[str, Any] = {
        "threading": SimpleNamespace(
            Thread=partial(ours.Thread, scheduler),
            Event=partial(ours.Event, scheduler),
            Lock=partial(ours.Lock, scheduler),
        ),
        "ThreadPoolExecutor": partial(ours.Pool, scheduler),
        "time": SimpleNamespace(monotonic=lambda: scheduler.seconds, sleep=scheduler.sleep),
        "random": chance,
        "secrets": SimpleNamespace(token_hex=lambda count: f"{chance.getrandbits(8 * count):0{2 * count}x}"),
    }
    replaced = [
        (module, name, getattr(module, name))
        for module_name, module in list(sys.modules.items())
        if module_name.startswith("core.") and module_name.count(".") == 1
        for name in stand_ins
        if hasattr(module, name)
    ]
    for module, name, _ in replaced:
        setattr(module, name, stand_ins[name])
    try:
        yield
    finally:
        for module, name, there in replaced:
            setattr(module, name, there)

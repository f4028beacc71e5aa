"""Composing a film, in two processes as the render server does it: against its length, its encoder and MoviePy."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import ffmpeg

from bench import peer
from bench.figures import Figure, Topic
from bench.machine import Cost, costed
from bench.sample import Take, film_of, scene_inputs, sound_of, take_of, write_music
from core.dispatch import spread
from core.documents import CROSSFADE_FRAMES, FPS, Canvas
from core.engine_ports import Engines, Heard, SoundTrack
from core.engines import clip_motion
from core.engines.cards import CardPictures
from core.media.args import clip_output_args, raw_input_args
from core.media.probe import frames as frames_of
from core.media.run import run
from core.settings import Settings
from core.wiring import build_engines

_PROCESSES = 2
_WALL_SHARE, _CPU_RATIO, _FASTER = 0.75, 2.0, 12.0


@dataclass(frozen=True, slots=True)
class Work:
    """A film to be composed: everything but its moving pictures is there."""

    takes: list[Take]
    music: Path
    folder: Path

    def clip(self, index: int, suffix: str = ".mp4") -> Path:
        """Where the clip of a scene lies."""
        return self.folder / f"clip-{index}{suffix}"

    def fade(self, index: int, suffix: str = ".mp4") -> Path:
        """Where the fade into a scene lies."""
        return self.folder / f"fade-{index}{suffix}"

    def segments(self, suffix: str = ".mp4") -> list[Path]:
        """All clips and fades, in the film's order."""
        paths = [self.clip(0, suffix)]
        for index in range(1, len(self.takes)):
            paths += [self.fade(index, suffix), self.clip(index, suffix)]
        return paths

    @property
    def film(self) -> Path:
        """Where the film lies."""
        return self.folder / "film.mp4"


# ---- in a render process


@cache
def _engines() -> Engines:
    return build_engines(Settings())


def _ready() -> None:
    _engines()


def _clips(work: Work, indices: tuple[int, ...], suffix: str = ".mp4") -> Cost:
    """Film some scenes; their cards were drawn just before, as in a render process, which is not counted."""
    wall = cpu = 0.0
    for index in indices:
        take, path = work.takes[index], work.clip(index, suffix)
        _engines().pictures["cards"].draw(take.inputs.picture, path.with_suffix(".jpg"), _silent)
        _, cost = costed(lambda take=take, path=path: _film(take, path))  # type: ignore[misc]
        wall, cpu = wall + cost.wall, cpu + cost.cpu
    return Cost(wall, cpu)


def _film(take: Take, path: Path) -> None:
    _engines().clip.film(take.shot, take.span, take.captions, path, _silent)


def _fades(work: Work, suffix: str = ".mp4") -> None:
    """Film all fades, two at a time as the join does."""
    shots = [take.shot for take in work.takes]

    def fade(index: int) -> None:
        _engines().clip.fade(shots[index - 1], shots[index], CROSSFADE_FRAMES, work.fade(index, suffix))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fade, range(1, len(shots))))


def _fades_and_sound(work: Work) -> tuple[SoundTrack, Cost]:
    """Film the fades, and mix the sound beside them as the join does."""

    def make() -> SoundTrack:
        with ThreadPoolExecutor(1) as pool:
            brief = sound_of(work.takes, work.music)
            mixing = pool.submit(_engines().film.mix, brief, work.folder / "sound.mp4", _silent)
            _fades(work)
            return mixing.result()

    return costed(make)


def _join(work: Work, sound: SoundTrack) -> tuple[Heard, Cost]:
    """Join the film."""
    brief = film_of(work.takes, work.segments(), sound)
    return costed(lambda: _engines().film.join(brief, work.film))


def _inspect(work: Work, sound: SoundTrack, heard: Heard) -> Cost:
    """Let the quality gate look at the film. Raises ValueError when it finds fault: then nothing was measured."""
    brief = film_of(work.takes, work.segments(), sound)
    findings, cost = costed(lambda: _engines().film.inspect(brief, work.film, heard, _silent))
    wrong = [finding.sentence for finding in findings if not finding.ok]
    if wrong:
        raise ValueError(" ".join(wrong))
    return cost


def _raw(work: Work, indices: tuple[int, ...]) -> None:
    """Write the very frames that the encoder gets, captions burnt in, to files instead."""
    with patch.object(clip_motion, "clip_output_args", _raw_output_args):
        _clips(work, indices, ".yuv")
        if 0 in indices:
            _fades(work, ".yuv")


def _raw_output_args(_: Canvas) -> dict[str, str]:
    return {"f": "rawvideo", "pix_fmt": "yuv420p"}


def _silent(_: float) -> None:
    """Report to nobody."""


# ---- here


class Renderers:
    """Two render processes with their engines built."""

    def __init__(self, stack: ExitStack) -> None:
        context = multiprocessing.get_context("spawn")
        self._pools = [stack.enter_context(ProcessPoolExecutor(1, mp_context=context)) for _ in range(_PROCESSES)]
        for future in [pool.submit(_ready) for pool in self._pools]:
            future.result()

    def compose(self, work: Work) -> dict[str, Cost]:
        """Make the film; the cost of every stage, and of all of them together."""
        filmed = self._spread(partial(_clips, work), len(work.takes))
        first = self._pools[0]
        sound, beside = first.submit(_fades_and_sound, work).result()
        heard, joined = first.submit(_join, work, sound).result()
        stages = {
            "clips": Cost(max(c.wall for c in filmed), sum(c.cpu for c in filmed)),
            "fades and sound": beside,
            "join": joined,
            "inspect": first.submit(_inspect, work, sound, heard).result(),
        }
        whole = Cost(sum(c.wall for c in stages.values()), sum(c.cpu for c in stages.values()))
        return {"all": whole, **stages}

    def raw(self, work: Work) -> None:
        """Write the frames that `compose` encodes to files."""
        self._spread(partial(_raw, work), len(work.takes))

    def _spread(self, task: Callable[[tuple[int, ...]], Cost | None], count: int) -> list[Cost]:
        """Deal the scenes out as the dispatcher does."""
        chunks = spread(range(count), _PROCESSES)
        futures = [pool.submit(task, chunk) for pool, chunk in zip(self._pools, chunks, strict=False)]
        return [cost for future in futures if (cost := future.result()) is not None]


def _encode_alone(work: Work) -> Cost:
    """Pipe the raw frames into the encoder as it is set for every clip, two encoders at a time."""
    canvas = work.takes[0].inputs.options.canvas
    size = canvas.width * canvas.height * 3 // 2

    def encode(raw: Path) -> None:
        def feed() -> Iterator[memoryview]:
            frame = memoryview(bytearray(size))
            with raw.open("rb") as file:
                while file.readinto(frame) == size:
                    yield frame

        stream = ffmpeg.input("pipe:0", **raw_input_args(canvas))
        run(stream.output(str(raw.with_suffix(".mp4")), **clip_output_args(canvas)).get_args(), feed=feed())

    def all_of_them() -> None:
        with ThreadPoolExecutor(_PROCESSES) as pool:
            list(pool.map(encode, work.segments(".yuv")))

    return costed(all_of_them)[1]


def _prepare(folder: Path, scenes: int) -> Work:
    """Speak, draw and compose: what a film is made from."""
    engines = _engines()
    takes = []
    for inputs in scene_inputs(scenes):
        picture = folder / f"card-{inputs.scene.scene_number}{engines.pictures['cards'].suffix}"
        engines.pictures["cards"].draw(inputs.picture, picture, _silent)
        takes.append(take_of(inputs, engines.voice, picture, folder, scenes))
    music = folder / "music.wav"
    write_music(music)
    return Work(takes, music, folder)


def measure(*, quick: bool) -> Topic:
    """Compose, encode alone and let MoviePy compose, in turns."""
    missing = peer.installed()
    rounds = 1 if quick else 2
    ours: list[dict[str, Cost]] = []
    alone: list[Cost] = []
    same: list[Cost] = []
    simpler: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        work = _prepare(Path(name), 2 if quick else 6)
        frames = sound_of(work.takes, work.music).frames
        plan = peer.write_plan(work.takes, CardPictures(), work.music, work.folder)
        renderers = Renderers(stack)
        renderers.raw(work)
        for _ in range(rounds):
            ours.append(renderers.compose(work))
            alone.append(_encode_alone(work))
            if missing is None:
                simpler.append(peer.make_film(plan, "simpler"))
                same.append(peer.make_film(plan, "same"))
        notes = [_stages_note(ours[-1], frames)]
        if missing is None:
            counted = frames_of(work.folder / "moviepy.mp4")
            notes.append(
                f"MoviePy's film has {counted} of {frames} frames. The same film: layers that move apart, float "
                "and turn, the spoken word marked; the simpler one: a zoomed picture per scene, captions without marks."
            )
        else:
            notes.append(f"No comparison with MoviePy: {missing.reason}")
    return Topic(
        "compose",
        f"{len(work.takes)} scenes, {frames / FPS:.1f} s of 1080x1920 at {FPS} frames per second: parallax, "
        f"highlighted captions, voice and music; {_PROCESSES} processes; voices and cards made before, not counted.",
        tuple(_figures(ours, alone, same, simpler, frames)),
        tuple(notes),
    )


def _figures(
    ours: list[dict[str, Cost]], alone: list[Cost], same: list[Cost], simpler: list[Cost], frames: int
) -> Iterator[Figure]:
    """Ratios round by round, then their median."""
    mine = [cost["all"] for cost in ours]
    length = frames / FPS
    yield _ratio("wall against the film's length", [c.wall / length for c in mine], _WALL_SHARE, length, "s of film")
    per_frame = 1000 / frames
    cpu, only = median(c.cpu for c in mine), median(c.cpu for c in alone)
    yield Figure("processor time per frame", cpu * per_frame, "CPU-ms", beside=f"{cpu:.1f} CPU-s in all")
    yield Figure("encoding the same frames alone", only * per_frame, "CPU-ms", beside=f"{only:.1f} CPU-s in all")
    against = [c.cpu / e.cpu for c, e in zip(mine, alone, strict=True)]
    yield _ratio("processor time against encoding alone", against, _CPU_RATIO, only, "CPU-s alone")
    for film, costs, bound in (("the same film", same, _FASTER), ("a simpler film", simpler, None)):
        if costs:
            faster = [t.wall / c.wall for t, c in zip(costs, mine, strict=True)]
            wall, peers = median(t.wall for t in costs), median(t.cpu for t in costs)
            beside = f"s and {peers * per_frame:.0f} CPU-ms per frame of MoviePy"
            yield _ratio(f"faster than MoviePy 2.2.1 with {film}", faster, bound, wall, beside, at_least=True)


def _ratio(
    what: str, rounds: list[float], bound: float | None, baseline: float, unit: str, *, at_least: bool = False
) -> Figure:
    """The median of some rounds, the rounds beside it."""
    each = ", ".join(f"{value:.2f}" for value in rounds)
    return Figure(what, median(rounds), "x", bound, at_least, beside=f"{baseline:.1f} {unit}; rounds: {each}")


def _stages_note(costs: dict[str, Cost], frames: int) -> str:
    """Where wall and processor time went."""
    parts = [
        f"{name} {cost.wall:.1f} s wall, {cost.cpu * 1000 / frames:.1f} CPU-ms per frame of the film"
        for name, cost in costs.items()
    ]
    return "Last round: " + "; ".join(parts) + "."

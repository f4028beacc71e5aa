"""Scenes that a Manim program animates: checked, run in the sandbox, mended by a language model where it fails."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.documents import FPS, Spent
from core.engine_ports import FootageBrief, Lesson, Memory, Notes, PictureBrief, Report
from core.engines.cards_palettes import PALETTES, RGB, palette_name
from core.engines.fonts import INTER, family_for
from core.engines.manim_checks import complaint
from core.engines.manim_program import FRAME_HEIGHT, Stage, last_line, pattern_of, source_of
from core.engines.manim_writer import CodeWriter
from core.errors import EngineError, ScenewrightError
from core.media.footage import blank_share

log = logging.getLogger(__name__)

FIXES = 5  # times that a program is sent back to who writes them
_LESSONS = 3  # of those that are met most, told with every question
_LESSON_CHARS = 1_500
_MARGIN = 0.4  # units above the captions and below the upper edge
_START_SECONDS, _PER_SECOND = 3.0, 1.5  # about what a run takes, for the progress that is told
_MOST_TOLD = 0.95
_BLANK = 0.5  # of a film: more in which nothing is to be seen is a fault of the program

# Runs a whole program and puts its film where it is wanted; returns what went wrong, "" when nothing did. `tick` is
# called again and again; what it raises ends the run. Raises EngineError where nothing can be run.
Run = Callable[[str, Path, Callable[[], None]], str]


@dataclass(frozen=True, slots=True)
class _Failed:
    """A program that failed."""

    program: str
    error: str


class ManimFootage:
    """Implements engine_ports.CodedFootage. A scene's own program is mended too, where there is somebody who can."""

    id = "manim"
    version = "1"
    holds = True

    def __init__(
        self, run: Run, writer: CodeWriter | None = None, memory: Memory | None = None, *, patience: float = 360.0
    ) -> None:
        """Nothing is run or asked yet.

        Args:
            run: where programs are run.
            writer: who writes and mends them; None: scenes must bring their own, and it must be right.
            memory: of errors and what mended them.
            patience: seconds after which a program that fails is not mended any more: a call has its own end.
        """
        self._run, self._writer, self._memory, self._patience = run, writer, memory, patience

    # ---- what it depends on

    def topic(self, brief: FootageBrief) -> Mapping[str, Any]:
        """See engine_ports.CodedFootage."""
        picture = brief.picture
        return {
            "title": picture.title,
            "prompt": picture.prompt,
            "narration": picture.narration,
            "language": picture.language,
            "frame": _frame(picture),
            "writer": self._writer.name if self._writer else "",
        }

    def wants(self, brief: FootageBrief) -> Mapping[str, Any]:
        """See engine_ports.FootageEngine."""
        canvas = brief.picture.canvas
        told = {"code": brief.code} if brief.code else self.topic(brief)
        return {**told, "size": [canvas.width, canvas.height], "frames": brief.frames, "colours": _names(brief.picture)}

    # ---- writing

    def write(self, brief: FootageBrief) -> str:
        """See engine_ports.CodedFootage. Codes of its errors: no_code, no_calls_left, planner_*."""
        if self._writer is None:
            raise EngineError(
                "Nobody here can write a program for this scene: give it one of its own (`code`), "
                "or set GEMINI_API_KEY.",
                code="no_code",
            )
        return self._writer.write(_wanted(brief), {"scene": _scene(brief.picture), "lessons": self._lessons("")})

    def take_bill(self) -> Sequence[Spent]:
        """See engine_ports.CodedFootage."""
        return self._writer.take_bill() if self._writer else []

    # ---- running

    def shoot(self, brief: FootageBrief, out: Path, notes: Notes, report: Report) -> Mapping[str, Any]:  # noqa: ARG002
        """See engine_ports.FootageEngine. Facts: program, fixes (how often it was mended).

        Raises:
            EngineError: codes bad_code (it fails, and cannot be mended), sandbox_unavailable, no_manim, and those of
                `write`.
        """
        program, failed = brief.program or brief.code or self.write(brief), list[_Failed]()
        until = time.monotonic() + self._patience
        while True:
            report(0.0)
            error = complaint(program) or self._run(source_of(program, _stage(brief)), out, _ticker(brief, report))
            error = error or _unseen(brief, out)
            if failed and pattern_of(failed[-1].error) != pattern_of(error) and not brief.code:
                self._learn(failed[-1], program)
            if not error:
                return {"program": program, "fixes": len(failed)}
            log.info("a program failed: %s", last_line(error), extra={"action": "program_failed"})
            failed.append(_Failed(program, error))
            if self._writer is None or len(failed) > FIXES or time.monotonic() >= until:
                raise EngineError(_sentence(brief, failed), code="bad_code")
            program = self._mended(brief, failed[-1])

    def _mended(self, brief: FootageBrief, failed: _Failed) -> str:
        assert self._writer is not None
        user = {
            "scene": _scene(brief.picture),
            "code": failed.program,
            "error": failed.error,
            "lessons": self._lessons(pattern_of(failed.error)),
        }
        return self._writer.write(_wanted(brief), user)

    # ---- remembering; a memory that is out of order costs nothing but its help

    def _lessons(self, error: str) -> list[dict[str, Any]]:
        """What mended this error before, then what is met most."""
        if self._memory is None:
            return []
        try:
            own = self._memory.recall(error) if error else None
            others = [lesson for lesson in self._memory.most_used(_LESSONS) if lesson != own]
        except ScenewrightError as trouble:
            log.warning("nothing is remembered: %s", trouble.sentence, extra={"action": "memory_failed"})
            return []
        told = [*([own] if own else []), *others]
        return [{"error": lesson.error, "wrong": lesson.original, "right": lesson.fix} for lesson in told]

    def _learn(self, failed: _Failed, program: str) -> None:
        """Keep what was changed; of a scene's own program nothing is kept, for people read their own alone."""
        original, fix = changed_lines(failed.program, program)
        if self._memory is None or not fix:
            return
        try:
            self._memory.learn(Lesson(pattern_of(failed.error), original, fix))
        except ScenewrightError as trouble:
            log.warning("a lesson was not kept: %s", trouble.sentence, extra={"action": "memory_failed"})


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """(lines that went, lines that came) between two programs."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    went, came = ("\n".join(line[2:] for line in lines if line.startswith(mark)) for mark in ("- ", "+ "))
    return went[:_LESSON_CHARS], came[:_LESSON_CHARS]


# ---- what programs and their writers are told


def _stage(brief: FootageBrief) -> Stage:
    picture = brief.picture
    family, file, _ = family_for(f"{picture.title} {picture.narration}")
    return Stage(
        size=(picture.canvas.width, picture.canvas.height),
        fps=FPS,
        seconds=round(brief.frames / FPS, 3),
        names=_names(picture),
        family="Inter" if file == INTER else family,
        fonts=(str(INTER),),
    )


def _wanted(brief: FootageBrief) -> dict[str, Any]:
    picture = brief.picture
    return {"seconds": round(brief.frames / FPS, 1), "frame": _frame(picture), "language": picture.language}


def _frame(picture: PictureBrief) -> dict[str, float]:
    """The frame in Manim's units, and the part of it in height that captions leave free."""
    canvas = picture.canvas
    top = FRAME_HEIGHT / 2 - _MARGIN
    bottom = FRAME_HEIGHT * (0.5 - canvas.caption_band[0] / canvas.height) + _MARGIN if picture.captions else -top
    width = FRAME_HEIGHT * canvas.width / canvas.height
    return {"width": round(width, 2), "height": FRAME_HEIGHT, "top": round(top, 2), "bottom": round(bottom, 2)}


def _unseen(brief: FootageBrief, film: Path) -> str:
    """What to say of a film in which mostly nothing is to be seen; "" if there is something."""
    share = blank_share(film, PALETTES[_palette(brief.picture)].base)
    if share <= _BLANK:
        return ""
    frame = _frame(brief.picture)
    return (
        "What is shown must be added to the scene, differ from GROUND in its colour, and stand within "
        f"x -{frame['width'] / 2:g} to {frame['width'] / 2:g} and y {frame['bottom']:g} to {frame['top']:g}.\n"
        f"BlankFrames: nothing is to be seen in {100 * share:.0f} % of the film"
    )


def _scene(picture: PictureBrief) -> dict[str, str]:
    return {
        "film": picture.film_title,
        "title": picture.title,
        "narration": picture.narration,
        "to_be_seen": picture.prompt,
    }


def _palette(picture: PictureBrief) -> str:
    return palette_name(picture.style, picture.film_title, picture.language, picture.seed)


def _names(picture: PictureBrief) -> dict[str, str]:
    """The colours of the video's style by the names that programs use."""
    style = PALETTES[_palette(picture)]
    lights = {f"LIGHT_{number}": _hex(glow) for number, glow in enumerate(style.glows, start=1)}
    return {"GROUND": _hex(style.base), "INK": _hex(style.ink), **lights}


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _ticker(brief: FootageBrief, report: Report) -> Callable[[], None]:
    """Tells of a run that says nothing of itself, by the time it usually takes."""
    begun, usual = time.monotonic(), _START_SECONDS + _PER_SECOND * brief.frames / FPS

    def tick() -> None:
        report(min(_MOST_TOLD, (time.monotonic() - begun) / usual))

    return tick


def _sentence(brief: FootageBrief, failed: Sequence[_Failed]) -> str:
    whose = "The scene's own program" if brief.code else "The program of the animation"
    fixes = len(failed) - 1
    after = f" after {fixes} {'fix' if fixes == 1 else 'fixes'}" if fixes else ""
    return f"{whose} fails{after}: {last_line(failed[-1].error).rstrip('.')}."

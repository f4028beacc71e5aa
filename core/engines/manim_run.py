"""Runs programs of scenes on this machine: in the sandbox, with the Python that has Manim, for so long at most."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.engines.fonts import FONTS
from core.engines.manim_program import ERROR, FILM, trimmed
from core.errors import EngineError, MissingToolError
from core.sandbox.limits import Limits
from core.sandbox.runner import Outcome, Program, available, run

_MEMORY_BYTES = 3 * 1024**3
_FILE_BYTES = 200_000_000
_STOPPED = {
    "wall_time": "It took longer than {seconds:g} s: make it simpler.",
    "cpu_time": "It took longer than {seconds:g} s: make it simpler.",
    "output": "It printed too much: print nothing.",
    "disk": "It wrote too much.",
    "files": "It wrote too many files.",
    "threads": "It started too many threads.",
}


class LocalRun:
    """Implements clip_manim.Run with core.sandbox."""

    def __init__(self, python: str = "", seconds: float = 180.0, work_dir: str = "") -> None:
        """Nothing is looked for yet.

        Args:
            python: the interpreter that has Manim; empty: this process's own.
            seconds: that one run may take.
            work_dir: scratch folder; empty: the system's.
        """
        self._python, self._seconds, self._work_dir = python, seconds, work_dir

    def __call__(self, source: str, out: Path, tick: Callable[[], None]) -> str:
        """See clip_manim.Run. Raises EngineError, codes sandbox_unavailable and no_manim."""
        self._check()
        limits = Limits(
            wall_seconds=self._seconds,
            cpu_seconds=max(1, round(self._seconds)),
            memory_bytes=_MEMORY_BYTES,
            file_bytes=_FILE_BYTES,
        )
        program = Program(
            source=source,
            python=self._python or sys.executable,
            read=(str(FONTS),),
            keep=(FILM, ERROR),
            limits=limits,
        )
        with tempfile.TemporaryDirectory(dir=self._work_dir or None) as folder:
            try:
                outcome = run(program, Path(folder), tick)
            except MissingToolError as error:
                raise EngineError(error.sentence, code=error.code) from error
            if outcome.done and FILM in outcome.files:
                (Path(folder) / FILM).replace(out)
                return ""
            return self._error(outcome, Path(folder))

    def _check(self) -> None:
        """What is not here is no fault of the program: a title card stands in, and says this."""
        if refusal := available():
            raise EngineError(refusal, code="sandbox_unavailable")
        if not self._python and importlib.util.find_spec("manim") is None:
            raise EngineError(
                "Manim is not installed here: set SCENEWRIGHT_MANIM_PYTHON to a Python that has it.", code="no_manim"
            )
        if self._python and not Path(self._python).exists():
            raise EngineError("SCENEWRIGHT_MANIM_PYTHON names no program of this machine.", code="no_manim")

    def _error(self, outcome: Outcome, folder: Path) -> str:
        """What went wrong, in words that tell a model what to change. Raises EngineError: Manim is not there."""
        if outcome.ended.stopped:
            return _STOPPED[outcome.ended.stopped].format(seconds=self._seconds)
        said = (folder / ERROR).read_text("utf-8", "replace") if ERROR in outcome.files else ""
        if "No module named 'manim'" in said and "scene.py" not in said:
            raise EngineError("The Python in SCENEWRIGHT_MANIM_PYTHON has no Manim.", code="no_manim")
        if outcome.ended.exit_code < 0:
            return f"It was ended by signal {-outcome.ended.exit_code}: it needs too much memory or time."
        return trimmed(said or outcome.ended.stderr) or "It left no film."

"""Runs programs of scenes: in the sandbox, with the Python that has Manim, or in a locked place somewhere else."""

from __future__ import annotations

import base64
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.engines.fonts import FONTS
from core.engines.manim_program import ERROR, FILM, SHOWN_AS, last_line, trimmed
from core.errors import EngineError, MissingToolError
from core.sandbox.limits import Limits
from core.sandbox.runner import Outcome, Program, available, run

_MEMORY_BYTES = 3 * 1024**3
_FILE_BYTES = 200_000_000
_ASKS_VERSION = f"import manim\nopen({FILM!r}, 'w').write(manim.__version__)"
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

    def version(self) -> str:
        """Of Manim, asked where programs run. Raises EngineError: none can."""
        with tempfile.TemporaryDirectory(dir=self._work_dir or None) as folder:
            answer = Path(folder) / FILM
            if wrong := self(_ASKS_VERSION, answer, lambda: None):
                raise EngineError(f"Manim cannot be used: {last_line(wrong)}.", code="no_manim")
            return answer.read_text("utf-8", "replace")[:20]

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
        said = (folder / ERROR).read_text("utf-8", "replace") if ERROR in outcome.files else ""
        ended = outcome.ended
        return _wrong(said, ended.stopped, ended.exit_code, ended.stderr, self._seconds)


class RemoteRun:
    """Implements clip_manim.Run with `core.isolated.run_source` somewhere else."""

    def __init__(
        self, call: Callable[[Mapping[str, Any], Callable[[], None]], Mapping[str, Any]], seconds: float = 180.0
    ) -> None:
        """Nothing is called yet.

        Args:
            call: sends a request there and waits for the answer; called with `tick` too.
            seconds: that one run may take.
        """
        self._call, self._seconds = call, seconds

    def __call__(self, source: str, out: Path, tick: Callable[[], None]) -> str:
        """See clip_manim.Run. Raises EngineError, codes no_manim, not_run, and those of the call."""
        asked = {
            "source": source,
            "wall_seconds": self._seconds,
            "memory_mb": _MEMORY_BYTES >> 20,
            "keep": [FILM, ERROR],
        }
        answer = self._call(asked, tick)
        if answer["state"] != "done":
            raise EngineError(f"The program was not run: {answer.get('sentence', '')}", code="not_run")
        files = {name: base64.b64decode(data) for name, data in answer["files"].items()}
        if answer["exit_code"] == 0 and not answer["stopped"] and FILM in files:
            out.write_bytes(files[FILM])
            return ""
        if FILM in answer["left_out"]:
            return "The film is too large: show less that moves at the same time."
        said = files.get(ERROR, b"").decode("utf-8", "replace")
        return _wrong(said, answer["stopped"], answer["exit_code"], answer["stderr"], self._seconds)


def _wrong(said: str, stopped: str, exit_code: int, stderr: str, seconds: float) -> str:
    """What went wrong, in words that tell a model what to change. Raises EngineError: Manim is not there."""
    if stopped:
        return _STOPPED[stopped].format(seconds=seconds)
    if "No module named 'manim'" in said and SHOWN_AS not in said:
        raise EngineError("The Python that runs the programs of scenes has no Manim.", code="no_manim")
    if exit_code < 0:
        return f"It was ended by signal {-exit_code}: it needs too much memory or time."
    return trimmed(said or stderr) or "It left no film."

"""What a person waits for `scenewright make`: from the command to the film, the start of the local stack included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figures import Figure, Topic
from bench.machine import Cost, costed
from core.documents import FPS
from core.media.probe import frames

_ROOT = Path(__file__).resolve().parents[1]
_SHARE = 1.0
_SECONDS = 900.0


def measure(*, quick: bool) -> Topic:
    """Run the command of `make demo` on an empty data folder, then again on the same one."""
    script = (_ROOT / "examples" / "volcano.txt").read_text(encoding="utf-8")
    if quick:
        script = "\n\n".join(script.split("\n\n")[:2])
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "script.txt").write_text(script, encoding="utf-8")
        costs = [_make(folder) for _ in range(1 if quick else 2)]
        seconds = frames(folder / "film.mp4") / FPS
    names = ("on an empty data folder", "once more")
    return Topic(
        "demo",
        f"`scenewright make` of a film of {seconds:.1f} s, 1080x1920, start and end of the local stack included.",
        tuple(
            Figure(f"wall against the film's length, {what}", c.wall / seconds, "x", _SHARE, beside=f"{c.wall:.1f} s")
            for what, c in zip(names, costs, strict=False)
        ),
    )


def _make(folder: Path) -> Cost:
    """Run the command; raises CalledProcessError when it fails."""
    code = "from core.cli import main; main()"
    options = ["--script", "script.txt", "--title", "How volcanoes work", "--out", "film.mp4", "--data", "data"]
    return costed(
        lambda: subprocess.run(
            [sys.executable, "-c", code, "make", *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
    )[1]

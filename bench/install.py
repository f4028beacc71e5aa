"""How long a second installation takes, when the package cache is warm."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figures import Figure, Topic
from bench.machine import Cost, costed

_ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 60.0
_PATIENCE = 900.0


def measure(*, quick: bool) -> Topic:
    """Clone what is committed and install it, once to warm the cache (unless quick), once for the clock."""
    if not quick:
        _install()
    cost = _install()
    return Topic(
        "install",
        "`scripts/bootstrap.sh` in a fresh clone: every pinned package checked by its hash and unpacked.",
        (Figure("a second install", cost.wall, "s", _SECONDS, beside=f"{cost.cpu:.1f} CPU-s"),),
        ("Quick: whether the cache was warm is not known.",) if quick else (),
    )


def _install() -> Cost:
    """Install into a clone in a temporary folder; raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        clone = Path(name) / "clone"
        _run("git", "clone", "--quiet", str(_ROOT), str(clone))
        python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        _, cost = costed(lambda: _run(str(clone / "scripts" / "bootstrap.sh"), str(python)))
        _run(str(clone / ".venv" / "bin" / "scenewright"), "--help")
    return cost


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE)

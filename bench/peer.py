"""Another program making the same film, in an environment of its own that is built when it is first needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import Cost
from bench.sample import Take
from core.combine import film_frames, starts_of
from core.cues import font_size, grouped, line_em
from core.documents import CROSSFADE_FRAMES, FPS
from core.engines.fonts import FONTS
from core.media.run import ffmpeg_path

_FOLDER = Path(__file__).resolve().parent / "peers"
_PYTHON = _FOLDER / ".venv" / "bin" / "python"
_INSTALLED = _FOLDER / ".venv" / "installed"  # a copy of the requirements that are in it
_INSTALL_SECONDS = 300
_FILM_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no peer to compare with."""

    reason: str


def installed() -> Missing | None:
    """Build the peers' environment unless it is there; the reason when that cannot be done."""
    requirements = _FOLDER / "requirements.txt"
    if _INSTALLED.exists() and _INSTALLED.read_text() == requirements.read_text():
        return None
    pip = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    try:
        for command in ([sys.executable, "-m", "venv", str(_FOLDER / ".venv")], pip):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        said = str(error.stderr or error.stdout).strip().splitlines()
        return Missing(f"it could not be installed: {said[-1] if said else error}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Missing(f"it could not be installed: {error}")
    _INSTALLED.write_text(requirements.read_text())
    return None


def write_plan(takes: list[Take], music: Path, folder: Path) -> Path:
    """The film as bench/peers/moviepy_film.py reads it: times in seconds, places in px."""
    canvas = takes[0].inputs.options.canvas
    frames = [take.voice.frames for take in takes]
    starts = [start / FPS for start in starts_of(frames)]
    size = font_size(canvas)
    cues = [
        {
            "start": cue.start + start,
            "end": cue.end + start,
            "text": "\n".join(" ".join(piece.text for piece in line) for line in cue.lines),
        }
        for take, start in zip(takes, starts, strict=True)
        for cue in grouped(take.voice.words, line_em(canvas, size), 4.0)
    ]
    plan: dict[str, Any] = {
        "size": [canvas.width, canvas.height],
        "fps": FPS,
        "seconds": film_frames(frames) / FPS,
        "fade": CROSSFADE_FRAMES / FPS,
        "scenes": [
            {"picture": str(t.shot.picture), "voice": str(t.voice.path), "start": s, "seconds": t.voice.frames / FPS}
            for t, s in zip(takes, starts, strict=True)
        ],
        "cues": cues,
        "font": str(FONTS / "Inter-ExtraBold.ttf"),
        "font_size": round(size * 0.7),
        "caption_top": canvas.caption_band[0],
        "music": str(music),
        "out": str(folder / "moviepy.mp4"),
    }
    path = folder / "plan.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


def make_film(plan: Path) -> Cost:
    """Let MoviePy make the film; its own account of what it took, without its start.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    ran = subprocess.run(
        [str(_PYTHON), str(_FOLDER / "moviepy_film.py"), str(plan)],
        env={**os.environ, "IMAGEIO_FFMPEG_EXE": ffmpeg_path()},  # the very same encoder
        stdout=subprocess.PIPE,
        text=True,
        timeout=_FILM_SECONDS,
        check=True,
    )
    took = json.loads(ran.stdout.splitlines()[-1])
    return Cost(float(took["wall"]), float(took["cpu"]))

"""Another program making the same film, in an environment of its own that is built when it is first needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.machine import Cost
from bench.sample import Take
from core.combine import film_frames, starts_of
from core.cues import Cue, font_size, grouped, line_em
from core.documents import CROSSFADE_FRAMES, FPS, Canvas
from core.engines.cards import CardPictures
from core.engines.fonts import FONTS
from core.media.args import clip_output_args
from core.media.layers import DRIFT, Layer, Role, merge
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


def write_plan(takes: list[Take], cards: CardPictures, music: Path, folder: Path) -> Path:
    """The film as bench/peers/moviepy_film.py reads it: times in seconds, places in px."""
    canvas = takes[0].inputs.options.canvas
    frames = [take.voice.frames for take in takes]
    starts = [start / FPS for start in starts_of(frames)]
    size = font_size(canvas)
    scenes = [
        {
            "picture": str(take.shot.picture),
            "voice": str(take.voice.path),
            "start": start,
            "seconds": take.voice.frames / FPS,
            **_layers(cards.layers(take.inputs.picture), canvas, folder, take.inputs.scene.scene_number),
        }
        for take, start in zip(takes, starts, strict=True)
    ]
    cues = [
        _cue(cue, start)
        for take, start in zip(takes, starts, strict=True)
        for cue in grouped(take.voice.words, line_em(canvas, size), 4.0)
    ]
    plan: dict[str, Any] = {
        "size": [canvas.width, canvas.height],
        "fps": FPS,
        "seconds": film_frames(frames) / FPS,
        "fade": CROSSFADE_FRAMES / FPS,
        "scenes": scenes,
        "cues": cues,
        "font": str(FONTS / "Inter-ExtraBold.ttf"),
        "font_size": round(size * 0.7),
        "caption_top": canvas.caption_band[0],
        "x264": clip_output_args(canvas)["x264-params"],
        "music": str(music),
        "out": str(folder / "moviepy.mp4"),
    }
    path = folder / "plan.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


def _cue(cue: Cue, start: float) -> dict[str, Any]:
    """A group of words in the film's time."""
    lines = [[{"text": piece.text, "start": piece.start + start} for piece in line] for line in cue.lines]
    return {"start": cue.start + start, "end": cue.end + start, "lines": lines}


def _layers(layers: list[Layer], canvas: Canvas, folder: Path, number: int) -> dict[str, Any]:
    """The layers of a card as files: what is far in one picture, everything that moves, all texts in one picture."""
    far = [layer for layer in layers if layer.role in (Role.GROUND, Role.LINES)]
    backdrop = folder / f"backdrop-{number}.png"
    Image.fromarray(merge(far, canvas)).save(backdrop)
    texts = Image.new("RGBA", (canvas.width, canvas.height))
    sprites = []
    for index, layer in enumerate(layer for layer in layers if layer not in far):
        picture = _straight(layer)
        left, top = round(layer.x - picture.width / 2), round(layer.y - picture.height / 2)
        if layer.role is Role.TEXT:
            texts.alpha_composite(picture, (left, top))
            continue
        path = folder / f"sprite-{number}-{index}.png"
        picture.save(path)
        drift = 2 * DRIFT * canvas.short_side * layer.depth
        turns = {Role.HERO: 1.1, Role.ACCENT: 3.2}.get(layer.role, 0.0)  # degrees, as core/engines/clip_motion.py does
        place = {"x": layer.x, "y": layer.y, "width": picture.width, "height": picture.height}
        sprites.append({"file": str(path), **place, "drift": drift, "turns": turns})
    box = texts.getbbox()
    if box:
        path = folder / f"texts-{number}.png"
        texts.crop(box).save(path)
        width, height = box[2] - box[0], box[3] - box[1]
        place = {"x": box[0] + width / 2, "y": box[1] + height / 2, "width": width, "height": height}
        sprites.append({"file": str(path), **place, "drift": 0, "turns": 0})
    return {"backdrop": str(backdrop), "sprites": sprites}


def _straight(layer: Layer) -> Image.Image:
    """A premultiplied layer as other programs want it, one pixel per pixel of the canvas."""
    pixels = layer.pixels.astype(np.float32)
    pixels[..., :3] *= 255 / np.maximum(pixels[..., 3:], 1)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image.resize((round(image.width / layer.density), round(image.height / layer.density)))


def make_film(plan: Path, kind: str) -> Cost:
    """Let MoviePy make the film, `kind` "same" or "simpler"; its own account of what it took, without its start.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    ran = subprocess.run(
        [str(_PYTHON), str(_FOLDER / "moviepy_film.py"), str(plan), kind],
        cwd=plan.parent,  # its temporary files lie there
        env={**os.environ, "IMAGEIO_FFMPEG_EXE": ffmpeg_path()},  # the very same encoder
        stdout=subprocess.PIPE,
        text=True,
        timeout=_FILM_SECONDS,
        check=True,
    )
    took = json.loads(ran.stdout.splitlines()[-1])
    return Cost(float(took["wall"]), float(took["cpu"]))

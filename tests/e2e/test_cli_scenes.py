"""`make --scenes` and `edit`: a file of scenes that names a person's own pictures and recordings becomes their film."""

from __future__ import annotations

import json
import math
import wave
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest
from PIL import Image

from core.media.run import run as ffmpeg_run
from tests.e2e.conftest import RunningStack
from tests.e2e.test_cli import run

TOLD = {"narration": "The lighthouse stands on the last rock before the open sea."}


def picture(path: Path, colour: str) -> Path:
    """A picture of one colour."""
    Image.new("RGB", (360, 640), colour).save(path)
    return path


def recording(path: Path, seconds: float) -> Path:
    """A tone."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = (int(9000 * math.sin(i / 3)) for i in range(round(8000 * seconds)))
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return path


def colour_of(film: Path) -> np.ndarray:
    """The mean colour of the upper half of a frame near the beginning."""
    shown = ffmpeg.input(str(film), ss=1).video.filter("crop", "iw", "ih/2", 0, 0).filter("scale", 8, 8)
    raw = ffmpeg_run(shown.output("pipe:1", f="rawvideo", pix_fmt="rgb24", vframes=1).get_args()).stdout
    return np.asarray(np.frombuffer(raw, np.uint8).reshape(-1, 3).mean(axis=0))


def test_a_file_of_scenes_with_local_files_becomes_a_film_and_a_scene_gets_another_picture(
    running_stack: RunningStack, tmp_path: Path
) -> None:
    folder = tmp_path / "story"
    folder.mkdir()
    picture(folder / "red.png", "#c03020")
    recording(folder / "tone.wav", 1.5)
    scenes = [{**TOLD, "picture": "red.png"}, {"title": "A tone", "audio": "tone.wav", "clip": ""}]
    (folder / "scenes.json").write_text(json.dumps(scenes))
    where = ("--data", running_stack.data)
    options = ("--resolution", "360", "--out", "film.mp4", "--json", *where)
    done = run("make", "--scenes", folder / "scenes.json", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    red, green, blue = colour_of(tmp_path / "film.mp4")
    assert red > max(green, blue) + 60

    video_id = next(line for line in done.stderr.splitlines() if line.startswith("Video created")).split()[-1]
    blue_one = picture(tmp_path / "blue.webp", "#2030c0")
    done = run("edit", video_id, "1", "--picture", blue_one, *where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("watch", video_id, "--out", "other.mp4", *where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    red, green, blue = colour_of(tmp_path / "other.mp4")
    assert blue > max(red, green) + 60


@pytest.mark.parametrize(
    ("scenes", "code", "field"),
    [
        ("no json at all", "not_json", "scenes"),
        ({"narration": "x"}, "not_a_list", "scenes"),
        ([{**TOLD, "picture": "nowhere.png"}], "picture_unreadable", "scenes[0].picture"),
        ([TOLD, {**TOLD, "audio": "scenes.json"}], "bad_audio", "scenes[1].audio"),
        ([TOLD, {**TOLD, "picture": "text.png"}], "bad_picture", "scenes[1].picture"),
        ([TOLD, {**TOLD, "engine": "magic"}], "unknown_value", "scenes[1].engine"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_file_of_scenes_is_refused_before_anything_is_started(
    scenes: Any, code: str, field: str, tmp_path: Path
) -> None:
    (tmp_path / "scenes.json").write_text(scenes if isinstance(scenes, str) else json.dumps(scenes))
    (tmp_path / "text.png").write_text("This is no picture.")

    done = run("make", "--scenes", "scenes.json", "--data", "data", cwd=tmp_path)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{code}: ")
    assert f"(field: {field})" in done.stderr
    assert not (tmp_path / "data").exists()

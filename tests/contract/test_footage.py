"""Scenes that move by themselves: footage of any size and length, cut to the narration, kept, captioned and joined."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest

from core import control
from core.documents import FPS, Canvas
from core.engine_ports import FootageBrief, Notes, Report
from core.errors import EngineError
from core.media import footage, probe
from core.media.run import run
from core.schema import FILMS
from core.status import VideoStatus
from core.wishes import SceneEdit
from tests.contract.making import TEXTS, Begin, engines_that, frame_of

CANVAS = Canvas.of("9:16", 360)


def moving(out: Path, seconds: float, source: str = "testsrc2=s=640x360:r=24") -> Path:
    """A landscape video with a sound, as a service might send it."""
    picture = ffmpeg.input(source, f="lavfi", t=seconds)
    sound = ffmpeg.input("sine=f=300", f="lavfi", t=seconds)
    run(ffmpeg.output(picture, sound, str(out), vcodec="libx264", acodec="aac", pix_fmt="yuv420p").get_args())
    return out


def pixels(path: Path, canvas: Canvas = CANVAS) -> np.ndarray:
    """Every frame's brightness as (frames, height, width)."""
    raw = b"".join(footage.frames_of(path, canvas, 0))
    size = canvas.width * canvas.height * 3 // 2
    frames = np.frombuffer(raw, np.uint8).reshape(-1, size)[:, : canvas.width * canvas.height]
    return frames.reshape(-1, canvas.height, canvas.width).astype(float)


# ---- cutting


@pytest.mark.parametrize(
    ("seconds", "holds", "slowed", "loops", "held"),
    [
        (4.0, False, 1.0, 1, 0),  # longer than wanted: cut
        (2.5, False, 1.2, 1, 0),  # a little too short: slower
        (1.0, False, 1.5, 3, 0),  # much too short: again and again
        (1.0, True, 1.5, 1, 45),  # an animation stands still at its end
    ],
)
def test_a_footage_of_any_length_gets_exactly_the_frames_of_its_scene(
    seconds: float, holds: bool, slowed: float, loops: int, held: int, tmp_path: Path
) -> None:
    out = tmp_path / "fitted.mp4"
    facts = footage.fit(moving(tmp_path / "raw.mp4", seconds), CANVAS, 90, out, holds=holds)
    seen = probe.streams(out)
    assert seen.video is not None and seen.audio is None
    assert (seen.video.width, seen.video.height, seen.video.fps) == (CANVAS.width, CANVAS.height, FPS)
    assert probe.frames(out) == 90
    assert (facts["slowed"], facts["loops"]) == (pytest.approx(slowed, abs=0.02), loops)
    changes = np.abs(np.diff(pixels(out), axis=0)).mean(axis=(1, 2))
    still = 90 - 1 - np.flatnonzero(changes > 0.3).max() - 1
    assert held - 2 <= still <= max(3, held + 2)


def test_a_footage_covers_the_canvas_without_bars_or_distortion(tmp_path: Path) -> None:
    """A square in the middle of a landscape footage is a square in the portrait film."""
    box = "drawbox=x=280:y=140:w=80:h=80:color=white:t=fill"
    raw = moving(tmp_path / "raw.mp4", 1.0, f"color=c=0x404040:s=640x360:r=24,{box}")
    footage.fit(raw, CANVAS, 20, tmp_path / "fitted.mp4", holds=False)
    frame = pixels(tmp_path / "fitted.mp4")[10]
    lit = np.argwhere(frame > 180)
    height, width = np.ptp(lit, axis=0) + 1
    assert abs(height - width) <= 3
    assert height == pytest.approx(80 * CANVAS.height / 360, abs=4)
    assert frame[:, 3].min() > 40 and frame[3].min() > 40


def test_a_frame_can_be_read_from_anywhere_and_is_the_right_one(tmp_path: Path) -> None:
    out = tmp_path / "fitted.mp4"
    footage.fit(moving(tmp_path / "raw.mp4", 2.0), CANVAS, 50, out, holds=False)
    all_of_them = list(footage.frames_of(out, CANVAS, 0))
    assert len(all_of_them) == 50
    for first in (1, 17, 49):
        frames = footage.frames_of(out, CANVAS, first)
        assert next(frames) == all_of_them[first]


@pytest.mark.parametrize("kind", ["text", "sound"])
def test_what_is_no_video_is_refused(kind: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw.mp4"
    if kind == "text":
        raw.write_text("This is no video.")
    else:
        run(ffmpeg.input("sine=f=300", f="lavfi", t=1).output(str(raw)).get_args())
    with pytest.raises(EngineError) as caught:
        footage.fit(raw, CANVAS, 30, tmp_path / "fitted.mp4", holds=False)
    assert caught.value.code == "bad_footage"


# ---- a whole video


@dataclass
class Service:
    """Implements engine_ports.FootageEngine: a service that films a moving pattern of a second."""

    id: str = "service"
    version: str = "1"
    holds: bool = False
    asked: list[FootageBrief] = field(default_factory=list)
    ordered: list[str] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)

    def wants(self, brief: FootageBrief) -> Mapping[str, Any]:
        """The length of the narration makes no difference to it."""
        return {"prompt": brief.picture.prompt}

    def shoot(self, brief: FootageBrief, out: Path, notes: Notes, report: Report) -> Mapping[str, Any]:
        """Order once, whatever happens on the way; then fetch."""
        self.asked.append(brief)
        if not notes.get("order"):
            self.ordered.append(brief.picture.prompt)
            notes.put("order", f"order-{len(self.ordered)}")
        if self.fails:
            raise self.fails.pop(0)
        report(0.5)
        moving(out, 1.0)
        return {"order": notes.get("order")}


def test_scenes_that_move_by_themselves_stand_in_one_film_with_drawn_ones(begin: Begin, tmp_path: Path) -> None:
    service = Service()
    engines = replace(engines_that()[0], footage={"service": service})
    made = begin(*TEXTS[:3])
    made.parts.store.advance(made.scenes[1], engine="service")
    made.run(engines)
    video, scene = made.video, made.scenes[1]
    assert video.status is VideoStatus.COMPLETED, video.error_message
    assert video.substitutions == ""
    assert json.loads(scene.assets).keys() == {"voice", "picture", "clip", "fitted"}
    made.parts.files.download(FILMS, video.final_file_id, tmp_path / "film.mp4")
    begins = round(made.scenes[0].duration_seconds * FPS)
    middle = frame_of(tmp_path / "film.mp4", begins + 20)
    assert np.ptp(middle, axis=2).mean() > 60, "the coloured pattern fills the picture"

    # another narration: the footage is not ordered again, only cut anew
    control.edit(made.parts, video, 2, SceneEdit(narration="A boat sails out to the sea, and it is a good boat."))
    made.run(engines)
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    assert len(service.asked) == 1
    assert made.scenes[1].duration_seconds > scene.duration_seconds


def test_what_was_ordered_is_fetched_after_a_failure_and_not_ordered_again(begin: Begin) -> None:
    service = Service(fails=[EngineError("The line broke.", retryable=True)])
    engines = replace(engines_that()[0], footage={"service": service})
    made = begin(*TEXTS[:1])
    made.parts.store.advance(made.scenes[0], engine="service")
    made.run(engines)
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    assert (len(service.asked), len(service.ordered)) == (2, 1)


def test_a_footage_that_cannot_be_made_becomes_a_title_card_and_the_narration_stays(begin: Begin) -> None:
    service = Service(fails=[EngineError("It was refused.")] * 2)
    engines = replace(engines_that()[0], footage={"service": service})
    made = begin(*TEXTS[:2])
    made.parts.store.advance(made.scenes[1], engine="service")
    made.run(engines)
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    (said,) = json.loads(made.video.substitutions)
    assert (said["scene"], said["used"], said["why"]) == (2, "a title card", "It was refused.")
    assert "fitted" not in json.loads(made.scenes[1].assets)

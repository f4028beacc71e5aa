"""Clips as decoded frames: exact length, true colours, smooth motion that never freezes, clean fades, captions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from core import captions
from core.documents import ASPECTS, Canvas
from core.engine_ports import PictureBrief, Shot, Word
from core.engines.cards import CardPictures
from core.engines.cards_layouts import compose, layout_name
from core.engines.clip_motion import MotionClips, _Act
from core.errors import EngineError
from core.media import probe
from core.media.layers import Pixels
from core.media.run import run
from core.media.stage import empty_frame, views

NARRATION = "Deep beneath our feet, rock melts into magma. It rises, and the mountain erupts with ash and lava."
CARDS = CardPictures()


def shot(aspect: str = "9:16", *, short_side: int = 360, number: int = 2, frames: int = 60, seed: int = 1) -> Shot:
    canvas = Canvas.of(aspect, short_side)
    brief = PictureBrief(
        canvas, number, 6, "The inner earth", "How volcanoes work", "", NARRATION, "en", "aurora", seed, True
    )
    return Shot(brief, Path("card.jpg"), frames)


def clips() -> MotionClips:
    return MotionClips(lambda wanted: CARDS.layers(wanted.brief))


def film(wanted: Shot, out: Path, span: range | None = None, text: str | None = None) -> Path:
    clips().film(wanted, span or range(wanted.frames), text, out, lambda share: None)
    return out


def decoded(path: Path, canvas: Canvas) -> Pixels:
    """All frames, uint8 RGB."""
    raw = run(["-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, canvas.height, canvas.width, 3)


def lumas(act: _Act, canvas: Canvas, numbers: range) -> list[Pixels]:
    """The luma planes of painted frames, before encoding."""
    frame = empty_frame(canvas)
    planes = []
    for n in numbers:
        act.paint(n, frame)
        planes.append(views(frame, canvas)[0].astype(np.float32))
    return planes


def steps(planes: list[Pixels]) -> Pixels:
    """How far the picture moved from each frame to the next, px, by phase correlation."""
    window = cv2.createHanningWindow(planes[0].shape[::-1], cv2.CV_32F)
    pairs = pairwise(planes)
    return np.array([cv2.phaseCorrelate(one, other, window)[0] for one, other in pairs])


@pytest.mark.parametrize("aspect", list(ASPECTS))
def test_a_clip_has_exactly_its_frames_and_says_its_colours(aspect: str, tmp_path: Path) -> None:
    wanted = shot(aspect)
    out = film(wanted, tmp_path / "clip.mp4", range(10, 47))
    video = probe.streams(out).video
    assert video is not None
    assert (video.width, video.height) == (wanted.brief.canvas.width, wanted.brief.canvas.height)
    assert (video.codec, video.pixel_format, video.fps) == ("h264", "yuv420p", 30)
    assert "tv" in video.colour and "bt709" in video.colour
    assert probe.streams(out).audio is None
    assert probe.frames(out) == 37


def test_colours_of_the_clip_are_those_of_the_card(tmp_path: Path) -> None:
    """A wrong matrix or range would shift them by far more."""
    wanted = shot(frames=30)
    CARDS.draw(wanted.brief, tmp_path / "card.jpg", lambda _: None)
    with Image.open(tmp_path / "card.jpg") as image:
        card = np.asarray(image.convert("RGB")).astype(float)
    last = decoded(film(wanted, tmp_path / "clip.mp4"), wanted.brief.canvas)[-1].astype(float)
    assert np.abs(last.mean(axis=(0, 1)) - card.mean(axis=(0, 1))).max() < 4
    title = next(i.box for i in compose(wanted.brief, layout_name(wanted.brief)).items if i.kind == "title")
    part = (slice(round(title.y), round(title.bottom)), slice(round(title.x), round(title.right)))
    assert np.abs(last[part] - card[part]).mean() < 9


@pytest.mark.parametrize("number", range(1, 7))
def test_no_scene_ever_looks_frozen(number: int, tmp_path: Path) -> None:
    """The usual detector at -60 dB sees no two still seconds, not even above the captions."""
    wanted = shot(number=number, frames=240)
    out = film(wanted, tmp_path / "clip.mp4")
    top = wanted.brief.canvas.caption_band[0]
    look = f"crop=iw:{top}:0:0,freezedetect=n=-60dB:d=2"
    assert "freeze_start" not in run(["-i", str(out), "-vf", look, "-f", "null", "-"]).log


def test_illustrations_move_visibly_and_without_jitter() -> None:
    """Phase correlation on the hero: steps change by less than a twentieth of a pixel from frame to frame."""
    wanted = shot("1:1", short_side=720, frames=150)
    canvas = wanted.brief.canvas
    box = next(i.box for i in compose(wanted.brief, layout_name(wanted.brief)).items if i.kind == "hero")
    rows, columns = slice(int(box.y), int(box.bottom)), slice(int(box.x), int(box.right))
    act = _Act(wanted, CARDS.layers(wanted.brief))
    moved = steps([plane[rows, columns] for plane in lumas(act, canvas, range(40, 130))])
    assert np.abs(np.cumsum(moved, axis=0)).max() > 2.0
    jitter = np.diff(moved, axis=0)
    assert np.sqrt((jitter**2).mean()) < 0.05


def test_a_plain_picture_gets_a_slow_smooth_camera(tmp_path: Path) -> None:
    """A photograph without layers, of another aspect: it fills the canvas, and its motion is sub-pixel."""
    noise = np.random.default_rng(3).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    picture = tmp_path / "photo.png"
    Image.fromarray(cv2.resize(noise, (1280, 720), interpolation=cv2.INTER_CUBIC)).save(picture)
    wanted = replace(shot(frames=90), picture=picture)
    engine = MotionClips(lambda _: None)
    act = engine._act(wanted)
    planes = lumas(act, wanted.brief.canvas, range(90))
    middle = [plane[200:440, 60:300] for plane in planes]
    moved = steps(middle)
    assert np.abs(np.cumsum(moved, axis=0)).max() > 1.0
    assert np.sqrt((np.diff(moved, axis=0) ** 2).mean()) < 0.05
    assert all(plane[:, [0, -1]].std() > 10 and plane[[0, -1]].std() > 10 for plane in planes[::30])
    engine.film(wanted, range(90), None, tmp_path / "clip.mp4", lambda share: None)
    assert probe.frames(tmp_path / "clip.mp4") == 90


def test_a_title_stands_still_once_it_has_arrived() -> None:
    wanted = shot(frames=150)
    canvas = wanted.brief.canvas
    box = next(i.box for i in compose(wanted.brief, layout_name(wanted.brief)).items if i.kind == "title")
    rows, columns = slice(int(box.y), int(box.bottom)), slice(int(box.x), int(box.right))
    act = _Act(wanted, CARDS.layers(wanted.brief))
    arriving, early, late = (lumas(act, canvas, range(n, n + 1))[0][rows, columns] > 180 for n in (0, 40, 149))
    assert early.mean() > 0.08
    assert (early != late).mean() < 0.002
    assert (early != arriving).mean() > 0.02


def test_a_fade_turns_the_end_of_one_scene_into_the_beginning_of_the_next(tmp_path: Path) -> None:
    before, after = shot(number=2, frames=60), shot(number=3, frames=60)
    canvas = before.brief.canvas
    clips().fade(before, after, 10, tmp_path / "fade.mp4")
    fade = decoded(tmp_path / "fade.mp4", canvas).astype(float)
    assert len(fade) == 10
    first = decoded(film(before, tmp_path / "a.mp4"), canvas)[50:].astype(float)
    second = decoded(film(after, tmp_path / "b.mp4"), canvas)[:10].astype(float)
    shares = [
        float(((mixed - a) * (b - a)).sum() / ((b - a) ** 2).sum())
        for mixed, a, b in zip(fade, first, second, strict=True)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.1 and shares[-1] > 0.9
    for mixed, a, b, share in zip(fade, first, second, shares, strict=True):
        assert np.abs(mixed - (a + (b - a) * share)).mean() < 5


def test_a_clip_without_its_fades_continues_their_motion(tmp_path: Path) -> None:
    wanted = shot(frames=60)
    whole = decoded(film(wanted, tmp_path / "whole.mp4"), wanted.brief.canvas)
    part = decoded(film(wanted, tmp_path / "part.mp4", range(10, 50)), wanted.brief.canvas)
    for n in (0, 20, 39):
        assert np.abs(part[n].astype(int) - whole[n + 10]).mean() < 2


def test_the_spoken_word_is_highlighted_in_the_caption_band_and_nowhere_else(tmp_path: Path) -> None:
    wanted = shot(frames=45)
    canvas = wanted.brief.canvas
    words = [Word("Rock", 0.2, 0.6), Word("melts", 0.6, 1.0)]
    text = captions.ass(words, canvas, style="highlight", language="en")
    frames = decoded(film(wanted, tmp_path / "clip.mp4", text=text), canvas).astype(int)
    yellow = (frames[..., 0] > 200) & (frames[..., 1] > 170) & (frames[..., 2] < 90)
    top, bottom = canvas.caption_band
    plain = decoded(film(wanted, tmp_path / "plain.mp4"), canvas).astype(int)
    changed = np.abs(frames - plain).max(axis=3) > 80
    assert changed[12, top:bottom].any()
    assert not changed[:, :top].any() and not changed[:, bottom:].any()
    assert not yellow[0, top:bottom].any()
    first, second = (np.flatnonzero(yellow[n, top:bottom].any(axis=0)) for n in (12, 24))
    assert first.size > 10 and second.size > 10
    assert first.max() < second.min()


def test_the_same_shot_gives_the_same_bytes_and_reports_its_progress(tmp_path: Path) -> None:
    wanted = shot(frames=35)
    seen: list[float] = []
    clips().film(wanted, range(35), None, tmp_path / "a.mp4", seen.append)
    film(wanted, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) >= 3


def test_a_picture_that_is_none_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    wanted = replace(shot(), picture=tmp_path / "broken.png")
    with pytest.raises(EngineError, match=r"broken\.png"):
        MotionClips(lambda _: None).film(wanted, range(5), None, tmp_path / "clip.mp4", lambda share: None)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_one_clip_of_full_size_needs_little_memory(tmp_path: Path) -> None:
    """A process that draws a card and films it at 1080 x 1920 stays below 200 MB."""
    code = """
import sys
from pathlib import Path
from core.documents import Canvas
from core.engines.cards import CardPictures
from core.engines.clip_motion import MotionClips
from core.engine_ports import PictureBrief, Shot
brief = PictureBrief(Canvas.of("9:16", 1080), 2, 6, "Film", "How volcanoes work", "", "Lava", "en", "auto", 1, True)
cards = CardPictures()
clips = MotionClips(lambda shot: cards.layers(shot.brief))
clips.film(Shot(brief, Path("x"), 8), range(8), None, Path(sys.argv[1]), lambda share: None)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "clip.mp4")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200 * 1024  # kB

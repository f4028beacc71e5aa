"""Files as people have them, turned into a scene's picture, footage and voice; and what is refused of them."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from PIL import Image

from core.documents import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Canvas
from core.engine_ports import Brought, FootageBrief, PictureBrief, Voice, VoiceBrief
from core.engines.own_files import OwnClip, OwnPicture, OwnVoice
from core.errors import EngineError
from core.media import probe
from core.media.run import run

CANVAS = Canvas.of("9:16", 360)


def brought(path: Path, kind: str = "picture") -> Brought:
    """A file as a scene brings it."""

    def fetch(out: Path) -> None:
        shutil.copyfile(path, out)

    return Brought("mark", f"The {kind} of scene 3 ({kind}_file_id)", fetch)


def brief(canvas: Canvas = CANVAS) -> PictureBrief:
    """Of a scene; nothing but the canvas matters."""
    return PictureBrief(canvas, 3, 5, "", "", "", "", "en", "auto", 1, captions=True)


def drawn(path: Path, canvas: Canvas = CANVAS) -> np.ndarray:
    """The scene's picture as (height, width, 3), 0 to 255."""
    out = path.with_name("scene.png")
    OwnPicture(brought(path)).draw(brief(canvas), out, lambda _: None)
    assert list(path.parent.glob("*.brought")) == []
    return np.asarray(Image.open(out), float)


def refused(kind: str, make: object) -> EngineError:
    """The error of an engine; its sentence names the scene and the field."""
    with pytest.raises(EngineError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.sentence.startswith(f"The {kind} of scene 3 ({kind}_file_id) ")
    assert (caught.value.code, caught.value.sentence[-1], caught.value.retryable) == (f"bad_{kind}", ".", False)
    return caught.value


# ---- pictures


@pytest.mark.parametrize("kind", ["jpg", "cmyk", "png", "palette", "grey", "grey16", "webp", "moving webp"])
def test_pictures_of_every_kind_fill_the_canvas_in_their_own_colours(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{'jpg' if kind == 'cmyk' else kind.rsplit(maxsplit=1)[-1].replace('palette', 'png')}"
    path = path.with_suffix(".png") if kind.startswith("grey") else path
    orange = Image.new("RGB", (400, 640), (220, 120, 40))
    match kind:
        case "cmyk":
            orange.convert("CMYK").save(path, quality=95)
        case "palette":
            orange.quantize(16).save(path)
        case "grey":
            orange.convert("L").save(path)
        case "grey16":
            Image.fromarray(np.full((640, 400), 140 << 8, np.uint16)).save(path)
        case "moving webp":
            orange.save(path, save_all=True, append_images=[Image.new("RGB", (400, 640), "blue")], duration=100)
        case _:
            orange.save(path)

    shown = drawn(path)

    assert shown.shape == (800, 450, 3)
    wanted = (140, 140, 140) if kind.startswith("grey") else (220, 120, 40)
    assert np.abs(shown - wanted).max() < 25


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_the_camera_was_held(orientation: int, tmp_path: Path) -> None:
    upright = np.zeros((600, 400, 3), np.uint8)
    upright[:300, :200] = 255  # bright at the upper left
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: np.rot90(upright.transpose(1, 0, 2), 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)

    shown = drawn(tmp_path / "turned.png")

    corners = [shown[y, x].mean() for y, x in ((100, 60), (100, -60), (-100, 60), (-100, -60))]
    assert corners[0] > 240
    assert max(corners[1:]) < 15


def test_a_picture_of_quite_another_shape_is_shown_whole_on_its_own_blurred_ground(tmp_path: Path) -> None:
    wide = np.full((200, 800, 3), (40, 90, 200), np.uint8)
    wide[:, :8] = wide[:, -8:] = (255, 255, 0)  # its ends
    Image.fromarray(wide).save(tmp_path / "wide.png")

    shown = drawn(tmp_path / "wide.png")

    middle = shown[400]
    yellow = np.flatnonzero((middle[:, 0] > 180) & (middle[:, 2] < 100))
    assert yellow.min() > 450 * 0.05
    assert yellow.max() < 450 * 0.95
    assert np.ptp(yellow) > 450 * 0.8
    assert 10 < shown[40].mean() < shown[400].mean(), "no black bars"


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (300, 533), (0, 0, 0, 0)).save(tmp_path / "clear.png")

    assert drawn(tmp_path / "clear.png").min() > 250


@pytest.mark.parametrize("kind", ["bomb", "larger bomb", "text", "cut", "gif", "svg", "empty"])
def test_what_is_no_usable_picture_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    match kind:
        case "bomb":
            Image.new("1", (9_000, 8_000)).save(path)
        case "larger bomb":
            Image.new("1", (20_000, 20_000)).save(path)
        case "cut":
            noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3)).astype(np.uint8)
            Image.fromarray(noise).save(path)
            path.write_bytes(path.read_bytes()[:40_000])
        case "gif":
            Image.new("P", (30, 30)).save(path, format="GIF")
        case "svg":
            path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
        case "text":
            path.write_text("This is no picture.")
        case _:
            path.touch()

    error = refused("picture", lambda: drawn(path))

    assert ("too large" in error.sentence) == ("bomb" in kind)
    assert list(tmp_path.glob("*.brought")) == []


# ---- films


def clip(path: Path, size: str = "320x240", seconds: float = 1.0, **output: object) -> Path:
    """A moving pattern in the container that the name says."""
    picture = ffmpeg.input(f"testsrc2=s={size}:r=12", f="lavfi", t=seconds)
    run(ffmpeg.output(picture, str(path), pix_fmt="yuv420p", **output).get_args())
    return path


def shot(path: Path) -> Path:
    """The footage of a scene that brings this file."""
    out = path.with_name("footage.mp4")
    engine = OwnClip(brought(path, "clip"))
    wanted = FootageBrief(brief(), 60, ())
    assert engine.wants(wanted) == {"mark": "mark"}
    engine.shoot(wanted, out, None, lambda _: None)  # type: ignore[arg-type]
    return out


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.webm", "libvpx")])
def test_films_in_common_formats_are_taken(name: str, codec: str, tmp_path: Path) -> None:
    assert probe.frames(shot(clip(tmp_path / name, vcodec=codec))) == 12


@pytest.mark.parametrize("kind", ["sound", "list", "concat", "picture", "large", "short", "cut"])
def test_what_is_no_usable_film_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    match kind:
        case "sound":
            run(ffmpeg.input("sine=f=300", f="lavfi", t=1).output(str(path)).get_args())
        case "list":
            other = clip(tmp_path / "other.mp4")
            path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n")
        case "concat":
            path.write_text(f"ffconcat version 1.0\nfile '{clip(tmp_path / 'other.mp4')}'\n")
        case "picture":
            Image.new("RGB", (50, 50)).save(path, format="PNG")
        case "large":
            clip(path, "4096x2400", 0.3, preset="ultrafast")
        case "short":
            clip(path, seconds=0.08)
        case _:
            path.write_bytes(clip(path).read_bytes()[:2000])

    error = refused("clip", lambda: shot(path))

    assert ("too large" in error.sentence) == (kind == "large")


# ---- recordings


def recording(path: Path, *parts: tuple[float, float]) -> Path:
    """Noise as (seconds, loudness) one after the other, in the format that the name says."""
    rng = np.random.default_rng(5)
    raw = np.concatenate([rng.normal(0, level, round(seconds * 16_000)) for seconds, level in parts])
    source = ffmpeg.input("pipe:0", f="f32le", ar=16_000, ac=1)
    run(source.output(str(path), ac=2).get_args(), feed=[np.clip(raw, -1, 1).astype("<f4").tobytes()])
    return path


def spoken(path: Path, text: str = "", lead: float = 0.35, tail: float = 0.4) -> Voice:
    """The narration of a scene that brings this file."""
    wanted = VoiceBrief(text, "en", "", 1.0, lead, tail)
    voice = OwnVoice(brought(path, "audio")).speak(wanted, path.with_name("voice.wav"))
    with wave.open(str(voice.path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        assert file.getnframes() == voice.frames * SAMPLES_PER_FRAME
    return voice


def samples_of(voice: Voice) -> np.ndarray:
    """The sound, -1 to 1."""
    with wave.open(str(voice.path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


@pytest.mark.parametrize("suffix", ["mp3", "wav", "m4a", "ogg", "flac", "webm"])
def test_recordings_in_common_formats_are_as_loud_as_a_voice_between_their_silences(
    suffix: str, tmp_path: Path
) -> None:
    voice = spoken(recording(tmp_path / f"take.{suffix}", (0.6, 0.0), (1.0, 0.02), (0.8, 0.0)))

    sound = samples_of(voice)
    assert voice.words == ()
    assert voice.frames / FPS == pytest.approx(0.35 + 1.0 + 0.4, abs=0.15)
    assert np.abs(sound[: round(0.3 * SAMPLE_RATE)]).max() < 0.01
    assert np.abs(sound[-round(0.35 * SAMPLE_RATE) :]).max() < 0.01
    log = run(ffmpeg.input(str(voice.path)).audio.filter("ebur128", dualmono=1).output("-", f="null").get_args()).log
    assert probe.parse_loudness(log).integrated == pytest.approx(-16, abs=2.5)


def test_words_share_what_is_not_silent_by_their_letters(tmp_path: Path) -> None:
    path = recording(tmp_path / "take.wav", (1.0, 0.1), (0.7, 0.0), (1.0, 0.1))

    words = spoken(path, "abcde fghij — klmnopqrst").words

    assert [word.text for word in words] == ["abcde", "fghij", "—", "klmnopqrst"]
    assert words[0].start == pytest.approx(0.35, abs=0.03)
    assert words[1].start == pytest.approx(0.85, abs=0.05)
    assert words[1].end <= words[3].start
    # the last one has half of the letters: the second stretch of sound, behind the pause
    assert words[3].start == pytest.approx(0.35 + 1.7, abs=0.05)
    assert words[3].end == pytest.approx(0.35 + 2.7, abs=0.05)


def test_more_words_than_the_sound_has_room_for_stay_in_order(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(400))

    voice = spoken(recording(tmp_path / "take.wav", (0.5, 0.1)), text)

    times = [time for word in voice.words for time in (word.start, word.end)]
    assert [word.text for word in voice.words] == text.split()
    assert times == sorted(times)
    assert times[-1] <= voice.frames / FPS


@pytest.mark.parametrize("kind", ["silent", "long", "text", "picture", "list", "film without sound"])
def test_what_is_no_usable_recording_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    match kind:
        case "silent":
            recording(path, (1.0, 0.0))
        case "long":
            path = tmp_path / "take.mp3"
            run(ffmpeg.input("sine=f=300", f="lavfi", t=302).output(str(path), audio_bitrate="32k").get_args())
        case "picture":
            Image.new("RGB", (50, 50)).save(path, format="PNG")
        case "list":
            path.write_text("#EXTM3U\nhttp://127.0.0.1:9/song.mp3\n")
        case "film without sound":
            path = clip(tmp_path / "take.mp4")
        case _:
            path.write_text("This is no sound.")

    error = refused("audio", lambda: spoken(path))

    assert {"silent": "is silent.", "long": "longer than 5 minutes"}.get(kind, "cannot be read") in error.sentence

"""Films: joined from real clips and voices, decoded again, measured; and each check is made to fail once."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest
from PIL import Image

from core import captions
from core.captions import CAPTION_STYLES
from core.documents import CROSSFADE_FRAMES, FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Canvas
from core.engine_ports import FilmBrief, Finding, Heard, Sound, SoundBrief, VoiceBrief, Word
from core.engines.film_ffmpeg import FfmpegFilm
from core.engines.voice_espeak import EspeakVoice
from core.errors import EngineError, InvalidInputError, StoppedError
from core.media import probe
from core.media.args import clip_output_args
from core.media.caption_boxes import FONTS, caption_boxes
from core.media.run import ffmpeg_path, run
from core.media.speech import write_wav

CANVAS = Canvas.of("9:16", 360)
ENGINE = FfmpegFilm()
TEXTS = ("Honeybees dance to tell their sisters the way.", "Nobody believed it, at first. Today we know better.")
MOVING = f"testsrc2=s={CANVAS.width}x{CANVAS.height}:r={FPS},hue=s=0"  # grey: colours are those of captions


@dataclass(frozen=True)
class Made:
    """A good film and everything it was made from."""

    sound: SoundBrief
    brief: FilmBrief
    film: Path
    heard: Heard
    words: list[Word]  # in the film's time
    shares: list[float]


def clip(source: str, frames: int, out: Path, text: str = "") -> Path:
    """Encode a lavfi source as a segment, with captions if there are any."""
    stream = ffmpeg.input(source, f="lavfi", t=frames / FPS)
    if text:
        script = out.with_suffix(".ass")
        script.write_text(text, encoding="utf-8")
        stream = stream.filter("ass", filename=str(script), fontsdir=str(FONTS))
    run(stream.output(str(out), frames=frames, **clip_output_args(CANVAS)).get_args())
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two scenes with a fade between them, in a folder whose name needs care."""
    folder = tmp_path_factory.mktemp("it's a film")
    last = len(TEXTS) - 1
    segments, sounds, words, burnt, at = [], [], [], [], 0
    for i, text in enumerate(TEXTS):
        brief = VoiceBrief(text, "en", "", 1.0, 0.6 if i == 0 else 0.35, 0.9 if i == last else 0.4)
        voice = EspeakVoice().speak(brief, folder / f"voice {i}.wav")
        begin, end = (CROSSFADE_FRAMES if i else 0), voice.frames - (CROSSFADE_FRAMES if i < last else 0)
        shifted = [Word(w.text, w.start - begin / FPS, w.end - begin / FPS) for w in voice.words]
        burnt.append(captions.ass(shifted, CANVAS, style="highlight", language="en"))
        if i:
            segments.append(clip(MOVING, CROSSFADE_FRAMES, folder / f"fade {i}.mp4"))
        segments.append(clip(MOVING, end - begin, folder / f"clip {i}.mp4", burnt[-1]))
        words += [Word(w.text, w.start + at / FPS, w.end + at / FPS) for w in voice.words]
        sounds.append(Sound(voice.path, at))
        at += voice.frames - CROSSFADE_FRAMES
    shares: list[float] = []
    sound = SoundBrief(tuple(sounds), at + CROSSFADE_FRAMES, None)
    film_brief = FilmBrief(
        canvas=CANVAS,
        segments=tuple(segments),
        sound=ENGINE.mix(sound, folder / "sound.mp4", shares.append),
        frames=sound.frames,
        title='The "dance"; of {bees}\n= 100 %',
        language="en-US",
        captions=tuple(burnt),
        max_bytes=50_000_000,
    )
    film = folder / "film.mp4"
    heard = ENGINE.join(film_brief, film)
    return Made(sound, film_brief, film, heard, words, shares)


def loudness(film: Path) -> probe.Loudness:
    """Of the film's sound, decoded."""
    return probe.listen(film, sample_rate=SAMPLE_RATE, silent_seconds=1.0).loudness


def sound_of(film: Path) -> np.ndarray:
    """The film's sound as (samples, 2), -1 to 1."""
    args = ffmpeg.input(str(film)).audio.output("pipe:1", f="f32le", ac=2, ar=SAMPLE_RATE).get_args()
    return np.frombuffer(run(args).stdout, "<f4").reshape(-1, 2)


def picture_at(film: Path, frame: int) -> np.ndarray:
    """One frame as (height, width, 3) RGB."""
    video = ffmpeg.input(str(film)).video.filter("select", f"eq(n,{frame})")
    raw = run(video.output("pipe:1", f="rawvideo", pix_fmt="rgb24", vframes=1).get_args()).stdout
    return np.frombuffer(raw, np.uint8).reshape(CANVAS.height, CANVAS.width, 3)


def failed(brief: FilmBrief, film: Path, heard: Heard) -> dict[str, str]:
    """The sentences of the checks that failed."""
    findings = ENGINE.inspect(brief, film, heard, lambda share: None)
    return {finding.check: finding.sentence for finding in findings if not finding.ok}


def with_sound(made: Made, folder: Path, **changes: Any) -> tuple[FilmBrief, Path, Heard]:
    """The film with another sound."""
    sound = ENGINE.mix(replace(made.sound, **changes), folder / "sound.mp4", lambda share: None)
    brief = replace(made.brief, sound=sound)
    return brief, folder / "film.mp4", ENGINE.join(brief, folder / "film.mp4")


def looked(brief: FilmBrief) -> FilmBrief:
    """The same film, every segment of which was looked at when it was made."""
    texts = iter(brief.captions)
    return replace(
        brief,
        looks=tuple(
            ENGINE.look(segment, CANVAS, next(texts, None) if segment.name.startswith("clip") else None)
            for segment in brief.segments
        ),
    )


# ---- the join


def test_a_film_has_exactly_its_frames_and_its_sound_ends_with_them(made: Made) -> None:
    assert probe.frames(made.film) == made.brief.frames
    samples = sound_of(made.film).shape[0]
    assert abs(samples - made.brief.frames * SAMPLES_PER_FRAME) <= SAMPLES_PER_FRAME


def test_the_pictures_are_copied_and_not_encoded_again(made: Made) -> None:
    def pictures(path: Path) -> list[str]:
        args = ffmpeg.input(str(path)).video.output("pipe:1", f="framehash", hash="md5").get_args()
        return [
            line.split(",")[-1].strip() for line in run(args).stdout.decode().splitlines() if not line.startswith("#")
        ]

    assert pictures(made.film) == [picture for segment in made.brief.segments for picture in pictures(segment)]


def test_a_film_is_as_loud_as_promised_after_encoding(made: Made) -> None:
    heard = loudness(made.film)
    assert heard.integrated == pytest.approx(-16, abs=1)
    assert heard.true_peak <= -1.5
    assert (made.heard.loudness, made.heard.true_peak) == (heard.integrated, heard.true_peak)


@pytest.mark.parametrize("text", ["Hello there.", "Nobody believed it, at first."])
def test_a_film_of_a_few_words_is_as_loud_as_any_other(text: str, made: Made, tmp_path: Path) -> None:
    voice = EspeakVoice().speak(VoiceBrief(text, "en", "", 1.0, 0.6, 0.9), tmp_path / "voice.wav")
    _, film, told = with_sound(made, tmp_path, sounds=(Sound(voice.path, 0),), frames=voice.frames)

    heard = loudness(film)
    assert heard.integrated == pytest.approx(-16, abs=0.5)
    assert heard.true_peak <= -1.5
    assert (told.loudness, told.true_peak) == (heard.integrated, heard.true_peak)


def test_every_narration_lies_on_its_sample(made: Made) -> None:
    film = sound_of(made.film)[:, 0]
    for sound in made.sound.sounds:
        said = np.frombuffer(sound.path.read_bytes()[44:], "<i2") / 32768
        start = sound.start * SAMPLES_PER_FRAME + round(0.7 * SAMPLE_RATE)
        piece = said[round(0.7 * SAMPLE_RATE) : round(1.9 * SAMPLE_RATE)]
        shifts = range(-60, 61)
        scores = [float(np.dot(film[start + shift : start + shift + piece.size], piece)) for shift in shifts]
        assert abs(shifts[int(np.argmax(scores))]) <= 2


def test_a_film_says_its_title_and_language_and_starts_while_it_loads(made: Made) -> None:
    log = run(["-i", str(made.film)], check=False).log
    assert 'title           : The "dance"; of {bees} = 100 %' in log
    assert "(eng): Audio: aac" in log
    assert "bt709" in log
    header = made.film.read_bytes()
    assert header.index(b"moov") < header.index(b"mdat")


def test_mixing_tells_how_far_it_is_and_never_goes_back(made: Made) -> None:
    assert made.shares == sorted(made.shares)
    assert made.shares[-1] == 1.0
    assert len(made.shares) > 4


def test_a_mix_that_is_stopped_leaves_nothing_behind(made: Made, tmp_path: Path) -> None:
    def stop(share: float) -> None:
        if share > 0.3:
            raise StoppedError("The video was cancelled.")

    with pytest.raises(StoppedError):
        ENGINE.mix(made.sound, tmp_path / "sound.mp4", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_is_no_video_is_an_error_and_leaves_nothing_behind(made: Made, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video" * 100)
    brief = replace(made.brief, segments=(*made.brief.segments[:1], bad, *made.brief.segments[2:]))
    out = tmp_path / "out" / "film.mp4"
    out.parent.mkdir()
    with pytest.raises(EngineError, match="one is damaged") as caught:
        ENGINE.join(brief, out)
    assert caught.value.code == "bad_segment"
    assert list(out.parent.iterdir()) == []


def test_a_silent_film_is_an_error(made: Made, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    write_wav(silent, np.zeros(SAMPLE_RATE * 2, np.float32))
    with pytest.raises(EngineError) as caught:
        with_sound(made, tmp_path, sounds=(Sound(silent, 0),))
    assert caught.value.code == "silent_film"


def test_a_narration_full_of_peaks_is_brought_to_the_same_loudness(made: Made, tmp_path: Path) -> None:
    """Plain gain would clip: the limiter holds the peaks, and the loudness it costs is given back."""
    rng = np.random.default_rng(7)
    sound = rng.normal(0, 0.01, made.brief.frames * SAMPLES_PER_FRAME).astype(np.float32)
    sound[:: SAMPLE_RATE // 3] = 0.9
    path = tmp_path / "peaks.wav"
    write_wav(path, np.clip(sound, -1, 1))
    _, film, _ = with_sound(made, tmp_path, sounds=(Sound(path, 0),))
    heard = loudness(film)
    assert heard.integrated == pytest.approx(-16, abs=1)
    assert heard.true_peak <= -1.5


def test_at_each_word_its_highlight_stands_in_the_band_and_nowhere_else(made: Made) -> None:
    top, bottom = CANVAS.caption_band

    def yellow(frame: int) -> tuple[int, int]:  # pixels in the band, pixels elsewhere
        r, g, b = np.moveaxis(picture_at(made.film, frame).astype(int), 2, 0)
        lit = (r > 190) & (g > 170) & (b < 110)
        return int(lit[top:bottom].sum()), int(lit[:top].sum() + lit[bottom:].sum())

    assert yellow(round(made.words[0].start * FPS) - 3) == (0, 0)
    for word in made.words[:6]:
        inside, outside = yellow(round((word.start + word.end) / 2 * FPS))
        assert inside > 60, word
        assert outside == 0, word


# ---- music


def tone(path: Path, seconds: float, *options: str) -> Path:
    """A file with a tone of 15 kHz, where no voice is."""
    source = f"sine=frequency=15000:sample_rate={SAMPLE_RATE}:duration={seconds}"
    run(["-f", "lavfi", "-i", source, "-ac", "2", *options, str(path)])
    return path


def test_music_is_looped_faded_and_steps_back_under_the_voice(made: Made, tmp_path: Path) -> None:
    music = tone(tmp_path / "short.wav", 1.7)
    film = tmp_path / "film.mp4"
    _, film, heard = with_sound(made, tmp_path, music=music)
    assert failed(made.brief, film, heard) == {}
    sound = sound_of(film)[:, 0]

    def level(seconds: float) -> float:  # of the tone, in 50 ms
        at = round(seconds * SAMPLE_RATE)
        spectrum = np.abs(np.fft.rfft(sound[at : at + 2400] * np.hanning(2400)))
        return float(20 * np.log10(spectrum[740:761].max() + 1e-9))

    length = made.brief.frames / FPS
    second = made.sound.sounds[1].start / FPS  # the second scene begins with the silence between two words
    said = [level((w.start + w.end) / 2 - 0.025) for w in made.words if w.start > 1.2 and w.end < second]
    gap = level(next(w for w in made.words if w.start > second).start - 0.08)
    assert gap - np.median(said) > 3, "it comes back when nobody speaks"
    assert level(0.0) < gap - 12, "it fades in"
    assert level(length - 0.06) < gap - 12, "it fades out"
    assert max(said) - min(said) < 12, "the loop has no hole"


def test_music_in_common_formats_is_accepted(tmp_path: Path) -> None:
    for name, options in {
        "a.mp3": ("-c:a", "libmp3lame"),
        "a.m4a": ("-c:a", "aac"),
        "a.ogg": ("-c:a", "libvorbis"),
        "a.flac": (),
        "a.wav": (),
    }.items():
        path = tmp_path / name
        run(["-f", "lavfi", "-i", "sine=d=2", *options, str(path)])
        FfmpegFilm().check_music(path)


@pytest.mark.parametrize(
    "kind", ["text", "empty", "missing", "picture only", "silent", "too short", "playlist", "concat"]
)
def test_what_is_no_music_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "music"
    other = tone(tmp_path / "other.wav", 3.0)
    match kind:
        case "text":
            path.write_text("la la la\n" * 1000)
        case "empty":
            path.touch()
        case "picture only":
            run(["-f", "lavfi", "-i", "testsrc=d=2", "-f", "mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)])
        case "silent":
            write_wav(path, np.zeros(3 * SAMPLE_RATE, np.float32))
        case "too short":
            tone(path, 0.5, "-f", "wav")
        case "playlist":
            path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{other}\n#EXT-X-ENDLIST\n")
        case "concat":
            path.write_text(f"ffconcat version 1.0\nfile '{other}'\n")
    with pytest.raises(InvalidInputError) as caught:
        FfmpegFilm().check_music(path)
    assert caught.value.field == "music"


# ---- the thumbnail


def test_the_thumbnail_is_a_jpeg_in_the_shape_of_the_film(tmp_path: Path) -> None:
    poster, out = tmp_path / "poster.png", tmp_path / "thumbnail.jpg"
    Image.new("RGB", (1600, 900), (200, 30, 60)).save(poster)
    ENGINE.thumbnail(poster, CANVAS, out)
    with Image.open(out) as picture:
        assert (picture.format, picture.size) == ("JPEG", (CANVAS.width, CANVAS.height))
        middle = picture.convert("RGB").getpixel((180, 320))
    assert isinstance(middle, tuple)
    assert abs(middle[0] - 200) + abs(middle[1] - 30) + abs(middle[2] - 60) < 20


# ---- the gate


def test_a_good_film_passes_every_check_with_a_sentence(made: Made) -> None:
    shares: list[float] = []
    findings = ENGINE.inspect(made.brief, made.film, made.heard, shares.append)
    assert [finding.check for finding in findings] == [
        "streams", "duration", "drift", "black", "frozen", "silence", "clipping", "loudness", "captions", "size"
    ]  # fmt: skip
    assert all(isinstance(f, Finding) and f.ok and f.sentence.endswith(".") for f in findings), findings
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_film_whose_segments_were_looked_at_is_judged_as_if_it_were_decoded(made: Made) -> None:
    whole = ENGINE.inspect(made.brief, made.film, made.heard, lambda share: None)
    assert ENGINE.inspect(looked(made.brief), made.film, made.heard, lambda share: None) == whole


def test_pictures_that_are_not_those_that_were_looked_at_fail(made: Made, tmp_path: Path) -> None:
    brief = looked(made.brief)
    other = clip(MOVING.replace("testsrc2", "testsrc"), brief.looks[1].frames, tmp_path / "other.mp4")
    swapped = replace(brief, segments=(brief.segments[0], other, *brief.segments[2:]))
    ENGINE.join(swapped, tmp_path / "film.mp4")
    assert "segment 2" in failed(brief, tmp_path / "film.mp4", made.heard)["streams"]


def changed(made: Made, out: Path, *options: str) -> Path:
    """The film, put through ffmpeg once more."""
    subprocess.run(
        [ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-i", made.film, *options, "-movflags", "+faststart", out],
        check=True,
    )
    return out


def test_a_film_without_sound_or_picture_fails(made: Made, tmp_path: Path) -> None:
    assert "streams" in failed(made.brief, changed(made, tmp_path / "a.mp4", "-c", "copy", "-an"), made.heard)
    assert "streams" in failed(made.brief, changed(made, tmp_path / "b.mp4", "-c", "copy", "-vn"), made.heard)
    text = tmp_path / "c.mp4"
    text.write_text("no film at all")
    assert "streams" in failed(made.brief, text, made.heard)


def test_a_film_of_the_wrong_size_rate_or_colour_fails(made: Made, tmp_path: Path) -> None:
    small = changed(made, tmp_path / "a.mp4", "-c:a", "copy", "-vf", "scale=180:320", "-preset", "ultrafast")
    assert "180x320" in failed(made.brief, small, made.heard)["streams"]
    slow = changed(made, tmp_path / "b.mp4", "-c:a", "copy", "-r", "25", "-preset", "ultrafast")
    assert "25 frames" in failed(made.brief, slow, made.heard)["streams"]
    grey = changed(
        made, tmp_path / "c.mp4", "-c:a", "copy", "-c:v", "copy", "-bsf:v",
        "h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2", "-color_primaries", "2",
    )  # fmt: skip
    assert "BT.709" in failed(made.brief, grey, made.heard)["streams"]


def test_a_film_that_cannot_start_while_it_loads_fails(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "late.mp4"
    run(["-i", str(made.film), "-c", "copy", str(out)])
    assert "index" in failed(made.brief, out, made.heard)["streams"]


def test_a_damaged_film_fails(made: Made, tmp_path: Path) -> None:
    data = bytearray(made.film.read_bytes())
    at = data.index(b"mdat") + len(data) // 3
    data[at : at + 30_000] = bytes(30_000)
    out = tmp_path / "damaged.mp4"
    out.write_bytes(data)
    assert {"streams", "duration"} & set(failed(made.brief, out, made.heard))
    assert "streams" in failed(looked(made.brief), out, made.heard)


def test_a_film_that_lacks_frames_fails_in_duration_and_drift(made: Made, tmp_path: Path) -> None:
    frames = made.brief.frames - CROSSFADE_FRAMES
    cut = changed(made, tmp_path / "film.mp4", "-c:a", "copy", "-vf", f"trim=end_frame={frames}")
    wrong = failed(made.brief, cut, made.heard)
    assert str(frames) in wrong["duration"]
    assert "after the picture" in wrong["drift"]


def test_sound_that_ends_too_early_is_drift(made: Made, tmp_path: Path) -> None:
    cut = changed(made, tmp_path / "film.mp4", "-c:v", "copy", "-af", f"atrim=end={made.brief.frames / FPS - 0.2}")
    assert "before the picture" in failed(made.brief, cut, made.heard)["drift"]


@pytest.mark.parametrize(
    ("source", "frames", "check"), [("color=black", 24, "black"), ("color=0x4060a0", 110, "frozen")]
)
def test_a_black_or_frozen_stretch_fails_though_captions_move_over_it(
    made: Made, tmp_path: Path, source: str, frames: int, check: str
) -> None:
    words = [Word(f"word{i}", i * 0.2, i * 0.2 + 0.2) for i in range(frames // 6)]
    text = captions.ass(words, CANVAS, style="highlight", language="en")
    still = clip(f"{source}:s={CANVAS.width}x{CANVAS.height}:r={FPS}", frames, tmp_path / "still.mp4", text)
    rest = clip(MOVING, made.brief.frames - frames, tmp_path / "rest.mp4")
    brief = replace(made.brief, segments=(still, rest))
    film = tmp_path / "film.mp4"
    ENGINE.join(brief, film)
    wrong = failed(brief, film, made.heard)
    assert set(wrong) == {check}
    assert "At 0.0-" in wrong[check]
    assert set(failed(looked(brief), film, made.heard)) == {check}


def test_a_picture_that_stands_still_over_two_segments_fails(made: Made, tmp_path: Path) -> None:
    still = [
        clip(f"color=0x4060a0:s={CANVAS.width}x{CANVAS.height}:r={FPS}", 50, tmp_path / f"still{i}.mp4") for i in (1, 2)
    ]
    rest = clip(MOVING, made.brief.frames - 100, tmp_path / "rest.mp4")
    brief = looked(replace(made.brief, segments=(*still, rest)))
    ENGINE.join(brief, tmp_path / "film.mp4")
    assert "At 0.0-3.3 s" in failed(brief, tmp_path / "film.mp4", made.heard)["frozen"]


def test_a_film_whose_decoder_is_told_something_new_is_decoded_in_places(made: Made) -> None:
    brief = looked(made.brief)
    other = replace(brief, looks=tuple(replace(look, parameters="others") for look in brief.looks))
    assert ENGINE.inspect(other, made.film, made.heard, lambda share: None) == ENGINE.inspect(
        brief, made.film, made.heard, lambda share: None
    )
    broken = changed(made, made.film.with_name("other.mp4"), "-c:a", "copy", "-c:v", "libx264", "-bf", "0")
    assert "streams" in failed(other, broken, made.heard)


def test_dead_air_fails(made: Made, tmp_path: Path) -> None:
    late = replace(made.sound.sounds[1], start=made.sound.sounds[1].start + 40)
    brief, film, heard = with_sound(made, tmp_path, sounds=(made.sound.sounds[0], late))
    assert set(failed(brief, film, heard)) == {"silence"}
    assert set(failed(looked(brief), film, heard)) == {"silence"}


def test_a_film_that_is_too_quiet_or_too_loud_fails(made: Made, tmp_path: Path) -> None:
    quiet = changed(made, tmp_path / "a.mp4", "-c:v", "copy", "-af", "volume=-4dB")
    assert set(failed(made.brief, quiet, made.heard)) == {"loudness"}
    loud = changed(made, tmp_path / "b.mp4", "-c:v", "copy", "-af", "volume=9dB")
    assert set(failed(made.brief, loud, made.heard)) == {"loudness", "clipping"}


def test_captions_that_run_out_of_their_band_fail(made: Made) -> None:
    for change in (("\\pos(180,", "\\pos(20,"), ("\\fscx100\\fscy100", "\\fscx300\\fscy300"), (",550.5)", ",100)")):
        text = made.brief.captions[0].replace(*change)
        assert text != made.brief.captions[0]
        brief = replace(made.brief, captions=(text,))
        assert "captions" in failed(brief, made.film, made.heard)
        assert failed(looked(brief), made.film, made.heard) == failed(brief, made.film, made.heard)


def test_a_film_over_the_size_limit_fails(made: Made) -> None:
    wrong = failed(replace(made.brief, max_bytes=100_000), made.film, made.heard)
    assert set(wrong) == {"size"}
    assert "0.1 MB" in wrong["size"]


def test_a_sound_that_is_not_the_one_that_was_listened_to_is_noticed_without_decoding_it(
    made: Made, tmp_path: Path
) -> None:
    quiet = changed(made, tmp_path / "a.mp4", "-c:v", "copy", "-af", "volume=-0.3dB")
    assert failed(made.brief, quiet, made.heard) == {}
    assert "the sound is invalid" in failed(looked(made.brief), quiet, made.heard)["streams"]


@pytest.mark.parametrize("aspect", ["9:16", "16:9", "1:1"])
@pytest.mark.parametrize("style", CAPTION_STYLES)
def test_every_caption_of_every_style_stands_in_its_band(style: str, aspect: str) -> None:
    canvas = Canvas.of(aspect, 720)
    text = (
        "WWWWWWWW MMMMMMMM QQQQQQ jjjjj gypsy. Donaudampfschifffahrtsgesellschaft, fährt! "
         "ÅÇŞĘ́ " + "x" * 120 + " 100000000% Äpfel {\\b1}Öl C:\\N @@@@@@@@@@@@ " + "النحل يرقص. " + "今天天气很好"
    )  # fmt: skip
    words = [Word(word, i * 0.4, i * 0.4 + 0.4) for i, word in enumerate(text.split())]
    boxes = caption_boxes([captions.ass(words, canvas, style=style, language="en")], canvas)
    assert len(boxes) >= 4
    top, bottom = canvas.caption_band
    for box in boxes:
        assert top <= box.top < box.bottom < bottom, box
        assert canvas.width * 0.02 <= box.left < box.right <= canvas.width * 0.98, box

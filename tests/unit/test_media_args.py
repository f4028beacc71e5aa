"""ffmpeg's arguments and words: what is asked of it, and what its answers are taken to mean."""

from __future__ import annotations

import itertools
import math
import os
import wave
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import SAMPLE_RATE, SAMPLES_PER_FRAME, Canvas
from core.engine_ports import Sound
from core.errors import EngineError, MissingToolError
from core.media.args import clip_output_args, concat_list, raw_input_args
from core.media.mix import narration
from core.media.probe import parse_loudness, parse_stretches
from core.media.run import failure, ffmpeg_path, run
from core.media.speech import Mark, shape


def test_every_segment_of_a_film_is_encoded_with_the_same_options() -> None:
    canvas = Canvas.of("9:16", 1080)
    args = ffmpeg.input("pipe:0", **raw_input_args(canvas)).output("x.mp4", **clip_output_args(canvas)).get_args()
    pairs = dict(itertools.pairwise(args))
    assert clip_output_args(canvas) == clip_output_args(canvas)
    assert pairs["-maxrate"] == pairs["-bufsize"] == f"{canvas.maxrate_kbps}k"
    assert pairs["-colorspace"] == pairs["-color_primaries"] == pairs["-color_trc"] == "bt709"
    assert (pairs["-threads"], pairs["-crf"], pairs["-video_track_timescale"]) == ("1", "21", "15360")


@given(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), min_size=1))
def test_quotes_in_paths_do_not_end_the_entry_of_a_concat_list(name: str) -> None:
    line = concat_list([name]).splitlines(keepends=False)[1:]
    entry = "\n".join(line).removeprefix("file ")
    read, quoted, i = "", False, 0
    while i < len(entry):  # by ffmpeg's rules: quotes protect all, outside them a backslash protects one
        if entry[i] == "'":
            quoted = not quoted
        elif entry[i] == "\\" and not quoted:
            i += 1
            read += entry[i]
        else:
            read += entry[i]
        i += 1
    assert not quoted
    assert read.splitlines() == name.splitlines()


def test_what_ffmpeg_says_becomes_a_sentence_a_person_can_act_on() -> None:
    full = failure(1, "av_interleaved_write_frame(): No space left on device")
    assert isinstance(full, MissingToolError)
    assert full.code == "disk_full"
    killed = failure(-9, "")
    assert (killed.code, killed.retryable) == ("ffmpeg_killed", True)
    assert "12 seconds" in failure(-9, "", timeout=12).sentence
    assert "Invalid data" in failure(183, "a\nb\nc\nInvalid data found when processing input").sentence


def test_a_missing_ffmpeg_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENEWRIGHT_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(MissingToolError, match="SCENEWRIGHT_FFMPEG") as caught:
        ffmpeg_path()
    assert caught.value.code == "missing_ffmpeg"


def test_an_own_ffmpeg_is_used_when_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "ffmpeg"
    own.write_text('#!/bin/sh\necho "i am $0" >&2\nexit 3\n')
    own.chmod(0o755)
    monkeypatch.setenv("SCENEWRIGHT_FFMPEG", str(own))
    with pytest.raises(EngineError, match="status 3: i am"):
        run(["-version"])


def test_a_run_that_takes_too_long_is_ended() -> None:
    with pytest.raises(EngineError, match="stopped after") as caught:
        run(["-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"], timeout=0.5)
    assert caught.value.code == "ffmpeg_timeout"


def test_an_error_of_the_one_who_feeds_ends_ffmpeg_and_is_raised() -> None:
    def buffers() -> object:
        yield bytes(4800)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(["-f", "s16le", "-i", "pipe:0", "-f", "null", "-"], feed=buffers())  # type: ignore[arg-type]


def test_an_error_of_the_one_who_listens_ends_ffmpeg_and_is_raised() -> None:
    def stop(frame: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        run(["-re", "-f", "lavfi", "-i", "testsrc=d=60", "-f", "null", "-"], on_frame=stop, timeout=30)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_recognised_as_such() -> None:
    with pytest.raises(MissingToolError) as caught:
        run(["-f", "lavfi", "-i", "testsrc=d=5", "-f", "rawvideo", "/dev/full"])
    assert caught.value.code == "disk_full"


def test_silence_has_no_loudness() -> None:
    heard = parse_loudness(
        "  Integrated loudness:\n    I:         -70.0 LUFS\n  True peak:\n    Peak:       -inf dBFS\n"
    )
    assert heard.integrated == heard.true_peak == -math.inf


def test_a_stretch_that_never_ends_lasts_to_the_end_of_the_film() -> None:
    (first, second) = parse_stretches(
        "freeze_start: 1\nfreeze_end: 5\nfreeze_start: 7", r"start: (\d+)", r"end: (\d+)", 12
    )
    assert (first.seconds, second.end) == (4, 12)


def wav(path: Path, samples: np.ndarray) -> Path:
    """A narration file from 16-bit samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_narrations_begin_on_their_sample_and_overlaps_are_added(tmp_path: Path) -> None:
    first = wav(tmp_path / "a.wav", np.full(50 * SAMPLES_PER_FRAME, 1000))
    second = wav(tmp_path / "b.wav", np.full(40 * SAMPLES_PER_FRAME, 500))
    heard: list[float] = []
    sounds = (Sound(second, 40), Sound(first, 0))
    track = np.frombuffer(b"".join(narration(sounds, 75, heard.append)), "<f4").reshape(-1, 2)
    assert track.shape == (75 * SAMPLES_PER_FRAME, 2)
    left = np.rint(track[:, 0] * 32768).astype(int)
    expected = np.zeros(80 * SAMPLES_PER_FRAME, int)
    expected[: 50 * SAMPLES_PER_FRAME] += 1000
    expected[40 * SAMPLES_PER_FRAME :] += 500
    assert (left == expected[: left.size]).all()
    assert heard[-1] == 1.0


def test_a_narration_at_another_rate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(bytes(100))
    with pytest.raises(EngineError, match="48000 Hz"):
        list(narration([Sound(path, 0)], 10, lambda share: None))


def bursts(spans: list[tuple[float, float]], length: float) -> np.ndarray:
    """Sound of full level in the given spans of seconds, silence elsewhere."""
    sound = np.zeros(round(length * SAMPLE_RATE), np.float32)
    for start, end in spans:
        sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 0.5
    return sound


def test_silence_around_speech_is_replaced_and_long_pauses_shortened_with_the_words() -> None:
    sound = bursts([(0.2, 1.0), (1.5, 2.0), (4.0, 5.0)], 7.0)
    marks = [Mark("one", 0.18), Mark("two", 1.5), Mark("–", None), Mark("three", 3.2)]
    shaped, words = shape(sound, marks, 0.35, 0.45)
    heard = np.flatnonzero(shaped)
    assert heard[0] == round(0.35 * SAMPLE_RATE)
    assert shaped.size % SAMPLES_PER_FRAME == 0
    silent = (shaped.size - heard[-1] - 1) / SAMPLE_RATE
    assert 0.45 <= silent < 0.45 + 1 / 30 + 0.006
    assert [(round(w.start, 2), round(w.end, 2)) for w in words] == [
        (0.35, 1.15),
        (1.65, 2.15),
        (2.15, 2.15),
        (2.75, 3.75),
    ]


@given(
    st.lists(st.tuples(st.floats(0.1, 0.8), st.floats(0.05, 2.0)), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_shaped_words_lie_on_what_is_heard(raw: list[tuple[float, float]], lead: float, tail: float) -> None:
    spans, at = [], 0.1
    for length, pause in raw:
        spans.append((at, at + length))
        at += length + pause
    shaped, words = shape(bursts(spans, at), [Mark(str(i), start) for i, (start, _) in enumerate(spans)], lead, tail)
    assert shaped.size % SAMPLES_PER_FRAME == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0.0], np.abs(shaped), [0.0]]) > 0.1)) / SAMPLE_RATE
    for word, start, end in zip(words, edges[::2], edges[1::2], strict=True):
        assert word.start == pytest.approx(start, abs=0.012)
        assert word.end == pytest.approx(end, abs=0.012)
    assert all(b - a <= 0.92 for a, b in zip(edges[1:-1:2], edges[2::2], strict=True))


def test_a_disk_that_is_full_is_named_when_a_narration_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.media.speech import write_wav

    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("needs a device that is always full")
    with pytest.raises(MissingToolError) as caught:
        write_wav(Path("/dev/full"), np.zeros(96_000, np.float32))
    assert caught.value.code == "disk_full"

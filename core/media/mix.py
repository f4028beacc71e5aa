"""The sound of a film: narrations placed to the sample, music looped, faded and ducked under them, one loudness."""

from __future__ import annotations

import math
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from core.documents import SAMPLE_RATE, SAMPLES_PER_FRAME
from core.engine_ports import Report, Sound
from core.errors import EngineError, InvalidInputError
from core.media.probe import parse_loudness, streams
from core.media.run import run

LOUDNESS = -16.0  # LUFS of every film
TRUE_PEAK = -1.5  # dBTP at most, after encoding
_CHUNK = SAMPLE_RATE  # samples fed to ffmpeg at once: memory stays the same for every length
_MUSIC_LOUDNESS = -25.0  # LUFS of music alone; ducking takes about 9 dB more off under the voice
_MUSIC_FADES = (1.0, 2.5)  # seconds in and out
_QUIETEST_MUSIC = -60.0  # LUFS; below it a file counts as silent
# files that are sound, and no lists that name other files or addresses
_MUSIC_FORMATS = "mp3,wav,flac,ogg,mov,mp4,m4a,aac,aiff,w64,matroska,webm,caf,mpegts"
_MUSIC_INPUT = {"format_whitelist": _MUSIC_FORMATS, "protocol_whitelist": "file"}


def check_music(path: Path) -> None:
    """Raise InvalidInputError naming ``music`` unless the file holds at least a second of audible sound."""
    try:
        chain = ffmpeg.input(str(path), t=600, **_MUSIC_INPUT).audio.filter("ebur128", framelog="quiet")
        log = run(chain.output("-", f="null").get_args(), timeout=120).log
    except EngineError as error:
        if error.retryable:  # it says nothing of the file
            raise
        raise InvalidInputError(
            "The music file cannot be read as sound; MP3, M4A, OGG, FLAC and WAV work.", field="music"
        ) from error
    if parse_loudness(log).integrated < _QUIETEST_MUSIC or streams(path).seconds < 1:
        raise InvalidInputError("The music file is silent or shorter than a second.", field="music")


def music_gain(path: Path, seconds: float) -> float:
    """Decibels that bring the first `seconds` of a music file to the level it has beside a voice."""
    chain = ffmpeg.input(str(path), t=seconds, **_MUSIC_INPUT).audio.filter("ebur128", framelog="quiet")
    measured = parse_loudness(run(chain.output("-", f="null").get_args()).log).integrated
    return 0.0 if math.isinf(measured) else _MUSIC_LOUDNESS - measured


def narration(sounds: Sequence[Sound], frames: int, report: Report) -> Iterator[bytes]:
    """The voice track of a film as stereo f32le at SAMPLE_RATE, `frames` video frames long, piece by piece.

    Neighbours overlap in their silences and are added. Raises EngineError for a file that is no such WAV.
    """
    total = frames * SAMPLES_PER_FRAME
    waiting = sorted(sounds, key=lambda sound: sound.start)
    playing: list[tuple[int, wave.Wave_read]] = []
    for at in range(0, total, _CHUNK):
        size = min(_CHUNK, total - at)
        while waiting and waiting[0].start * SAMPLES_PER_FRAME < at + size:
            sound = waiting.pop(0)
            playing.append((sound.start * SAMPLES_PER_FRAME, _open_wav(sound.path)))
        mixed = np.zeros(size, np.float32)
        still: list[tuple[int, wave.Wave_read]] = []
        for start, file in playing:
            offset = max(0, start - at)
            read = np.frombuffer(file.readframes(size - offset), "<i2")
            mixed[offset : offset + read.size] += read / np.float32(32768)
            if file.tell() < file.getnframes():
                still.append((start, file))
            else:
                file.close()
        playing = still
        yield np.repeat(mixed, 2).tobytes()
        report((at + size) / total)


def _open_wav(path: Path) -> wave.Wave_read:
    """Open a narration and refuse what the mix would play at the wrong speed."""
    try:
        file = wave.open(str(path), "rb")  # noqa: SIM115 - closed where it ends, in the middle of a chunk
    except (wave.Error, EOFError, OSError) as error:
        raise EngineError(f"The narration {path.name} is no WAV file.", code="bad_narration") from error
    if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, SAMPLE_RATE):
        raise EngineError(f"The narration {path.name} is not mono 16-bit at {SAMPLE_RATE} Hz.", code="bad_narration")
    return file


def mixed_stream(frames: int, music: Path | None, gain_of_music: float) -> Any:
    """The ffmpeg stream of narration (piped to standard input) and music, stereo, not yet at its loudness."""
    seconds = frames * SAMPLES_PER_FRAME / SAMPLE_RATE
    voice = ffmpeg.input("pipe:0", f="f32le", ar=SAMPLE_RATE, ac=2).audio
    if music is None:
        return voice
    split = voice.filter_multi_output("asplit")
    fade_in, fade_out = _MUSIC_FADES
    bed = (
        ffmpeg.input(str(music), stream_loop=-1, t=seconds, **_MUSIC_INPUT)
        .audio.filter("aresample", SAMPLE_RATE)
        .filter("aformat", channel_layouts="stereo", sample_fmts="fltp")
        .filter("volume", f"{gain_of_music:.2f}dB")
        .filter("afade", t="in", d=min(fade_in, seconds / 3))
        .filter("afade", t="out", st=max(0.0, seconds - fade_out), d=min(fade_out, seconds))
    )
    ducked = ffmpeg.filter(
        [bed, split[1]], "sidechaincompress", threshold=0.04, ratio=8, attack=30, release=350, knee=4
    )
    return ffmpeg.filter([split[0], ducked], "amix", inputs=2, duration="first", normalize=0)


def at_level(stream: Any, gain: float, limit: float) -> Any:
    """The stream `gain` dB louder, its samples held under `limit` dBFS by a limiter that shifts nothing."""
    return stream.filter("volume", f"{gain:.3f}dB").filter(
        "alimiter", limit=f"{limit:.3f}dB", level=0, latency=1, attack=4, release=60
    )

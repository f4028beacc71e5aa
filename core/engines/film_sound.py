"""Makes the sound of a film: mixed, brought to one loudness, encoded, listened to, and encoded anew if it is off."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.documents import FPS, SAMPLE_RATE
from core.engine_ports import Heard, Report, SoundBrief, SoundTrack
from core.engines.film_checks import SILENT_SECONDS
from core.errors import EngineError
from core.media import mix, probe
from core.media.args import film_audio_args
from core.media.run import run

_MEASURED, _LEVEL_TOLERANCE = 0.2, 0.5  # share of the work; LU
_FIRST_LIMIT = -2.5  # dBFS of samples before encoding: AAC and the space between samples add up to a decibel
_MUSIC_SECONDS = 300.0  # of a music file that are measured


def mix_sound(brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
    """Encode the sound of a film to `out`, at the gain that brings the mix to -16 LUFS.

    Raises:
        EngineError: it is silent, or cannot be made.
    """
    music_gain = mix.music_gain(brief.music, min(brief.frames / FPS, _MUSIC_SECONDS)) if brief.music else 0.0
    gain = mix.LOUDNESS - _measure(brief, music_gain, _part_of(report, 0.0, _MEASURED))
    track = SoundTrack(out, brief, gain, _FIRST_LIMIT, music_gain)
    _encode(track, _part_of(report, _MEASURED, 1.0))
    return track


def hear(track: SoundTrack) -> Heard:
    """Decode an encoded sound and measure it. Raises EngineError."""
    told = probe.listen(track.path, sample_rate=SAMPLE_RATE, silent_seconds=SILENT_SECONDS)
    level, silent = told.loudness, tuple((stretch.start, stretch.end) for stretch in told.silent)
    return Heard(hash_of(told.packets), told.samples, level.integrated, level.true_peak, silent, told.complaints)


def at_its_level(heard: Heard) -> bool:
    """Whether a sound is as loud as it should be and does not peak."""
    return abs(mix.LOUDNESS - heard.loudness) <= _LEVEL_TOLERANCE and heard.true_peak <= mix.TRUE_PEAK


def encoded_anew(track: SoundTrack, heard: Heard) -> SoundTrack:
    """Encode a sound again, in place, that the limiter or the encoder moved from its level. Raises EngineError."""
    over = heard.true_peak - mix.TRUE_PEAK
    limit = track.limit - (over + 0.2 if over > 0 else 0.0)
    again = replace(track, gain=track.gain + mix.LOUDNESS - heard.loudness, limit=limit)
    _encode(again, lambda _: None)
    return again


def hash_of(packets: Sequence[probe.Packet]) -> str:
    """One name for a sequence of encoded frames."""
    return hashlib.sha256("\n".join(packet.sum for packet in packets).encode()).hexdigest()


def _measure(brief: SoundBrief, music_gain: float, report: Report) -> float:
    """Loudness of the mix before any gain, LUFS. Raises EngineError when there is nothing to hear."""
    stream = mix.mixed_stream(brief.frames, brief.music, music_gain).filter("ebur128", framelog="quiet")
    args = stream.output("-", f="null").get_args()
    measured = probe.parse_loudness(run(args, feed=mix.narration(brief.sounds, brief.frames, report)).log)
    if math.isinf(measured.integrated):
        raise EngineError("The narrations of this film are silent.", code="silent_film")
    return measured.integrated


def _encode(track: SoundTrack, report: Report) -> None:
    """The file appears whole or not at all."""
    brief, part = track.brief, track.path.with_name(track.path.name + ".part")
    sound = mix.at_level(mix.mixed_stream(brief.frames, brief.music, track.music_gain), track.gain, track.limit)
    args = sound.output(str(part), f="mp4", **film_audio_args()).get_args()
    try:
        run(args, feed=mix.narration(brief.sounds, brief.frames, report))
        part.replace(track.path)
    finally:
        part.unlink(missing_ok=True)


def _part_of(report: Report, low: float, high: float) -> Report:
    """A report for a part of the whole work."""
    return lambda share: report(low + (high - low) * share)

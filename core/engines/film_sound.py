"""Makes the sound of a film: mixed, encoded at one loudness, listened to, and encoded anew if it is off."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.documents import FPS, SAMPLE_RATE
from core.engine_ports import Heard, Report, SoundBrief, SoundTrack
from core.engines.film_checks import SILENT_SECONDS
from core.errors import EngineError
from core.media import mix, probe
from core.media.args import film_audio_args
from core.media.run import run

_CORRECTIONS = 3  # of the level: it is off after them where loudness and peak cannot both be met
_LEVEL_TOLERANCE = 0.5  # LU
_FIRST_GAIN = 0.2  # dB: narrations come at the film's loudness, and the silence between them takes so much off
_FIRST_LIMIT = -2.5  # dBFS of samples before encoding: AAC and the space between samples add up to a decibel
_MUSIC_SECONDS = 300.0  # of a music file that are measured
_ENCODED = 0.6  # share of the work


def mix_sound(brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
    """Encode the sound of a film to `out`, and listen to it; again, at another gain, while it is not at -16 LUFS.

    Raises:
        EngineError: it is silent, or cannot be made.
    """
    music_gain = mix.music_gain(brief.music, min(brief.frames / FPS, _MUSIC_SECONDS)) if brief.music else 0.0
    mixed = mix.mixed_stream(brief.frames, brief.music, music_gain)
    gain, limit, share = _FIRST_GAIN, _FIRST_LIMIT, 0.0
    for corrections_left in range(_CORRECTIONS, -1, -1):
        _encode(brief, mix.at_level(mixed, gain, limit), out, _part_of(report, share, _ENCODED))
        heard, share = _hear(out), _ENCODED  # it never goes back
        if _is_at_its_level(heard) or not corrections_left:
            break
        over = heard.true_peak - mix.TRUE_PEAK
        gain += mix.LOUDNESS - heard.loudness
        limit -= over + 0.2 if over > 0 else 0.0
    report(1.0)
    return SoundTrack(out, heard)


def _hear(sound: Path) -> Heard:
    """Decode an encoded sound and measure it. Raises EngineError, also when there is nothing to hear."""
    told = probe.listen(sound, sample_rate=SAMPLE_RATE, silent_seconds=SILENT_SECONDS)
    level, silent = told.loudness, tuple((stretch.start, stretch.end) for stretch in told.silent)
    if math.isinf(level.integrated):
        raise EngineError("The narrations of this film are silent.", code="silent_film")
    return Heard(hash_of(told.packets), told.samples, level.integrated, level.true_peak, silent, told.complaints)


def _is_at_its_level(heard: Heard) -> bool:
    """Whether a sound is as loud as it should be and does not peak."""
    return abs(mix.LOUDNESS - heard.loudness) <= _LEVEL_TOLERANCE and heard.true_peak <= mix.TRUE_PEAK


def hash_of(packets: Sequence[probe.Packet]) -> str:
    """One name for a sequence of encoded frames."""
    return hashlib.sha256("\n".join(packet.sum for packet in packets).encode()).hexdigest()


def _encode(brief: SoundBrief, sound: Any, out: Path, report: Report) -> None:
    """The file appears whole or not at all."""
    part = out.with_name(out.name + ".part")
    args = sound.output(str(part), f="mp4", **film_audio_args()).get_args()
    try:
        run(args, feed=mix.narration(brief.sounds, brief.frames, report))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _part_of(report: Report, low: float, high: float) -> Report:
    """A report for a part of the whole work."""
    return lambda share: report(low + (high - low) * share)

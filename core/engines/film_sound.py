"""Makes the sound of a film: mixed, brought to one loudness, encoded once, and listened to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

from core.documents import FPS, SAMPLE_RATE
from core.engines.film_checks import SILENT_SECONDS
from core.errors import EngineError
from core.media import mix, probe
from core.media.args import film_audio_args
from core.media.run import run
from core.ports import Report, SoundBrief, SoundTrack

_TRIES = 3  # encodes until loudness and peak are right
_MEASURED, _LEVEL_TOLERANCE = 0.1, 0.5  # share of the work; LU
_FIRST_LIMIT = -2.5  # dBFS of samples before encoding: AAC and the space between samples add up to a decibel
_MUSIC_SECONDS = 300.0  # of a music file that are measured


def mix_sound(brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
    """Encode the sound of a film to `out`; the file appears whole or not at all.

    The mix is measured, then encoded at the gain that brings it to -16 LUFS. The encoded sound is decoded and
    measured; when the limiter or the encoder moved it out of bounds, it is encoded anew with what was learnt.

    Raises:
        EngineError: it is silent, or cannot be made.
    """
    music_gain = mix.music_gain(brief.music, min(brief.frames / FPS, _MUSIC_SECONDS)) if brief.music else 0.0
    gain = mix.LOUDNESS - _measure(brief, music_gain, _part_of(report, 0.0, _MEASURED))
    limit = _FIRST_LIMIT
    part = out.with_name(out.name + ".part")
    try:
        for last in (attempt == _TRIES - 1 for attempt in range(_TRIES)):
            _encode(brief, music_gain, gain, limit, part, _part_of(report, _MEASURED, 0.8))
            heard = probe.listen(part, sample_rate=SAMPLE_RATE, silent_seconds=SILENT_SECONDS)
            off = mix.LOUDNESS - heard.loudness.integrated
            over = heard.loudness.true_peak - mix.TRUE_PEAK
            if last or (abs(off) <= _LEVEL_TOLERANCE and over <= 0):
                break
            gain += off
            limit -= over + 0.2 if over > 0 else 0.0
        packets = hash_of(probe.packets(part).sounds)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    report(1.0)
    silent = tuple((stretch.start, stretch.end) for stretch in heard.silent)
    level = heard.loudness
    return SoundTrack(out, packets, heard.samples, level.integrated, level.true_peak, silent, heard.complaints)


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


def _encode(brief: SoundBrief, music_gain: float, gain: float, limit: float, out: Path, report: Report) -> None:
    sound = mix.at_level(mix.mixed_stream(brief.frames, brief.music, music_gain), gain, limit)
    args = sound.output(str(out), f="mp4", **film_audio_args()).get_args()
    run(args, feed=mix.narration(brief.sounds, brief.frames, report))


def _part_of(report: Report, low: float, high: float) -> Report:
    """A report for a part of the whole work."""
    return lambda share: report(low + (high - low) * share)

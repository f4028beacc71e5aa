"""Makes the sound of a film: mixed, encoded at one loudness, listened to, and encoded anew if it is off."""

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

_LEVEL_TOLERANCE = 0.5  # LU
_FIRST_GAIN = 0.2  # dB: narrations come at the film's loudness, and the silence between them takes so much off
_FIRST_LIMIT = -2.5  # dBFS of samples before encoding: AAC and the space between samples add up to a decibel
_MUSIC_SECONDS = 300.0  # of a music file that are measured


def mix_sound(brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
    """Encode the sound of a film to `out`, at the gain that most need. Raises EngineError when it cannot be made."""
    music_gain = mix.music_gain(brief.music, min(brief.frames / FPS, _MUSIC_SECONDS)) if brief.music else 0.0
    track = SoundTrack(out, brief, _FIRST_GAIN, _FIRST_LIMIT, music_gain)
    _encode(track, report)
    return track


def hear(sound: Path) -> Heard:
    """Decode an encoded sound and measure it. Raises EngineError, also when there is nothing to hear."""
    told = probe.listen(sound, sample_rate=SAMPLE_RATE, silent_seconds=SILENT_SECONDS)
    level, silent = told.loudness, tuple((stretch.start, stretch.end) for stretch in told.silent)
    if math.isinf(level.integrated):
        raise EngineError("The narrations of this film are silent.", code="silent_film")
    return Heard(hash_of(told.packets), told.samples, level.integrated, level.true_peak, silent, told.complaints)


def is_at_its_level(heard: Heard) -> bool:
    """Whether a sound is as loud as it should be and does not peak."""
    return abs(mix.LOUDNESS - heard.loudness) <= _LEVEL_TOLERANCE and heard.true_peak <= mix.TRUE_PEAK


def encoded_anew(track: SoundTrack, heard: Heard, out: Path) -> SoundTrack:
    """Encode a sound that is off its level to `out`, nearer to it. Raises EngineError."""
    over = heard.true_peak - mix.TRUE_PEAK
    limit = track.limit - (over + 0.2 if over > 0 else 0.0)
    again = replace(track, path=out, gain=track.gain + mix.LOUDNESS - heard.loudness, limit=limit)
    _encode(again, lambda _: None)
    return again


def hash_of(packets: Sequence[probe.Packet]) -> str:
    """One name for a sequence of encoded frames."""
    return hashlib.sha256("\n".join(packet.sum for packet in packets).encode()).hexdigest()


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

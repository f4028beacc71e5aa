"""Makes raw speech sound like a film's: evened out, filtered, at SAMPLE_RATE and at the wanted loudness."""

from __future__ import annotations

import ffmpeg
import numpy as np

from core.documents import SAMPLE_RATE
from core.media.probe import parse_loudness
from core.media.run import run
from core.media.speech import Sound

_TIMEOUT = 120.0  # seconds; ten minutes of speech take about one
_SPOKEN_RMS = 10 ** (-20 / 20)  # level at which the compressor below expects speech
_LOUDNESS = -16.0  # LUFS of a narration played on two loudspeakers
_CEILING = 10 ** (-1.5 / 20)  # no sample above
_POLISH = (
    "highpass=f=70,lowpass=f=9500,"
    "acompressor=threshold=-22dB:ratio=3:attack=5:release=90:makeup=3dB:knee=4,"
    "aresample=48000,alimiter=limit=-3dB:level=0:latency=1,ebur128=dualmono=1:framelog=quiet"
)


def polish(sound: Sound, rate: int) -> Sound:
    """Speech at SAMPLE_RATE and at the loudness of a film.

    sound: as a voice made it, at `rate` Hz. None of the filters shifts the sound in time.
    """
    loud = np.abs(sound) > 0.01
    level = float(np.sqrt(np.mean(sound[loud] ** 2))) if loud.any() else 1.0
    levelled = np.asarray(sound * (_SPOKEN_RMS / level), np.float32)
    piped = {"f": "f32le", "ac": 1}
    chain = ffmpeg.input("pipe:0", ar=rate, **piped).output("pipe:1", af=_POLISH, ar=SAMPLE_RATE, **piped)
    done = run(chain.get_args(), feed=[levelled.tobytes()], timeout=_TIMEOUT)
    polished = np.frombuffer(done.stdout, "<f4")
    peak = float(np.abs(polished).max(initial=0.0))
    # too short to measure: inf, so the peak rules
    gain = 10 ** ((_LOUDNESS - parse_loudness(done.log).integrated) / 20)
    return np.asarray(polished * min(gain, _CEILING / max(peak, 1e-6)), np.float32)

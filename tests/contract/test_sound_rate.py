"""The size of a film is promised before it is made, so its sound must keep within the rate that the promise counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.documents import AUDIO_MAX_KBPS, FPS, SAMPLE_RATE
from core.engine_ports import Sound, SoundBrief
from core.engines.film_ffmpeg import FfmpegFilm
from core.media.speech import write_wav

SECONDS = 6
TIME = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
NOISE = np.random.default_rng(1).uniform(-0.9, 0.9, TIME.size)
HARD = {
    "noise": NOISE,
    "noise that comes and goes": NOISE * ((TIME * 15 % 1) < 0.3),
    "clicks": np.where(np.arange(TIME.size) % 480 == 0, 0.9, 0.0),
    "two hundred tones": sum(np.sin(2 * np.pi * f * TIME + f) for f in np.geomspace(40, 18_000, 200)) / 60,
    "a sweep": 0.9 * np.sin(2 * np.pi * (20 + TIME % 1 * 18_000) * TIME),
}


@pytest.mark.parametrize("name", HARD)
def test_no_sound_takes_more_than_the_promise_counts(name: str, tmp_path: Path) -> None:
    wav = tmp_path / "sound.wav"
    write_wav(wav, np.clip(HARD[name], -1, 1).astype(np.float32))
    brief = SoundBrief((Sound(wav, 0),), SECONDS * FPS, None)

    track = FfmpegFilm().mix(brief, tmp_path / "sound.mp4", lambda share: None)

    kbps = track.path.stat().st_size * 8 / 1000 / SECONDS
    assert 40 < kbps <= AUDIO_MAX_KBPS

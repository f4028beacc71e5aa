"""Sound and film files that people bring: decoded within limits, and nothing in them leads to another file."""

from __future__ import annotations

from pathlib import Path

import ffmpeg
import numpy as np

from core.documents import SAMPLE_RATE
from core.errors import EngineError
from core.media import probe
from core.media.run import run
from core.media.speech import Sound

LONGEST_SOUND = 300  # seconds of one scene
LARGEST_FRAME = 9_000_000  # px; 3840 x 2160 fits
_SHORTEST = 0.2  # seconds
_TIMEOUT = 120.0  # seconds
# files that are sound or film, and no lists that name other files or addresses
_SOUNDS = {"format_whitelist": "mp3,wav,flac,ogg,mov,mp4,m4a,aac,w64,matroska,webm", "protocol_whitelist": "file"}
_FILMS = {"format_whitelist": "mov,mp4,m4a,matroska,webm", "protocol_whitelist": "file"}


def sound(path: Path) -> Sound:
    """Decode a sound file: mono, SAMPLE_RATE.

    Raises:
        EngineError: code bad_audio, it is none or too long; its sentence goes on after the name of the file.
    """
    source = ffmpeg.input(str(path), t=LONGEST_SOUND + 1, **_SOUNDS).audio
    try:
        raw = run(source.output("pipe:1", f="f32le", ac=1, ar=SAMPLE_RATE).get_args(), timeout=_TIMEOUT).stdout
    except EngineError as error:
        if error.retryable:  # it says nothing of the file
            raise
        raise EngineError("cannot be read as sound", code="bad_audio") from error
    samples = np.nan_to_num(np.frombuffer(raw, "<f4"), posinf=0.0, neginf=0.0)
    if samples.size > LONGEST_SOUND * SAMPLE_RATE:
        raise EngineError(f"is longer than {LONGEST_SOUND // 60} minutes", code="bad_audio")
    return np.asarray(samples, np.float32)


def check_film(path: Path) -> None:
    """See that a file has moving pictures that can be decoded.

    Raises:
        EngineError: code bad_clip; its sentence goes on after the name of the file.
    """
    args = ffmpeg.input(str(path), t=1, **_FILMS).video.output("-", f="null").get_args()
    try:
        shown = probe.last_number(run(args, timeout=_TIMEOUT).log, r"frame= *(\d+)")
    except EngineError as error:
        if error.retryable:
            raise
        raise EngineError("cannot be read as a film", code="bad_clip") from error
    found = probe.streams(path)
    if not shown or found.video is None or found.seconds < _SHORTEST:
        raise EngineError(f"has no moving picture of at least {_SHORTEST:g} seconds", code="bad_clip")
    if found.video.width * found.video.height > LARGEST_FRAME:
        said = f"{found.video.width} x {found.video.height} px"
        raise EngineError(f"is too large: {said}, at most 3840 x 2160 are possible", code="bad_clip")

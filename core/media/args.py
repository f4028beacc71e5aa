"""ffmpeg's arguments as pure functions: how segments are encoded, what they may weigh, how films are joined."""

from __future__ import annotations

from typing import Any

from core.documents import FPS, SAMPLE_RATE, Canvas

TIMESCALE = 15_360  # ticks per second of every video track; a multiple of 30: frames fall on whole ticks

GLOBAL_ARGS = ("-hide_banner", "-nostdin", "-y")
COLOUR_TAGS: dict[str, str] = {
    "color_range": "tv",
    "colorspace": "bt709",
    "color_primaries": "bt709",
    "color_trc": "bt709",
}


def clip_output_args(canvas: Canvas) -> dict[str, Any]:
    """Output options of every clip and every fade, for `ffmpeg.output(path, **...)`.

    They must be the same for all segments of a film: it is joined by stream copy. One thread each, because
    scenes are encoded in parallel; a single thread also makes the bytes repeatable.
    """
    rate = canvas.maxrate_kbps
    return {
        "f": "mp4",
        "vcodec": "libx264",
        "preset": "veryfast",
        "crf": 21,
        # frames kept for looking ahead and for reordering are the encoder's memory: 100 MB less than the preset's
        "x264-params": "subme=1:me=dia:rc-lookahead=5:bframes=1",
        "profile:v": "high",
        "pix_fmt": "yuv420p",
        "maxrate": f"{rate}k",
        "bufsize": f"{rate}k",
        "threads": 1,
        "r": FPS,
        **COLOUR_TAGS,
        "video_track_timescale": TIMESCALE,
        "map_metadata": -1,
        "an": None,
    }


def raw_input_args(canvas: Canvas) -> dict[str, Any]:
    """Input options for frames piped to standard input as planar 4:2:0, for `ffmpeg.input("pipe:0", **...)`."""
    return {
        "f": "rawvideo",
        "threads": 1,
        "pix_fmt": "yuv420p",
        "s": f"{canvas.width}x{canvas.height}",
        "r": FPS,
        **COLOUR_TAGS,
    }


def film_audio_args() -> dict[str, Any]:
    """Output options of the film's only sound track.

    The fast coder without its stereo and noise tools, at a constant quality: half the work of a constant rate, which
    looks for the quality anew in every frame, and a third of the coder's defaults. It is nearer to the original than
    160 kbit/s, most of all where that is hardest to meet: 5 % of the frames of speech have a signal-to-noise ratio
    under 24 dB instead of 21, of music under 12 instead of 8.
    """
    tools = {f"aac_{tool}": 0 for tool in ("ms", "is", "tns", "pns")}
    return {
        "acodec": "aac",
        "aac_coder": "fast",
        **tools,
        "q:a": 1.7,
        "ar": SAMPLE_RATE,
        "ac": 2,
    }


def concat_list(paths: list[str]) -> str:
    """The list file of ffmpeg's concat demuxer; quotes in paths are escaped by its own rules."""
    lines = ["ffconcat version 1.0"]
    for path in paths:
        escaped = path.replace("'", "'\\''")
        lines.append(f"file '{escaped}'")
    return "\n".join(lines) + "\n"

"""Judges a finished film: from what was measured to one finding per check, each a sentence for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.documents import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Canvas
from core.engine_ports import FilmBrief, Finding
from core.media import mix
from core.media.caption_boxes import Box
from core.media.probe import Decoded, Streams, Stretch

BLACK_SECONDS, FROZEN_SECONDS, SILENT_SECONDS = 0.5, 3.0, 1.0  # longer than this is a fault
_LOUDNESS_TOLERANCE = 1.0  # LU
_PEAK_TOLERANCE = 0.05  # dB, what the meter rounds
_SIDE_MARGIN = 0.02  # of the width, that captions must leave free


def unreadable(sentence: str) -> Finding:
    """The one finding of a film that cannot be looked at."""
    return Finding("streams", False, sentence)


def findings(brief: FilmBrief, film: Path, header: Streams, seen: Decoded, over: Sequence[str]) -> list[Finding]:
    """Every check, in a fixed order; `over`: the captions that run out of their band."""
    return [
        _streams(brief, film, header, seen),
        _duration(brief, seen),
        _drift(seen),
        *in_picture(unmeant(seen.black, brief.given), unmeant(seen.frozen, brief.given)),
        _stretches("silence", "nothing can be heard", unmeant(seen.silent, brief.quiet), SILENT_SECONDS),
        _clipping(seen),
        _loudness(seen),
        _captions(brief, over),
        _size(brief, film),
    ]


def in_picture(black: Sequence[Stretch], frozen: Sequence[Stretch]) -> tuple[Finding, Finding]:
    """What is wrong with a picture that is black, and stands still, in these places."""
    return (
        _stretches("black", "the picture is black", black, BLACK_SECONDS),
        _stretches("frozen", "the picture stands still", frozen, FROZEN_SECONDS),
    )


def _streams(brief: FilmBrief, film: Path, header: Streams, seen: Decoded) -> Finding:
    video, audio = header.video, header.audio
    assert video is not None
    assert audio is not None
    canvas = brief.canvas
    wrong = [
        sentence
        for is_wrong, sentence in (
            (header.count != 2, f"it has {header.count} streams instead of 2"),
            (video.codec != "h264" or video.pixel_format != "yuv420p", f"the picture is {video.codec}"),
            ("bt709" not in video.colour, "the colours are not tagged BT.709"),
            ((video.width, video.height) != (canvas.width, canvas.height), f"it is {video.width}x{video.height} px"),
            (abs(video.fps - FPS) > 0.01, f"it runs at {video.fps:g} frames per second"),
            (audio.codec != "aac" or audio.sample_rate != SAMPLE_RATE, f"the sound is {audio.codec}"),
            (abs(header.start) > 0.02, f"it begins at {header.start:g} s"),
            (not index_first(film), "its index stands at the end, so it cannot start while it loads"),
            (bool(seen.complaints), f"decoding it complained: {'; '.join(seen.complaints[:2])}"),
        )
        if is_wrong
    ]
    return _finding(
        "streams", not wrong, "The film's streams are as they should be.", f"The film is odd: {', '.join(wrong)}."
    )


def _duration(brief: FilmBrief, seen: Decoded) -> Finding:
    return _finding(
        "duration",
        seen.frames == brief.frames and seen.irregular == 0,
        f"It lasts {brief.frames / FPS:.2f} s, to the frame.",
        f"It has {seen.frames} frames instead of {brief.frames}, {seen.irregular} of them at odd times.",
    )


def _drift(seen: Decoded) -> Finding:
    drift = (seen.samples - seen.frames * SAMPLES_PER_FRAME) / SAMPLE_RATE
    return _finding(
        "drift",
        abs(drift) <= 1 / FPS,
        "Picture and sound end together.",
        f"The sound ends {abs(drift):.2f} s {'after' if drift > 0 else 'before'} the picture.",
    )


def _stretches(check: str, what: str, found: Sequence[Stretch], limit: float) -> Finding:
    long = [stretch for stretch in found if stretch.seconds > limit]
    where = ", ".join(f"{s.start:.1f}-{s.end:.1f} s" for s in long[:5])
    return _finding(
        check, not long, f"There is no place where {what} for more than {limit:g} s.", f"At {where} {what}."
    )


def unmeant(found: Sequence[Stretch], meant: Sequence[range]) -> list[Stretch]:
    """What is left of stretches when the frames that are silent, or still, on purpose are taken out."""
    left = list(found)
    for span in meant:
        start, end = span.start / FPS, span.stop / FPS
        left = [
            piece
            for s in left
            for piece in (Stretch(s.start, min(s.end, start)), Stretch(max(s.start, end), s.end))
            if piece.seconds > 0
        ]
    return left


def _clipping(seen: Decoded) -> Finding:
    peak = seen.loudness.true_peak
    return _finding(
        "clipping",
        peak <= mix.TRUE_PEAK + _PEAK_TOLERANCE,
        f"The sound peaks at {peak:.1f} dBTP.",
        f"The sound peaks at {peak:.1f} dBTP, over the limit of {mix.TRUE_PEAK}: it may distort.",
    )


def _loudness(seen: Decoded) -> Finding:
    level = seen.loudness.integrated
    return _finding(
        "loudness",
        abs(level - mix.LOUDNESS) <= _LOUDNESS_TOLERANCE,
        f"It is as loud as it should be: {level:.1f} LUFS.",
        f"Its loudness is {level:.1f} LUFS instead of {mix.LOUDNESS:g}.",
    )


def overflow(boxes: Sequence[Box], canvas: Canvas) -> tuple[str, ...]:
    """The texts of captions that run out of their band or come too near to an edge."""
    top, bottom = canvas.caption_band
    margin = round(canvas.width * _SIDE_MARGIN)
    return tuple(
        box.text
        for box in boxes
        if box.top < top or box.bottom >= bottom or box.left < margin or box.right >= canvas.width - margin
    )


def _captions(brief: FilmBrief, over: Sequence[str]) -> Finding:
    shown = f" ({over[0][:60]!r})" if over else ""
    return _finding(
        "captions",
        not over,
        "Every caption stands in its band." if brief.captions else "There are no captions to check.",
        f"{len(over)} captions run out of their band{shown}.",
    )


def _size(brief: FilmBrief, film: Path) -> Finding:
    size = film.stat().st_size
    return _finding(
        "size",
        not brief.max_bytes or size <= brief.max_bytes,
        f"It weighs {size / 1e6:.1f} MB.",
        f"It weighs {size / 1e6:.1f} MB, more than the {brief.max_bytes / 1e6:.1f} MB that storage takes.",
    )


def _finding(check: str, ok: bool, good: str, bad: str) -> Finding:
    return Finding(check, ok, good if ok else bad)


def index_first(film: Path) -> bool:
    """Whether ``moov`` stands before ``mdat`` (boxes by ISO/IEC 14496-12), so that players start at once."""
    with film.open("rb") as file:
        at = 0
        while len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            at += size if size >= 8 else 8
            file.seek(at)
    return False

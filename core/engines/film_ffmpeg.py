"""Joins a film by stream copy, encodes its sound once at the right loudness, and looks at the result."""

from __future__ import annotations

import hashlib
import itertools
import math
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ffmpeg

from core.documents import FPS, Canvas
from core.engines.film_checks import BLACK_SECONDS, FROZEN_SECONDS, SILENT_SECONDS, findings, unreadable
from core.errors import EngineError
from core.media import mix, probe
from core.media.args import TIMESCALE, concat_list, film_audio_args
from core.media.caption_boxes import caption_boxes
from core.media.run import run
from core.ports import FilmBrief, Finding, Look, Report

_THUMBNAIL_SIDE = 720  # px, the short side
_GLIMPSE = 0.1  # seconds: so short a stretch of a segment may be a part of a longer one in the film
_TOUCHING = 2.5 / FPS  # seconds between two stretches that are one: the detectors need a frame to begin and to end
_TRIES = 3  # encodes of the sound until loudness and peak are right
_MEASURED, _LEVEL_TOLERANCE = 0.25, 0.5  # share of the work; LU
_FIRST_LIMIT = -2.5  # dBFS of samples before encoding: AAC and the space between samples add up to a decibel
_LANGUAGES = {  # ISO 639-2 codes, all that MP4 has room for
    "ar": "ara", "bg": "bul", "bn": "ben", "ca": "cat", "cs": "ces", "cy": "cym", "da": "dan", "de": "deu", "el": "ell",
    "en": "eng", "es": "spa", "et": "est", "eu": "eus", "fa": "fas", "fi": "fin", "fr": "fra", "ga": "gle", "gu": "guj",
    "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "hye", "id": "ind", "is": "isl", "it": "ita", "ja": "jpn",
    "ka": "kat", "kk": "kaz", "kn": "kan", "ko": "kor", "lt": "lit", "lv": "lav", "mk": "mkd", "ml": "mal", "mr": "mar",
    "ms": "msa", "mt": "mlt", "nb": "nob", "ne": "nep", "nl": "nld", "no": "nor", "pa": "pan", "pl": "pol", "pt": "por",
    "ro": "ron", "ru": "rus", "sk": "slk", "sl": "slv", "sq": "sqi", "sr": "srp", "sv": "swe", "sw": "swa", "ta": "tam",
    "te": "tel", "th": "tha", "tr": "tur", "uk": "ukr", "ur": "urd", "uz": "uzb", "vi": "vie", "yue": "zho",
    "zh": "zho", "cmn": "zho",
}  # fmt: skip


class FfmpegFilm:
    """FilmEngine on ffmpeg."""

    id = "ffmpeg"
    version = "1"

    def join(self, brief: FilmBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write the film to `out`; the file appears whole or not at all.

        Two passes: the mix is measured, then encoded at the gain that brings it to -16 LUFS. The encoded sound is
        measured again; when the limiter or the encoder moved it out of bounds, it is encoded anew with what was
        learnt. Returns frames, seconds, bytes, loudness (LUFS), true_peak (dBTP). Raises EngineError.
        """
        seconds = brief.frames / FPS
        music_gain = mix.music_gain(brief.music, min(seconds, 300.0)) if brief.music else 0.0
        gain, limit = mix.LOUDNESS - self._measure(brief, music_gain, _part_of(report, 0.0, _MEASURED)), _FIRST_LIMIT
        part = out.with_name(out.name + ".part")
        try:
            for last in (attempt == _TRIES - 1 for attempt in range(_TRIES)):
                self._encode(brief, music_gain, gain, limit, part, _part_of(report, _MEASURED, 0.95))
                heard = probe.loudness(part)
                off = mix.LOUDNESS - heard.integrated
                over = heard.true_peak - mix.TRUE_PEAK
                if last or (abs(off) <= _LEVEL_TOLERANCE and over <= 0):
                    break
                gain += off
                limit -= over + 0.2 if over > 0 else 0.0
            size = part.stat().st_size
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
        report(1.0)
        return {
            "frames": brief.frames,
            "seconds": round(seconds, 3),
            "bytes": size,
            "loudness": heard.integrated,
            "true_peak": heard.true_peak,
        }

    def check_music(self, path: Path) -> None:
        """Raise InvalidInputError, field music, unless the file holds at least a second of audible sound."""
        mix.check_music(path)

    def thumbnail(self, brief: FilmBrief, film: Path, out: Path) -> None:
        """Write a JPEG of the canvas's shape, short side at most 720 px: the poster, else a frame of the film."""
        canvas = brief.canvas
        share = min(1.0, _THUMBNAIL_SIDE / canvas.short_side)
        width, height = (round(side * share / 2) * 2 for side in (canvas.width, canvas.height))
        moment = min(1.5, brief.frames / FPS / 3)
        source = ffmpeg.input(str(brief.poster)) if brief.poster else ffmpeg.input(str(film), ss=f"{moment:.3f}")
        picture = (
            source.video.filter("scale", width, height, force_original_aspect_ratio="increase", flags="lanczos")
            .filter("crop", width, height)
            .filter("format", "yuvj420p")
        )
        part = out.with_name(out.name + ".part")
        run(picture.output(str(part), f="image2", update=1, vcodec="mjpeg", **{"q:v": 3}, vframes=1).get_args())
        part.replace(out)

    def inspect(self, brief: FilmBrief, film: Path, report: Report) -> Sequence[Finding]:
        """Check all a viewer would notice; one finding per check, good or bad.

        When every segment was looked at as it was made, its pictures are not decoded again: they were copied. The
        film's packets, its sound and the first picture of each segment are still read. Else all is decoded once.
        """
        header = probe.streams(film)
        if header.video is None or header.audio is None:
            return [unreadable("The film lacks its picture or its sound.")]
        with ThreadPoolExecutor(1) as pool:
            drawn = pool.submit(caption_boxes, brief.captions, brief.canvas)
            try:
                seen = _skimmed(brief, film) if brief.looks else _decoded(brief, film, report)
            except EngineError as error:
                if error.retryable:  # it says nothing of the film
                    raise
                return [unreadable(f"The film cannot be played to its end: {error.sentence}")]
            boxes = drawn.result()
        report(1.0)
        return findings(brief, film, header, seen, boxes)

    def look(self, segment: Path, canvas: Canvas) -> Look:
        """Decode the pictures of a segment. Raises EngineError."""
        seen = probe.pictures(
            segment,
            rate=FPS,
            picture_share=_picture_share(canvas),
            black_seconds=_GLIMPSE,
            frozen_seconds=_GLIMPSE,
        )
        black, frozen = (tuple((s.start, s.end) for s in found) for found in (seen.black, seen.frozen))
        return Look(seen.frames, _hash(probe.packets(segment)), black, frozen, seen.complaints)

    def _measure(self, brief: FilmBrief, music_gain: float, report: Report) -> float:
        """Loudness of the mix before any gain, LUFS. Raises EngineError when there is nothing to hear."""
        stream = mix.mixed_stream(brief.frames, brief.music, music_gain).filter("ebur128", framelog="quiet")
        args = stream.output("-", f="null").get_args()
        measured = probe.parse_loudness(run(args, feed=mix.narration(brief.sounds, brief.frames, report)).log)
        if math.isinf(measured.integrated):
            raise EngineError("The narrations of this film are silent.", code="silent_film")
        return measured.integrated

    def _encode(
        self, brief: FilmBrief, music_gain: float, gain: float, limit: float, out: Path, report: Report
    ) -> None:
        """Copy the segments' pictures and encode the sound beside them. Raises EngineError for a damaged segment."""
        sound = mix.at_level(mix.mixed_stream(brief.frames, brief.music, music_gain), gain, limit)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            listed = Path(folder) / "segments.ffconcat"
            listed.write_text(concat_list([str(path.resolve()) for path in brief.segments]), encoding="utf-8")
            pictures = ffmpeg.input(str(listed), f="concat", safe=0).video
            output = ffmpeg.output(
                pictures,
                sound,
                str(out),
                f="mp4",
                vcodec="copy",
                **film_audio_args(),
                movflags="+faststart",
                video_track_timescale=15_360,
                map_metadata=-1,
                **{
                    "metadata:g:0": f"title={' '.join(brief.title.split())[:200]}",
                    "metadata:s:a:0": f"language={_LANGUAGES.get(brief.language.lower().split('-')[0], 'und')}",
                },
            )
            done = run(output.get_args(), feed=mix.narration(brief.sounds, brief.frames, report))
        copied = probe.last_number(done.log, r"frame= *(\d+)")
        if copied != brief.frames:  # a segment that cannot be read is skipped without a complaint
            raise EngineError(
                f"The clips have {copied} frames together instead of {brief.frames}: one is damaged or too short.",
                code="bad_segment",
            )


def _picture_share(canvas: Canvas) -> float:
    """The share of the height, from the top, above the captions."""
    return canvas.caption_band[0] / canvas.height


def _decoded(brief: FilmBrief, film: Path, report: Report) -> probe.Decoded:
    """Decode the whole film."""
    return probe.decode(
        film,
        rate=FPS,
        picture_share=_picture_share(brief.canvas),
        black_seconds=BLACK_SECONDS,
        frozen_seconds=FROZEN_SECONDS,
        silent_seconds=SILENT_SECONDS,
        on_frame=lambda frame: report(min(0.95, frame / max(1, brief.frames))),
    )


def _skimmed(brief: FilmBrief, film: Path) -> probe.Decoded:
    """What decoding the whole film would show, out of the looks at its segments and what only the film can tell."""
    read = probe.skim(film, rate=FPS, ticks=TIMESCALE, silent_seconds=SILENT_SECONDS)
    said = [complaint for look in brief.looks for complaint in look.complaints]
    return probe.Decoded(
        frames=len(read.packets),
        irregular=read.irregular,
        samples=read.samples,
        loudness=read.loudness,
        black=in_film(brief.looks, [look.black for look in brief.looks]),
        frozen=in_film(brief.looks, [look.frozen for look in brief.looks]),
        silent=read.silent,
        complaints=(*said, *_changed(brief, read), *read.complaints),
    )


def _changed(brief: FilmBrief, read: probe.Skimmed) -> list[str]:
    """A complaint for each segment whose pictures in the film are not those that were looked at."""
    starts = itertools.accumulate((look.frames for look in brief.looks), initial=0)
    return [
        f"segment {number} is invalid: its pictures are not those that were made"
        for number, (start, look) in enumerate(zip(starts, brief.looks, strict=False), 1)
        if _hash(read.packets[start : start + look.frames]) != look.packets
    ]


def _hash(packets: Sequence[probe.Packet]) -> str:
    return hashlib.sha256("\n".join(packet.sum for packet in packets).encode()).hexdigest()


def in_film(looks: Sequence[Look], found: Sequence[Sequence[tuple[float, float]]]) -> tuple[probe.Stretch, ...]:
    """Stretches of the segments in the film's time; one that goes on in the next segment is one.

    Two that touch within a segment stay two: between them the picture changed.
    """
    merged: list[probe.Stretch] = []
    at = 0
    for look, stretches in zip(looks, found, strict=True):
        for number, (start, end) in enumerate(stretches):
            here = probe.Stretch(at / FPS + start, at / FPS + end)
            if number == 0 and merged and here.start - merged[-1].end <= _TOUCHING:
                here = probe.Stretch(merged.pop().start, here.end)
            merged.append(here)
        at += look.frames
    return tuple(merged)


def _part_of(report: Report, low: float, high: float) -> Report:
    """A report for a part of the whole work."""
    return lambda share: report(low + (high - low) * share)

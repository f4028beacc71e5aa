"""Joins a film by stream copy, and looks at the result."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ffmpeg

from core.documents import FPS, Canvas
from core.engine_ports import FilmBrief, Finding, Heard, Look, Report, SoundBrief, SoundTrack
from core.engines.film_checks import (
    BLACK_SECONDS,
    FROZEN_SECONDS,
    SILENT_SECONDS,
    findings,
    in_picture,
    overflow,
    unreadable,
)
from core.engines.film_sound import encoded_anew, hash_of, hear, is_at_its_level, mix_sound
from core.errors import EngineError
from core.media import mix, probe
from core.media.args import TIMESCALE, concat_list
from core.media.caption_boxes import caption_boxes
from core.media.footage import fit, still
from core.media.run import run

_CORRECTIONS = 3  # of the sound's level: it is off after them where loudness and peak cannot both be met
_THUMBNAIL_SIDE = 720  # px, the short side
_GLIMPSE = 0.1  # seconds: so short a stretch of a segment may be a part of a longer one in the film
_TOUCHING = 2.5 / FPS  # seconds between two stretches that are one: the detectors need a frame to begin and to end
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

    def fit(self, footage: Path, canvas: Canvas, frames: int, out: Path, *, holds: bool) -> Mapping[str, Any]:
        """Bring a footage to the canvas and to exactly so many frames; see `footage.fit`."""
        return fit(footage, canvas, frames, out, holds=holds)

    def still(self, footage: Path, frame: int, out: Path) -> None:
        """Write one frame of a fitted footage as a JPEG. Raises EngineError."""
        still(footage, frame, out)

    def mix(self, brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
        """Encode the sound at about -16 LUFS to `out`. Raises EngineError."""
        return mix_sound(brief, out, report)

    def join(self, brief: FilmBrief, out: Path) -> Heard:
        """Copy pictures and sound into the film at `out`, which appears whole or not at all.

        Meanwhile the sound is listened to; when its level is off, it is encoded anew and all is copied again.
        Raises EngineError for a damaged segment, or a silent sound.
        """
        track = brief.sound
        with tempfile.TemporaryDirectory(dir=out.parent) as folder, ThreadPoolExecutor(1) as pool:
            film = Path(folder) / out.name
            for corrections_left in range(_CORRECTIONS, -1, -1):
                hearing = pool.submit(hear, track.path)
                _copy(brief, track.path, film)
                heard = hearing.result()
                if is_at_its_level(heard) or not corrections_left:
                    break
                track = encoded_anew(track, heard, Path(folder) / f"sound {corrections_left}.mp4")
            film.replace(out)
        return heard

    def check_music(self, path: Path) -> None:
        """Raise InvalidInputError, field music, unless the file holds at least a second of audible sound."""
        mix.check_music(path)

    def thumbnail(self, picture: Path, canvas: Canvas, out: Path) -> None:
        """Write a JPEG of the canvas's shape, short side at most 720 px."""
        share = min(1.0, _THUMBNAIL_SIDE / canvas.short_side)
        width, height = (round(side * share / 2) * 2 for side in (canvas.width, canvas.height))
        small = (
            ffmpeg.input(str(picture))
            .video.filter("scale", width, height, force_original_aspect_ratio="increase", flags="lanczos")
            .filter("crop", width, height)
            .filter("format", "yuvj420p")
        )
        part = out.with_name(out.name + ".part")
        run(small.output(str(part), f="image2", update=1, vcodec="mjpeg", **{"q:v": 3}, vframes=1).get_args())
        part.replace(out)

    def inspect(self, brief: FilmBrief, film: Path, heard: Heard, report: Report) -> Sequence[Finding]:
        """Check all a viewer would notice; one finding per check, good or bad.

        When every segment was looked at as it was made, nothing is decoded again: pictures and sound were copied, and
        the film's packets must be those that were decoded then. Else all is decoded once.
        """
        try:
            header, read = probe.packets(film)
            if header.video is None or header.audio is None:
                return [unreadable("The film lacks its picture or its sound.")]
            if brief.looks:
                seen = _skimmed(brief, film, heard, read)
                over = tuple(text for look in brief.looks for text in look.overflow)
            else:
                seen, over = _decoded(brief, film, report), _overflow(brief.captions, brief.canvas)
        except EngineError as error:
            if error.retryable:  # it says nothing of the film
                raise
            return [unreadable(f"The film cannot be played to its end: {error.sentence}")]
        report(1.0)
        return findings(brief, film, header, seen, over)

    def look(self, segment: Path, canvas: Canvas, captions: str | None = None) -> Look:
        """Decode the pictures of a segment, and draw its captions alone. Raises EngineError."""
        with ThreadPoolExecutor(1) as pool:
            drawing = pool.submit(_overflow, (captions,) if captions else (), canvas)
            seen = probe.pictures(
                segment,
                rate=FPS,
                picture_share=_picture_share(canvas),
                black_seconds=_GLIMPSE,
                frozen_seconds=_GLIMPSE,
            )
            over = drawing.result()
        black, frozen = (tuple((s.start, s.end) for s in found) for found in (seen.black, seen.frozen))
        packets = seen.packets
        return Look(seen.frames, hash_of(packets.pictures), packets.parameters, over, black, frozen, seen.complaints)

    def blemish(self, look: Look) -> str:
        """See engine_ports.FilmEngine."""
        black, frozen = ([probe.Stretch(*span) for span in spans] for spans in (look.black, look.frozen))
        return " ".join(finding.sentence for finding in in_picture(black, frozen) if not finding.ok)


def _overflow(captions: Sequence[str], canvas: Canvas) -> tuple[str, ...]:
    return overflow(caption_boxes(captions, canvas), canvas)


def _copy(brief: FilmBrief, sound: Path, out: Path) -> None:
    """Put the segments one behind the other, and the sound beside them."""
    listed = out.with_name("segments.ffconcat")
    listed.write_text(concat_list([str(path.resolve()) for path in brief.segments]), encoding="utf-8")
    output = ffmpeg.output(
        ffmpeg.input(str(listed), f="concat", safe=0).video,
        ffmpeg.input(str(sound)).audio,
        str(out),
        f="mp4",
        c="copy",
        movflags="+faststart",
        video_track_timescale=15_360,
        map_metadata=-1,
        **{
            "metadata:g:0": f"title={' '.join(brief.title.split())[:200]}",
            "metadata:s:a:0": f"language={_LANGUAGES.get(brief.language.lower().split('-')[0], 'und')}",
        },
    )
    done = run(output.get_args())
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


def _skimmed(brief: FilmBrief, film: Path, heard: Heard, read: probe.Packets) -> probe.Decoded:
    """What decoding the whole film would show, out of what was seen and heard before and what it alone can tell."""
    # a decoder that is told the same and gets the same sees the same; else it must show that it sees anything
    same = all(look.parameters == read.parameters != "" for look in brief.looks)
    said = [complaint for look in brief.looks for complaint in look.complaints]
    return probe.Decoded(
        frames=len(read.pictures),
        irregular=read.irregular(rate=FPS, ticks=TIMESCALE),
        samples=heard.samples,
        loudness=probe.Loudness(heard.loudness, heard.true_peak),
        black=in_film(brief.looks, [look.black for look in brief.looks]),
        frozen=in_film(brief.looks, [look.frozen for look in brief.looks]),
        silent=tuple(probe.Stretch(start, end) for start, end in heard.silent),
        complaints=(*said, *heard.complaints, *_changed(brief, heard, read), *(() if same else probe.key_frames(film))),
    )


def _changed(brief: FilmBrief, heard: Heard, read: probe.Packets) -> list[str]:
    """A complaint for each segment, and for the sound, that is not in the film as it was looked at or listened to."""
    starts = itertools.accumulate((look.frames for look in brief.looks), initial=0)
    wrong = [
        f"segment {number} is invalid: its pictures are not those that were made"
        for number, (start, look) in enumerate(zip(starts, brief.looks, strict=False), 1)
        if hash_of(read.pictures[start : start + look.frames]) != look.packets
    ]
    if hash_of(read.sounds) != heard.packets:
        wrong.append("the sound is invalid: it is not what was made")
    return wrong


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

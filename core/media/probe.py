"""Says what is in a media file: its streams from the header, and everything else by decoding it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from core.media.run import run

SILENCE_DB = -50.0  # below this nobody hears anything between words
BLACK_LUMA = 0.04  # share of the luma range below which a pixel counts as black; dark cards stay above
BLACK_AREA = 0.98  # share of the picture that must be black
FREEZE_DB = -60.0  # mean difference of two pictures that counts as none
_LOOK_WIDTH = 270  # px; black and frozen stretches show as well in a small picture

_VIDEO = re.compile(
    r"Stream #\S+ Video: (?P<codec>\w+)[^\n]*?, (?P<pix>\w+)(?P<colour>\([^)]*\))?[^\n]*?, (?P<w>\d+)x(?P<h>\d+)"
    r"(?:[^\n]*?, (?P<fps>[\d.]+) fps)?"
)
_AUDIO = re.compile(r"Stream #\S+ Audio: (?P<codec>\w+)[^\n]*?, (?P<rate>\d+) Hz, (?P<layout>[\w.]+)")
_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d\.\d+)(?:, start: (-?[\d.]+))?")
_COMPLAINT = re.compile(
    r"^\[(?:h264|aac|mov|in#|vist|aist)[^\]]*\] (.*(?:error|corrupt|invalid|missing).*)$", re.I | re.M
)
_BARE = "filter_units=remove_types=7-8"  # without what decoders are told (ITU-T H.264, table 7-1)
_LAYOUTS = {"mono": 1, "stereo": 2}


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The video stream as the header tells it."""

    codec: str
    pixel_format: str
    colour: str  # for example "tv, bt709, progressive"
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The audio stream as the header tells it."""

    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Streams:
    """The first stream of each kind, how many there are, and the length the header claims."""

    video: VideoStream | None
    audio: AudioStream | None
    count: int
    seconds: float  # to the hundredth; 0 when unknown
    start: float  # seconds at which it begins; 0 is right


@dataclass(frozen=True, slots=True)
class Loudness:
    """Programme loudness by EBU R 128 / ITU-R BS.1770."""

    integrated: float  # LUFS; -inf for silence
    true_peak: float  # dBTP; -inf for silence


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a film, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding a whole film showed."""

    frames: int
    irregular: int  # frames that a constant rate had to repeat or drop
    samples: int  # per channel
    loudness: Loudness
    black: tuple[Stretch, ...]
    frozen: tuple[Stretch, ...]
    silent: tuple[Stretch, ...]
    complaints: tuple[str, ...]  # of the decoders


def streams(path: Path) -> Streams:
    """Read the header. A file that is no media has no streams; nothing is raised for it."""
    return _header(run(["-i", str(path)], timeout=60, check=False).log)


def _header(log: str) -> Streams:
    """What a run said of its only input."""
    log = re.split(r"^(?:Stream mapping|Output #)", log, maxsplit=1, flags=re.M)[0]
    video, audio = _VIDEO.search(log), _AUDIO.search(log)
    duration = _DURATION.search(log)
    seconds = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration is not None else 0.0
    return Streams(
        video=None
        if video is None
        else VideoStream(
            codec=video["codec"],
            pixel_format=video["pix"],
            colour=(video["colour"] or "").strip("()"),
            width=int(video["w"]),
            height=int(video["h"]),
            fps=float(video["fps"] or 0),
        ),
        audio=None
        if audio is None
        else AudioStream(audio["codec"], int(audio["rate"]), _LAYOUTS.get(audio["layout"], 0)),
        count=len(re.findall(r"^ *Stream #", log, re.M)),
        seconds=seconds,
        start=float(duration[4] or 0) if duration is not None else 0.0,
    )


def frames(path: Path) -> int:
    """Count the frames of a video by decoding it. Raises EngineError when it cannot be decoded."""
    log = run(["-i", str(path), "-map", "0:v:0", "-f", "null", "-"]).log
    return last_number(log, r"frame= *(\d+)")


@dataclass(frozen=True, slots=True)
class Pictures:
    """What decoding the pictures of a file showed."""

    packets: Packets
    frames: int
    black: tuple[Stretch, ...]
    frozen: tuple[Stretch, ...]
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded frame, in the order of decoding."""

    at: int  # ticks of its track at which it is shown
    sum: str  # size and check sum of its bytes


@dataclass(frozen=True, slots=True)
class Packets:
    """Everything that is encoded in a file, without its being decoded."""

    pictures: tuple[Packet, ...]
    sounds: tuple[Packet, ...]
    parameters: str  # size and check sum of what the decoder of the pictures must be told first

    def irregular(self, *, rate: int, ticks: int) -> int:
        """How many pictures do not stand where `rate` frames per second puts them; `ticks` of the track per second."""
        times = sorted(packet.at for packet in self.pictures)
        return sum(at - times[0] != number * ticks // rate for number, at in enumerate(times))


@dataclass(frozen=True, slots=True)
class Listened:
    """What decoding the sound of a file told."""

    packets: tuple[Packet, ...]
    samples: int  # per channel
    loudness: Loudness
    silent: tuple[Stretch, ...]
    complaints: tuple[str, ...]


def pictures(path: Path, *, rate: int, picture_share: float, black_seconds: float, frozen_seconds: float) -> Pictures:
    """Decode the pictures of a file once and measure them; the arguments are those of `decode`."""
    source = ffmpeg.input(str(path), threads=2, skip_loop_filter="all")
    looked = _looked_at(source.video, picture_share, black_seconds, frozen_seconds)
    copied = source.video.output("pipe:1", f="framecrc", c="copy", **{"bsf:v": _BARE})
    decoded = looked.output("-", f="null", fps_mode="cfr", r=rate)
    done = run(ffmpeg.merge_outputs(decoded, copied).get_args())
    log, packets = done.log, _read_packets(done.stdout.decode())
    count = last_number(log, r"frame= *(\d+)")
    black, frozen = _seen(log, count / rate)
    return Pictures(packets, count, black, frozen, _complaints(log))


def packets(path: Path) -> tuple[Streams, Packets]:
    """The header and the encoded frames of a file's H.264 pictures and of its sound. Raises EngineError for no media.

    The decoder's parameters (units 7 and 8 of ITU-T H.264) are told apart: joining puts them before key frames.
    """
    bare = ["-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-bsf:v", _BARE]
    done = run(["-i", str(path), *bare, "-f", "framecrc", "-"])
    return _header(done.log), _read_packets(done.stdout.decode())


def _read_packets(text: str) -> Packets:
    """What the format framecrc says."""
    kinds = dict(re.findall(r"^#media_type (\d): (\w+)", text, re.M))
    parameters = dict(re.findall(r"^#extradata (\d): +(.+)$", text, re.M))
    found: dict[str, list[Packet]] = {"video": [], "audio": []}
    for line in text.splitlines():
        if line[:1] not in ("", "#"):
            # stream, decoded at, shown at, lasts, bytes, check sum, side data
            f = [field.strip() for field in line.split(",")]
            found[kinds[f[0]]].append(Packet(int(f[2]), f"{f[4]} {f[5]}"))
    video = next((number for number, kind in kinds.items() if kind == "video"), "")
    return Packets(tuple(found["video"]), tuple(found["audio"]), parameters.get(video, ""))


def key_frames(path: Path) -> tuple[str, ...]:
    """Decode only the key frames of a file's pictures; what the decoder complained of. Raises EngineError."""
    source = ffmpeg.input(str(path), threads=2, skip_frame="nokey")
    return _complaints(run(source.video.output("-", f="null", fps_mode="passthrough").get_args()).log)


def listen(path: Path, *, sample_rate: int, silent_seconds: float) -> Listened:
    """Decode the sound of a file; silent_seconds: the shortest silence that is reported. Raises EngineError."""
    sound = ffmpeg.input(str(path)).audio
    copied = sound.output("pipe:1", f="framecrc", c="copy")
    done = run(ffmpeg.merge_outputs(_heard(sound, silent_seconds).output("-", f="null"), copied).get_args())
    log, samples = done.log, _samples(done.log)
    packets = _read_packets(done.stdout.decode()).sounds
    return Listened(packets, samples, parse_loudness(log), _silences(log, samples / sample_rate), _complaints(log))


def decode(
    path: Path,
    *,
    rate: int,
    picture_share: float,
    black_seconds: float,
    frozen_seconds: float,
    silent_seconds: float,
    on_frame: Callable[[int], None] | None = None,
) -> Decoded:
    """Decode a film once and measure all of it.

    rate: frames per second it should have, everywhere.
    picture_share: share of the height, from the top, that is looked at for black and frozen stretches; below
        stand captions, whose changing words would hide a frozen picture.
    *_seconds: the shortest stretch that is reported.
    """
    # a film is looked at when all its scenes are made: a second processor has nothing else to do
    source = ffmpeg.input(str(path), threads=2, skip_loop_filter="all")
    video = _looked_at(source.video, picture_share, black_seconds, frozen_seconds)
    output = ffmpeg.output(video, _heard(source.audio, silent_seconds), "-", f="null", fps_mode="cfr", r=rate)
    log = run(output.get_args(), on_frame=on_frame).log
    count = last_number(log, r"frame= *(\d+)")
    black, frozen = _seen(log, count / rate)
    return Decoded(
        frames=count,
        irregular=last_number(log, r"dup=(\d+)") + last_number(log, r"drop=(\d+)"),
        samples=_samples(log),
        loudness=parse_loudness(log),
        black=black,
        frozen=frozen,
        silent=_silences(log, count / rate),
        complaints=_complaints(log),
    )


def _looked_at(video: Any, picture_share: float, black_seconds: float, frozen_seconds: float) -> Any:
    """The picture with the detectors of black and frozen stretches behind it."""
    return (
        video.filter("crop", "iw", f"ih*{picture_share:.4f}", 0, 0)
        .filter("scale", _LOOK_WIDTH, -2, flags="neighbor")
        .filter("blackdetect", d=black_seconds, pic_th=BLACK_AREA, pix_th=BLACK_LUMA)
        .filter("freezedetect", n=f"{FREEZE_DB}dB", d=frozen_seconds)
    )


def _heard(audio: Any, silent_seconds: float) -> Any:
    """The sound with the meters of loudness, peak, silence and length behind it."""
    return (
        audio.filter("ebur128", peak="true", framelog="quiet")
        .filter("silencedetect", n=f"{SILENCE_DB}dB", d=silent_seconds)
        .filter("aformat", channel_layouts="stereo")
        .filter("volumedetect")  # it counts, at a tenth of what astats takes
    )


def _samples(log: str) -> int:
    """Samples per channel, of the two that were counted together."""
    return last_number(log, r"n_samples: (\d+)") // 2


def _seen(log: str, length: float) -> tuple[tuple[Stretch, ...], tuple[Stretch, ...]]:
    """(black, frozen) stretches."""
    return (
        parse_stretches(log, r"black_start: ?([\d.]+)", r"black_end: ?([\d.]+)", length),
        parse_stretches(log, r"freeze_start: ([\d.]+)", r"freeze_end: ([\d.]+)", length),
    )


def _silences(log: str, length: float) -> tuple[Stretch, ...]:
    return parse_stretches(log, r"silence_start: (-?[\d.]+)", r"silence_end: ([\d.]+)", length)


def _complaints(log: str) -> tuple[str, ...]:
    return tuple(match[1] for match in _COMPLAINT.finditer(log))


def parse_loudness(log: str) -> Loudness:
    """Read the summary that the filter ebur128 leaves at the end; its floor of -70 LUFS counts as silence."""
    integrated = re.findall(r"^\s+I:\s+(-?[\d.]+|-?inf|nan) LUFS", log, re.M)
    peak = re.findall(r"^\s+Peak:\s+(-?[\d.]+|-?inf|nan) dBFS", log, re.M)
    lufs = float(integrated[-1]) if integrated else -math.inf
    return Loudness(
        integrated=lufs if lufs > -70 else -math.inf,
        true_peak=float(peak[-1]) if peak and peak[-1] != "nan" else -math.inf,
    )


def parse_stretches(log: str, start: str, end: str, length: float) -> tuple[Stretch, ...]:
    """Pair the start and end marks a detector logged; one that never ended lasts to `length` seconds."""
    starts = [float(value) for value in re.findall(start, log)]
    ends = [float(value) for value in re.findall(end, log)]
    ends += [length] * (len(starts) - len(ends))
    return tuple(Stretch(max(0.0, a), b) for a, b in zip(starts, ends, strict=False))


def last_number(log: str, pattern: str) -> int:
    """The last number that `pattern` finds, 0 if there is none."""
    found = re.findall(pattern, log)
    return int(found[-1]) if found else 0

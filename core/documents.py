"""The documents of one video as frozen values, and the geometry they are drawn on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from core.status import TERMINAL, SceneStatus, VideoStatus

FPS = 30  # frames per second; 48 000 Hz / 30 = 1 600 samples per frame, a whole number
SAMPLE_RATE = 48_000  # Hz of every sound file
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
AUDIO_MAX_KBPS = 256  # of the film's AAC: at its quality nothing tried, from noise to clicks, took more than 220
_CONTAINER_BYTES_PER_SECOND = 1_200  # mp4 tables of one video and one audio track, generously
CROSSFADE_FRAMES = 10  # overlap of two neighbouring scenes, a third of a second
ASPECTS: dict[str, tuple[int, int]] = {"9:16": (9, 16), "16:9": (16, 9), "1:1": (1, 1)}
AUTO = "auto"  # of the options style and engine: the deployment or the content decides
QUALITIES = ("fast", "high")  # the choices of the option `quality`
SHORT_SIDES = (360, 480, 720, 1080)  # px, the choices of the option `resolution`


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture area of one video.

    `caption_band` is reserved for captions: engines draw no title and no illustration into it.
    """

    width: int  # px, even
    height: int  # px, even

    @classmethod
    def of(cls, aspect: str, short_side: int) -> Self:
        """Build the canvas of an aspect ("9:16") with the given short side in px."""
        w, h = ASPECTS[aspect]
        scale = short_side / min(w, h)
        return cls(width=round(w * scale / 2) * 2, height=round(h * scale / 2) * 2)

    @property
    def short_side(self) -> int:
        """The smaller of width and height, px: type sizes are fractions of it."""
        return min(self.width, self.height)

    @property
    def maxrate_kbps(self) -> int:
        """The highest rate a film's picture may have, kbit/s: what makes its size a promise."""
        area = self.width * self.height / (1080 * 1920)
        return int(4000 * math.pow(area, 0.75))

    def film_bytes(self, seconds: float, segments: int) -> int:
        """What a film of that length, joined from so many segments, cannot exceed, in bytes.

        Every segment begins with a full rate buffer of one second, so each may add a second's worth to what the
        rate alone allows.
        """
        video = self.maxrate_kbps * 125 * (seconds + segments)
        sound = (AUDIO_MAX_KBPS * 125 + _CONTAINER_BYTES_PER_SECOND) * (seconds + 1)
        return round(video + sound) + 20_000

    @property
    def caption_band(self) -> tuple[int, int]:
        """(top, bottom) in px of the band kept free for captions; two lines fit in it."""
        if self.height > self.width:  # below it stand the buttons of the phone apps
            return round(self.height * 0.795), round(self.height * 0.925)
        if self.height == self.width:
            return round(self.height * 0.80), round(self.height * 0.96)
        return round(self.height * 0.80), round(self.height * 0.95)


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose; every value has been validated."""

    language: str = "en"  # BCP 47, for example en, en-US, de, pt-BR
    aspect: str = "9:16"
    resolution: int = 1080  # px, short side
    voice: str = ""  # engine's voice id; empty: the engine's default for the language
    speed: float = 1.0  # of speech, 0.5 to 2.0
    style: str = "auto"  # palette and layout family; auto: chosen by seed and content
    engine: str = AUTO  # who makes the pictures; auto: the first of this deployment
    quality: str = "fast"  # of pictures by a model: fast (few steps) or high (many)
    captions: str = "highlight"  # caption style, or "off"
    music_file_id: str = ""  # file in the uploads bucket, empty: none
    title: str = ""
    target_seconds: int = 0  # wished length of the film, 0: as long as the text takes
    audience: str = ""  # for whom a topic is told, empty: everybody
    max_cost_usd: float = 0.0  # 0: no cap
    seed: int = 0

    def to_json(self) -> str:
        """Serialise compactly, keys sorted, for the `options` column."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; unknown keys of other versions are dropped, missing ones take defaults."""
        raw = json.loads(text or "{}")
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in raw.items() if k in known})

    @property
    def canvas(self) -> Canvas:
        """The picture area these options ask for."""
        return Canvas.of(self.aspect, self.resolution)


def _from_row(cls: Any, row: Mapping[str, Any], enum: Any) -> dict[str, Any]:
    """Map a row's columns to dataclass fields; null becomes the field's default."""
    known = {f.name for f in fields(cls)}
    values = {k: v for k, v in row.items() if k in known and v is not None}
    if "status" in values:
        values["status"] = enum(values["status"])
    return values


@dataclass(frozen=True, slots=True)
class Video:
    """One row of `videos`, as it was read at `updated_at`."""

    id: str
    updated_at: str = ""  # the row's $updatedAt: the optimistic lock
    created_at: str = ""
    owner_id: str = ""
    topic: str = ""
    description: str = ""
    script: str = ""
    options: str = "{}"  # JSON of Options
    status: VideoStatus = VideoStatus.QUEUED
    progress: int = 0  # per cent
    stage: str = ""  # a sentence
    current_scene: int = 0  # lowest scene not yet rendered; 0 before there are scenes
    scene_count: int = 0
    eta_seconds: int | None = None
    attempt: int = 0  # only grows: the fence against stale renderers
    tries: int = 0  # hand-outs since a person last asked
    due_at: str | None = None  # ISO time when somebody must look again
    handle: str = ""  # JSON: the renderer's call ids
    revision: int = 0
    cost_usd: float = 0.0  # all that was spent on it; never falls
    costs: str = ""  # JSON: what each call spent, and on what (core.costs)
    final_file_id: str = ""
    combined_video_url: str = ""
    captions_url: str = ""  # WebVTT
    subtitles_url: str = ""  # SubRip
    thumbnail_url: str = ""
    duration_seconds: float = 0.0
    error_code: str = ""
    error_message: str = ""
    substitutions: str = ""  # JSON
    plan: str = ""  # JSON: the scenes as a person gave them, one by one; empty: they follow from script or topic
    writer: str = ""  # random token of the last write: recognises one's own lost reply

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read an Appwrite row (system fields `$id`, `$updatedAt`, `$createdAt` beside the columns)."""
        values = _from_row(cls, row, VideoStatus)
        values.update(id=row["$id"], updated_at=row["$updatedAt"], created_at=row["$createdAt"])
        return cls(**values)

    @property
    def parsed_options(self) -> Options:
        """The options column as a value."""
        return Options.from_json(self.options)

    @property
    def is_terminal(self) -> bool:
        """Whether nobody works on it and nobody will, unless a person asks."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a person brought, as it was when they asked."""

    file_id: str  # in the bucket of uploads
    mark: str = ""  # of these very bytes; empty: there was no such file of theirs


@dataclass(frozen=True, slots=True)
class Material:
    """What a person brought for one scene, in place of what an engine would make."""

    picture: Upload | None = None
    clip: Upload | None = None
    audio: Upload | None = None

    @property
    def shows(self) -> bool:
        """Whether what is to be seen was brought: no engine makes it then."""
        return bool(self.picture or self.clip)

    def to_json(self) -> str:
        """Serialise for the scene's column; empty when there is nothing."""
        brought = {kind: upload for kind, upload in asdict(self).items() if upload}
        return json.dumps(brought, sort_keys=True, separators=(",", ":")) if brought else ""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{kind: Upload(**upload) for kind, upload in json.loads(text or "{}").items()})


@dataclass(frozen=True, slots=True)
class Scene:
    """One row of `scenes`, as it was read at `updated_at`."""

    id: str
    updated_at: str = ""
    created_at: str = ""
    video_id: str = ""
    scene_number: int = 0  # from 1
    status: SceneStatus = SceneStatus.PLANNED
    title: str = ""  # on-screen
    narration: str = ""
    visual_prompt: str = ""
    engine: str = ""
    holder: str = ""  # random per process run: who is making it
    beat_at: str | None = None
    attempt: int = 0
    revision: int = 0
    video_url: str = ""
    image_url: str = ""
    audio_url: str = ""
    code_url: str = ""
    duration_seconds: float = 0.0
    cost_usd: float = 0.0  # all that was spent on it, as far as its renderers came to say it
    assets: str = "{}"  # JSON: kind -> asset id
    tries: int = 0
    error_message: str = ""
    substitution: str = ""  # JSON: what stands in for what was asked, and why; empty: it is what was asked
    code: str = ""  # the scene's own program, for engines that run one
    notes: str = ""  # JSON: what an engine must not forget about the footage it makes
    material: str = ""  # JSON of Material: what a person brought for it; empty: nothing
    writer: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read an Appwrite row."""
        values = _from_row(cls, row, SceneStatus)
        values.update(id=row["$id"], updated_at=row["$updatedAt"], created_at=row["$createdAt"])
        return cls(**values)

    @property
    def parsed_material(self) -> Material:
        """The material column as a value."""
        return Material.from_json(self.material)


@dataclass(frozen=True, slots=True)
class Asset:
    """One row of `assets`: a made file, known by the key of everything that went into it."""

    id: str  # hash(video, key)
    video_id: str
    kind: str  # storyboard, code, picture, voice, footage, fitted, clip, fade, srt, vtt, film, thumbnail
    key: str  # hash(engine id, engine version, all inputs), hex
    bucket_id: str
    file_id: str
    sha256: str
    bytes: int
    facts: Mapping[str, Any] = field(default_factory=dict)  # what was measured while making it
    updated_at: str = field(default="", compare=False)  # when its row was written, as read

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read an Appwrite row."""
        return cls(
            id=row["$id"],
            facts=json.loads(row["facts"] or "{}"),
            updated_at=row["$updatedAt"],
            **{k: row[k] for k in ("video_id", "kind", "key", "bucket_id", "file_id", "sha256", "bytes")},
        )

    def columns(self) -> dict[str, Any]:
        """The columns of the row, facts as JSON."""
        return {
            **{k: getattr(self, k) for k in ("video_id", "kind", "key", "bucket_id", "file_id", "sha256", "bytes")},
            "facts": json.dumps(dict(self.facts), separators=(",", ":"), ensure_ascii=False),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """One row of `events`: something that happened to a video, for its owner and whoever helps them."""

    video_id: str
    at: str  # ISO time, UTC
    kind: str  # a word of core.journal
    scene_number: int = 0  # 0: of the video as a whole
    attempt: int = 0
    seconds: float = 0.0  # how long it took
    cost_usd: float = 0.0
    sentence: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read an Appwrite row."""
        return cls(**{k: v for k, v in row.items() if k in {f.name for f in fields(cls)} and v is not None})


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """One scene of a storyboard."""

    number: int  # from 1
    title: str  # on-screen, a few words
    narration: str  # spoken
    visual_prompt: str  # what is to be seen, plain words
    engine: str  # which picture engine
    code: str = ""  # the scene's own program
    files: Mapping[str, str] = field(default_factory=dict)  # picture, clip, audio -> id of an upload


@dataclass(frozen=True, slots=True)
class Spent:
    """What a language model took for a storyboard."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int  # what it thought included
    seconds: float
    usd: float | None  # None: the price of this model is not known


@dataclass(frozen=True, slots=True)
class Storyboard:
    """The plan of a film: never without scenes."""

    title: str
    scenes: tuple[SceneSpec, ...]
    strategy: str  # model; given; or how the text was split: paragraphs, sentences, characters or default
    warnings: tuple[str, ...] = ()  # what was not made as asked, a sentence each
    spent: Spent | None = None

    def to_json(self) -> str:
        """Serialise for the storyboard asset."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        return cls(
            title=raw["title"],
            scenes=tuple(SceneSpec(**s) for s in raw["scenes"]),
            strategy=raw["strategy"],
            warnings=tuple(raw["warnings"]),
            spent=Spent(**raw["spent"]) if raw.get("spent") else None,
        )

"""The seams: what the steps need from engines, storage and renderers, as protocols and frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from core.documents import Asset, Canvas, Event, Options, Scene, Spent, Storyboard, Video
from core.settings import Settings

D = TypeVar("D", Video, Scene)
Report = Callable[[float], None]  # called with the share of the current asset that is made, 0 to 1


# ---- engines: one method, a path out, measured facts back; id and version go into the asset key


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word: a whitespace token of the narration."""

    text: str
    start: float  # seconds from the beginning of the sound file
    end: float


@dataclass(frozen=True, slots=True)
class Voice:
    """A narration as a sound file: mono s16 WAV at SAMPLE_RATE, a whole number of frames long, silence included."""

    path: Path
    frames: int  # video frames it lasts
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class VoiceBrief:
    """What is to be said and how; `lead` and `tail` are seconds of silence around it (scenes overlap there)."""

    text: str
    language: str
    voice: str  # empty: default of the language
    speed: float
    lead: float
    tail: float


class VoiceEngine(Protocol):
    """Makes the narration of one scene."""

    id: str
    version: str

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write the WAV to `out`. Raises EngineError when the text cannot be said."""
        ...


@dataclass(frozen=True, slots=True)
class PictureBrief:
    """Everything a picture depends on."""

    canvas: Canvas
    number: int  # of the scene, from 1
    count: int  # of scenes
    film_title: str
    title: str  # on-screen
    prompt: str  # what is to be seen
    narration: str
    language: str
    style: str
    seed: int  # of the video: scenes of one video belong together
    captions: bool  # whether the caption band must stay free
    quality: str = "fast"  # or "high": how many steps a model may take


class PictureEngine(Protocol):
    """Makes the picture of one scene, for people to look at and for the clip to be made from."""

    id: str
    suffix: str  # of the file it writes: ".jpg" or ".png"

    @property
    def version(self) -> str:
        """Of the engine and, where it has one, of its model."""
        ...

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write the picture to `out`, return facts. Raises EngineError, and whatever `report` raises."""
        ...


@dataclass(frozen=True, slots=True)
class FootageBrief:
    """Everything a scene that moves by itself depends on."""

    picture: PictureBrief
    frames: int  # it should last, all of them, fades included; it is cut, slowed or repeated to them later
    words: tuple[Word, ...]  # of the narration, in the scene's time
    code: str = ""  # the scene's own program, if it brings one
    program: str = ""  # what is run, by engines that run one: the scene's own, or one that was written for it


class Notes(Protocol):
    """What an engine must not forget about one footage when its process dies, for example what it has ordered."""

    def get(self, name: str) -> str:
        """Empty when nothing was noted."""
        ...

    def put(self, name: str, value: str) -> None:
        """Written before it returns."""
        ...


class FootageEngine(Protocol):
    """Makes a scene that moves by itself: an animation, a film by a text-to-video service."""

    id: str
    version: str
    holds: bool  # whether it stands still at its end where it is too short; else it begins again

    def wants(self, brief: FootageBrief) -> Mapping[str, Any]:
        """What of the brief its work depends on: the key of what it makes. JSON."""
        ...

    def shoot(self, brief: FootageBrief, out: Path, notes: Notes, report: Report) -> Mapping[str, Any]:
        """Write a video of about the wished length to `out`, sound is ignored; return facts. Raises EngineError."""
        ...


@runtime_checkable
class OrderedFootage(FootageEngine, Protocol):
    """Footage made by somebody who is paid for each: it can be ordered ahead, and goes on while nobody looks.

    What is ordered stands in the note `orders.ORDER` until it has failed. The facts of `shoot` hold `order`, its id,
    and `usd`, what it took: it is counted once for each id.
    """

    def price(self, brief: FootageBrief) -> float:
        """Dollars that one order is expected to cost."""
        ...

    def order(self, brief: FootageBrief, notes: Notes) -> None:
        """Order it if it is not ordered, and wait for nothing. Raises ScenewrightError: `shoot` will try again."""
        ...

    def cancel(self, notes: Notes) -> None:
        """Take an order back, as far as that is possible; never fails."""
        ...


@runtime_checkable
class CodedFootage(FootageEngine, Protocol):
    """Footage made by a program, which is written and kept before it is run.

    `shoot` runs the brief's `program`; its facts hold `program`, the one that was run at last: it may have been mended.
    """

    def topic(self, brief: FootageBrief) -> Mapping[str, Any]:
        """What of the brief a program that is written for it depends on: its key. JSON."""
        ...

    def write(self, brief: FootageBrief) -> str:
        """A program for a scene that has none of its own. Raises EngineError."""
        ...

    def take_bill(self) -> Sequence[Spent]:
        """What language models took since this was called last."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """An error that programs of scenes had, and what mended it."""

    error: str  # its pattern
    original: str  # lines that were wrong
    fix: str  # lines in their place
    uses: int = 1  # times that it was met


class Memory(Protocol):
    """What a deployment has learnt of errors in programs that were written for its scenes."""

    def recall(self, error: str) -> Lesson | None:
        """What mended errors of this pattern."""
        ...

    def most_used(self, count: int) -> Sequence[Lesson]:
        """The errors that were met most often."""
        ...

    def learn(self, lesson: Lesson) -> None:
        """Remember it; one that is known was met once more, and its newest fix is kept."""
        ...


@dataclass(frozen=True, slots=True)
class Shot:
    """One scene as the camera sees it: a picture and the frames it lasts (all of them, fades included)."""

    brief: PictureBrief
    picture: Path
    frames: int
    footage: Path | None = None  # of so many frames, where the scene moves by itself; the picture is one of them


class ClipEngine(Protocol):
    """Sets pictures in motion and encodes them; one encode per scene, fades apart."""

    id: str
    version: str

    def film(self, shot: Shot, span: range, captions: str | None, out: Path, report: Report) -> Mapping[str, Any]:
        """Encode the frames `span` of the shot, no sound; `captions`: ASS text, its times relative to span.start."""
        ...

    def fade(self, before: Shot, after: Shot, frames: int, out: Path) -> Mapping[str, Any]:
        """Encode `frames` frames in which the end of `before` turns into the beginning of `after`."""
        ...


@dataclass(frozen=True, slots=True)
class Sound:
    """One narration in the film's time."""

    path: Path  # WAV as VoiceEngine writes it
    start: int  # frame of the film at which the file begins


@dataclass(frozen=True, slots=True)
class SoundBrief:
    """Everything the sound of a film is mixed from."""

    sounds: tuple[Sound, ...]
    frames: int  # of the whole film
    music: Path | None


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """The encoded sound of a film, and at what levels, should it have to be encoded again."""

    path: Path  # of an mp4 that has nothing else
    brief: SoundBrief
    gain: float = 0.0  # dB that the mix was raised by
    limit: float = 0.0  # dBFS under which its samples were held
    music_gain: float = 0.0  # dB that the music was raised by


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in the encoded sound of a film; stretches are (start, end) in seconds."""

    packets: str  # hash of the encoded frames: the film must hold the very same
    samples: int  # per channel
    loudness: float  # LUFS
    true_peak: float  # dBTP
    silent: tuple[tuple[float, float], ...] = ()
    complaints: tuple[str, ...] = ()  # of the decoder


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in the picture of a segment when it was made; stretches are (start, end) in its own seconds."""

    frames: int
    packets: str = ""  # hash of the encoded frames: the film must hold the very same
    parameters: str = ""  # what the decoder was told: if the film tells it the same, it sees the same
    overflow: tuple[str, ...] = ()  # captions that run out of their band
    black: tuple[tuple[float, float], ...] = ()
    frozen: tuple[tuple[float, float], ...] = ()
    complaints: tuple[str, ...] = ()  # of the decoder


@dataclass(frozen=True, slots=True)
class FilmBrief:
    """Everything a film is joined from, in order."""

    canvas: Canvas
    segments: tuple[Path, ...]  # clips and fades, stream-copied
    sound: SoundTrack
    frames: int  # of the whole film
    title: str
    language: str
    captions: tuple[str, ...] = ()  # the ASS text of each captioned clip, checked for overflow if nobody has looked
    max_bytes: int = 0  # 0: no limit
    looks: tuple[Look, ...] = ()  # at the segments, when every one was looked at; empty: the whole film is decoded
    quiet: tuple[range, ...] = ()  # frames of the film that are silent on purpose
    given: tuple[range, ...] = ()  # frames of what was brought, animated or filmed: they may be black or still


@dataclass(frozen=True, slots=True)
class Finding:
    """What the quality gate saw."""

    check: str  # streams, duration, drift, black, frozen, silence, clipping, loudness, captions, size
    ok: bool
    sentence: str


class FilmEngine(Protocol):
    """Cuts footage, joins clips by stream copy, encodes the sound once, and looks at all before anybody else does."""

    id: str
    version: str

    def check_music(self, path: Path) -> None:
        """Raise InvalidInputError, field music, when the file cannot be heard."""
        ...

    def fit(self, footage: Path, canvas: Canvas, frames: int, out: Path, *, holds: bool) -> Mapping[str, Any]:
        """Bring a footage to the canvas and to exactly so many frames.

        Facts: seconds, slowed, loops. Raises EngineError.
        """
        ...

    def still(self, footage: Path, frame: int, out: Path) -> None:
        """Write one frame of a fitted footage as a JPEG. Raises EngineError."""
        ...

    def mix(self, brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
        """Encode the sound at about -16 LUFS to `out`. Raises EngineError."""
        ...

    def join(self, brief: FilmBrief, out: Path) -> Heard:
        """Copy all into the mp4 (faststart, BT.709 tags) at `out`, and listen to its sound. Raises EngineError."""
        ...

    def thumbnail(self, picture: Path, canvas: Canvas, out: Path) -> None:
        """Write a JPEG of a picture for lists and players. Raises EngineError."""
        ...

    def look(self, segment: Path, canvas: Canvas, captions: str | None = None) -> Look:
        """Decode the picture of a segment that was just made, with its ASS text. Raises EngineError."""
        ...

    def blemish(self, look: Look) -> str:
        """Why no film could be made of a segment that looks so, as a sentence; "": it could."""
        ...

    def inspect(self, brief: FilmBrief, film: Path, heard: Heard, report: Report) -> Sequence[Finding]:
        """Check all a viewer would notice; what was looked at and heard before is not decoded again."""
        ...


@dataclass(frozen=True, slots=True)
class StoryboardBrief:
    """What is to be told."""

    topic: str
    description: str
    script: str
    options: Options


class StoryboardEngine(Protocol):
    """Makes the plan of a film."""

    id: str
    version: str
    usd: float  # expected for one plan

    def plan(self, brief: StoryboardBrief, paid: Callable[[Spent], None] = lambda _: None, /) -> Storyboard:
        """Return at least one scene.

        Args:
            brief: what is to be told.
            paid: hears, after each answer that costs something, what all of them took so far; what it raises ends the
                planning.

        Raises:
            InvalidInputError: there is nothing to tell, or nobody who can tell it.
            WaitError: it can be planned later.
        """
        ...


# ---- what is recorded, and where files are kept


class Store(Protocol):
    """Documents, with ownership by creation and one guarded write."""

    def create_video(self, video: Video) -> Video:
        """Raises AlreadyExistsError; a lost reply to one's own create is recognised and returned."""
        ...

    def get_video(self, video_id: str) -> Video:
        """Raises NotFoundError."""
        ...

    def list_videos(
        self, owner_id: str, *, status: str = "", limit: int = 25, offset: int = 0
    ) -> tuple[list[Video], int]:
        """The newest first, and how many there are in all."""
        ...

    def due_videos(self, now: datetime, limit: int) -> list[Video]:
        """Those somebody must look at, the longest waiting first; a working video without a date is due."""
        ...

    def ended_videos(self, before: datetime, limit: int) -> list[Video]:
        """Those that ended and were last written before, the oldest first."""
        ...

    def videos_since(self, owner_id: str, moment: datetime) -> list[Video]:
        """All videos of a user that were last written at or after a moment."""
        ...

    def in_front(self, video: Video) -> tuple[int, int]:
        """How many unfinished videos were recorded before this one, and the most seconds any of them still needs."""
        ...

    def create_scene(self, scene: Scene, owner_id: str) -> Scene:
        """Like create_video; an existing scene is returned as it is."""
        ...

    def scenes(self, video_id: str) -> list[Scene]:
        """All scenes, by number."""
        ...

    def advance(self, document: D, **changes: Any) -> D:
        """Write `changes` if nobody wrote since `document` was read.

        Grows `revision`, checks the status arrow. Raises ConflictError (somebody was faster), TransitionError,
        NotFoundError (deleted).
        """
        ...

    def adopt(self, video: Video, **changes: Any) -> Video:
        """Like advance, and gives the row the permissions of its owner: for rows made by hand."""
        ...

    def claim(self, *parts: str | int, video_id: str, by: str = "") -> bool:
        """Whether this process won the race for (kind, video, attempt, ...): one winner, for ever.

        `by`: who asks; under the name that has won once it may be won again. Empty: whoever asks is somebody else.
        """
        ...

    def asset(self, asset_id: str) -> Asset | None:
        """The recorded asset with this id (`identity.asset_id`), if there is one."""
        ...

    def create_asset(self, asset: Asset, owner_id: str) -> Asset:
        """Record a file that is whole; an existing one is returned."""
        ...

    def replace_asset(self, old: Asset, new: Asset) -> Asset:
        """Let a recorded asset point at another file. Raises ConflictError: somebody did so since `old` was read."""
        ...

    def assets(self, video_id: str) -> list[Asset]:
        """All recorded assets of a video."""
        ...

    def made_since(self, kinds: Sequence[str], moment: datetime) -> bool:
        """Whether an asset of one of these kinds was recorded since, of whatever video."""
        ...

    def record(self, event: Event, owner_id: str) -> None:
        """Add to the video's log, readable by its owner."""
        ...

    def events(self, video_id: str, *, limit: int = 100, offset: int = 0) -> list[Event]:
        """The video's log, oldest first."""
        ...

    def forget(self, video_id: str) -> None:
        """Delete every row of a video, its own last; what is gone already is no error."""
        ...

    def setting(self, name: str) -> str | None:
        """A server-only setting that may change at run time."""
        ...

    def put_setting(self, name: str, value: str) -> None:
        """Set a server-only setting."""
        ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What storage says of a file."""

    bucket_id: str
    file_id: str
    name: str
    bytes: int
    complete: bool
    permissions: tuple[str, ...]
    md5: str = ""  # hex, of the bytes as they were sent; empty: this storage does not say
    created_at: str = ""  # a file's bytes never change, but another may come under its id

    @property
    def mark(self) -> str:
        """What no file of the same id with other bytes has."""
        return self.md5 or f"{self.bytes} {self.created_at}"

    def holds(self, size: int, md5: str) -> bool:
        """Whether these are all of these bytes, as far as storage can say."""
        return self.complete and self.bytes == size and (not self.md5 or not md5 or self.md5 == md5)


class Files(Protocol):
    """Files by bucket and id; readable by their owner alone."""

    def max_bytes(self, bucket_id: str) -> int:
        """The largest file the bucket takes: what its server allowed, which may be less than the schema asks."""
        ...

    def upload(self, bucket_id: str, file_id: str, path: Path, owner_id: str, stem: str = "") -> StoredFile:
        """Send a file whole; what is there with other bytes is deleted first, the same file is left as it is.

        `stem`: its name without the extension; empty: as it is called here.
        """
        ...

    def called(self, bucket_id: str, stem: str) -> list[str]:
        """The ids of all files whose name without the extension is `stem`, those that are not whole too."""
        ...

    def stat(self, bucket_id: str, file_id: str) -> StoredFile | None:
        """None when there is no such file."""
        ...

    def head(self, bucket_id: str, file_id: str, size: int) -> bytes:
        """The first `size` bytes."""
        ...

    def download(self, bucket_id: str, file_id: str, out: Path) -> None:
        """Stream to a part file, then rename. Raises NotFoundError."""
        ...

    def delete(self, bucket_id: str, file_id: str) -> None:
        """What is gone already is no error."""
        ...

    def view_url(self, bucket_id: str, file_id: str) -> str:
        """The plain URL, without any token."""
        ...

    def play_url(self, bucket_id: str, file_id: str, seconds: int) -> str:
        """A URL that plays in a browser without cookies for so long. Never stored, never logged."""
        ...


# ---- renderers


class CallState(StrEnum):
    """What a renderer says of a call."""

    WAITING = "waiting"  # taken in, not begun
    PENDING = "pending"  # running
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # the renderer does not know it any more
    UNKNOWN = "unknown"  # the renderer could not be asked


@dataclass(frozen=True, slots=True)
class Job:
    """What crosses the border to a renderer: ids only."""

    kind: str  # render or compose
    video_id: str
    attempt: int
    scenes: tuple[int, ...] = ()  # numbers; empty for compose
    call: str = ""  # id of the call, where a renderer may deliver it twice; known to who does it, never sent


class Dispatcher(Protocol):
    """Hands jobs to a renderer and asks after them."""

    id: str
    parallel_calls: int  # how many calls one video is spread over
    scenes_per_call: int  # at most, in more calls if need be; 0: any number

    def submit(self, job: Job) -> str:
        """Return the call id at once. Raises BusyError (come back later), UnavailableError."""
        ...

    def status(self, call_id: str) -> CallState:
        """Never raises: a renderer that cannot be asked is UNKNOWN."""
        ...

    def cancel(self, call_id: str) -> None:
        """Stop it if it still runs; unknown calls are no error."""
        ...


class Clock(Protocol):
    """The time; tests move it by hand."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Brought:
    """A file that a person brought for a scene."""

    mark: str  # of its bytes
    said: str  # what a sentence calls it, at its beginning
    fetch: Callable[[Path], None]  # writes it there; raises EngineError, UnavailableError


@dataclass(frozen=True, slots=True)
class Takers:
    """Who makes something of files that people bring; all of it depends on the file's bytes."""

    voice: Callable[[Brought], VoiceEngine]
    picture: Callable[[Brought], PictureEngine]
    clip: Callable[[Brought], FootageEngine]


@dataclass(frozen=True, slots=True)
class Engines:
    """The makers in use, built once per renderer process."""

    voice: VoiceEngine
    pictures: Mapping[str, PictureEngine]
    clip: ClipEngine
    film: FilmEngine
    title_card: PictureEngine  # stands in for pictures that cannot be drawn or filmed
    silence: VoiceEngine  # stands in for narrations that cannot be said
    footage: Mapping[str, FootageEngine] = field(default_factory=dict)
    takers: Takers | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What every step works with."""

    store: Store
    files: Files
    dispatcher: Dispatcher
    storyboard: StoryboardEngine
    settings: Settings
    clock: Clock
    # asks for an execution of its own that plans a queued video, by its id; None: whoever asks plans it himself
    plan_soon: Callable[[str], None] | None = None
    # takes back an order of footage, by its id, or raises UnavailableError; None: nobody here takes orders
    take_back: Callable[[str], None] | None = None

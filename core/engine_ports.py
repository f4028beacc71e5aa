"""The seams to engines: what they are asked for and what they give, as protocols and frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from core.documents import Canvas, Options, Spent, Storyboard

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

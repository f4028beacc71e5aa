"""What a language model may answer, and which answers can be used: schemas, and complaints about the rest."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.documents import AUTO
from core.text import estimate_seconds, is_dense, speakable

NARRATION_CHARS = 900  # of one scene: more is no scene any more
_TITLE_CHARS = 60
_PROMPT_CHARS = 700
_LOOK_CHARS = 240
_FAR = 2.0  # times shorter or longer than wished: the answer is refused once
_MOSTLY = 0.5  # share of the letters that must be of the language's script
# languages that are not written in Latin letters, by the names of their characters
_SCRIPTS = {
    "CYRILLIC": "ru uk bg sr mk be ky kk tt ba cv",
    "ARABIC": "ar fa ur ug",
    "DEVANAGARI": "hi mr ne kok",
    "HEBREW": "he",
    "GREEK": "el grc",
    "THAI": "th",
    "ARMENIAN": "hy hyw",
    "GEORGIAN": "ka",
    "BENGALI": "bn as bpy",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "TAMIL": "ta",
    "TELUGU": "te",
    "SINHALA": "si",
    "ORIYA": "or",
    "MYANMAR": "my shn",
    "ETHIOPIC": "am ti",
    "CJK HIRAGANA KATAKANA": "ja",
    "CJK": "zh cmn yue hak",
    "HANGUL CJK": "ko",
}
_SCRIPT_OF = {code: frozenset(names.split()) for names, codes in _SCRIPTS.items() for code in codes.split()}
_ANY_SCRIPT = frozenset("chr piqd sjn qya nog mn sd".split())  # by habit in several
_LATIN = frozenset({"LATIN"})
_EITHER = frozenset("sr ku uz tk az kk ms tr tt".split())  # written in Latin letters too, or in others


def _all_required(schema: dict[str, Any]) -> None:
    schema["required"] = list(schema["properties"])


class _Answered(BaseModel):
    """Asks for every field; one that has a default may be missing all the same."""

    model_config = ConfigDict(json_schema_extra=_all_required)


class Character(_Answered):
    """Somebody or something that is seen again."""

    name: str
    description: str


class Told(_Answered):
    """One scene that the model tells."""

    title: str
    narration: str
    visual_prompt: str
    characters: list[str] = Field(default_factory=list)
    keywords: list[str] = Field(default_factory=list)
    engine: str = Field(default_factory=lambda: AUTO)


class Pictured(_Answered):
    """What the model sees in one scene that a person has told."""

    number: int
    title: str
    visual_prompt: str
    characters: list[str] = Field(default_factory=list)
    keywords: list[str] = Field(default_factory=list)
    engine: str = Field(default_factory=lambda: AUTO)


class Story(_Answered):
    """The answer to a topic."""

    title: str
    style: str
    characters: list[Character] = Field(default_factory=list)
    scenes: list[Told]


class Pictures(_Answered):
    """The answer to a script."""

    title: str
    style: str
    characters: list[Character] = Field(default_factory=list)
    scenes: list[Pictured]


A = TypeVar("A", Story, Pictures)


class UnusableError(Exception):
    """The answer cannot be used; the text says why, for the model and for people."""


def parse(kind: type[A], text: str) -> A:
    """Read an answer.

    Raises:
        UnusableError: it is no JSON of that form.
    """
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        return kind.model_validate_json(bare)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = "it is no JSON" if first["type"] == "json_invalid" else f"{where} is missing or of the wrong type"
        raise UnusableError(f"The answer does not have the form that was asked for: {reason[:120]}.") from error


def check_story(story: Story, scenes: int, seconds: float, language: str, speed: float, *, length: bool) -> None:
    """Raise UnusableError when these scenes cannot be told.

    Args:
        story: the answer.
        scenes: how many were asked for; half as many more are taken.
        seconds: how long they should last.
        language: BCP 47, of the narrations.
        speed: of the voice.
        length: whether to be strict about the seconds.
    """
    if not story.scenes:
        raise UnusableError("The answer has no scenes.")
    if len(story.scenes) > scenes + max(1, scenes // 2):
        raise UnusableError(f"The answer has {len(story.scenes)} scenes; {scenes} were asked for.")
    for number, scene in enumerate(story.scenes, start=1):
        if not speakable(scene.narration):
            raise UnusableError(f"The narration of scene {number} is empty.")
        if len(scene.narration) > NARRATION_CHARS:
            raise UnusableError(f"The narration of scene {number} is over {NARRATION_CHARS} characters long.")
        if not speakable(scene.visual_prompt):
            raise UnusableError(f"The visual_prompt of scene {number} is empty.")
    narrations = [scene.narration for scene in story.scenes]
    if not in_script(" ".join(narrations), language):
        raise UnusableError(f"The narrations are not written in the script of the language {language}.")
    told = estimate_seconds(narrations, speed)
    if length and not seconds / _FAR <= told <= seconds * _FAR:
        raise UnusableError(f"The narrations take about {told:.0f} s to speak; {seconds:.0f} s were asked for.")


def check_pictures(pictures: Pictures, numbers: Sequence[int]) -> None:
    """Raise UnusableError when a scene has no picture."""
    found = {scene.number for scene in pictures.scenes if speakable(scene.visual_prompt)}
    missing = [number for number in numbers if number not in found]
    if missing:
        listed = ", ".join(map(str, missing[:8]))
        raise UnusableError(f"The answer has no visual_prompt for these scenes: {listed}.")


def in_script(text: str, language: str) -> bool:
    """Whether most letters are of the script that the language is written in."""
    code = language.lower().split("-", maxsplit=1)[0]
    if code in _ANY_SCRIPT:
        return True
    expected = _SCRIPT_OF.get(code, _LATIN) | (_LATIN | {"CYRILLIC", "ARABIC"} if code in _EITHER else frozenset())
    letters = [c for c in text if unicodedata.category(c)[0] == "L"]
    fitting = sum(unicodedata.name(c, "").split(" ", maxsplit=1)[0].split("-")[0] in expected for c in letters)
    return fitting >= _MOSTLY * len(letters)


def line(text: str, limit: int) -> str:
    """One clean line of at most `limit` characters, cut at a word where there is one."""
    visible = (c if unicodedata.category(c)[0] != "C" or c in "\u200c\u200d" else " " for c in text)
    flat = " ".join("".join(visible).split())
    if len(flat) <= limit:
        return flat
    cut = flat[:limit]
    return cut[: cut.rfind(" ")] if " " in cut and not is_dense(cut[-1]) else cut


def title_of(text: str) -> str:
    """A title of the model, clean; empty when it is too long for the screen or says nothing."""
    clean = line(text, 400).rstrip(" .,;:")
    return clean if speakable(clean) and len(clean) <= _TITLE_CHARS else ""


def visual_prompt(scene: Told | Pictured, characters: Sequence[Character], style: str, *, cards: bool) -> str:
    """What is to be seen, in full: who is seen again is described in the same words, in one style.

    Cards are drawn from words: keywords come first, and what would only confuse them is left out.
    """
    seen = line(scene.visual_prompt, _PROMPT_CHARS).rstrip(".")
    if cards:
        words = ", ".join(line(word, 40) for word in scene.keywords[:5] if speakable(word))
        return f"{words}. {seen}" if words else seen
    named = {name.strip().lower() for name in scene.characters}
    looks = [
        f"{line(c.name, 60)}: {line(c.description, _LOOK_CHARS).rstrip('.')}"
        for c in characters
        if c.name.strip() and (c.name.strip().lower() in named or c.name.strip().lower() in seen.lower())
    ]
    return ". ".join(part for part in (seen, *looks[:4], line(style, _LOOK_CHARS).rstrip(".")) if part)

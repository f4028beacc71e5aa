"""Which requests are videos: every field checked, with a sentence, a code and the field's name for each refusal."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from core.captions import CAPTION_STYLES
from core.documents import ASPECTS, AUTO, QUALITIES, SHORT_SIDES, Canvas, Options
from core.errors import InvalidInputError
from core.schema import FILMS, SCENES, VIDEOS, bucket, column_size
from core.text import TOPIC_SCENE_SECONDS, TOPIC_SECONDS, estimate_seconds, speakable, split

MIN_SCRIPT_CHARS = 60
SCENE_TEXT_CHARS = 4_000  # of a narration or visual prompt that a person writes for one scene
PACE_RANGE = (0.8, 1.4)  # how far the speed may be bent to meet a wished length
_MARKUP = re.compile(r"<!doctype|<\s*(html|head|body|script|style|div|p|span|table|iframe)\b[^>]*>", re.IGNORECASE)
_ENVELOPE = frozenset({"topic", "description", "script", "userId", "idempotency_key"})
_OPTION_NAMES = frozenset(f.name for f in fields(Options))


def _wanted_film_bytes() -> int:
    return int(bucket(FILMS)["maximumFileSize"])


@dataclass(frozen=True, slots=True)
class Choices:
    """What this deployment offers."""

    styles: Collection[str]
    engines: Collection[str]
    speaks: Callable[[str], bool]  # whether there is a voice for a language
    topics: bool  # whether a model can turn a topic into a script
    scenes_max: int
    film_bytes_max: Callable[[], int] = _wanted_film_bytes  # what storage takes


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """A request that can become a video."""

    topic: str
    description: str
    script: str
    options: Options


@dataclass(frozen=True, slots=True)
class SceneEdit:
    """What a person changes about one scene; None: it stays."""

    narration: str | None = None
    visual_prompt: str | None = None
    title: str | None = None  # on-screen
    engine: str | None = None


def _text(raw: Mapping[str, Any], field: str, limit: int) -> str:
    value = raw.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError(f"`{field}` must be text.", code="not_text", field=field)
    value = value.removeprefix("\ufeff").strip()
    if len(value) > limit:
        raise InvalidInputError(
            f"`{field}` has {len(value):,} characters; at most {limit:,} are allowed.", code="too_long", field=field
        )
    if "\ufffd" in value or any(unicodedata.category(c) == "Cs" for c in value):
        raise InvalidInputError(
            f"`{field}` holds broken characters: save the text as UTF-8 and send it again.",
            code="wrong_encoding",
            field=field,
        )
    if any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in value):
        raise InvalidInputError(
            f"`{field}` holds control characters: it looks like a binary file, not text.",
            code="control_characters",
            field=field,
        )
    if _MARKUP.search(value):
        raise InvalidInputError(
            f"`{field}` looks like HTML: give the plain text that is to be spoken.", code="markup", field=field
        )
    return value


def _choice(raw: Mapping[str, Any], field: str, choices: Collection[Any], default: Any) -> Any:
    value = raw.get(field)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in choices:
        offered = ", ".join(map(str, choices))
        raise InvalidInputError(
            f"`{field}` must be one of {offered}, not {str(value)[:40]!r}.", code="unknown_value", field=field
        )
    return value


def _number(raw: Mapping[str, Any], field: str, low: float, high: float, default: float) -> float:
    value = raw.get(field)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInputError(f"`{field}` must be a number.", code="not_a_number", field=field)
    if not low <= value <= high:
        raise InvalidInputError(
            f"`{field}` must be between {low:g} and {high:g}, not {value:g}.", code="out_of_range", field=field
        )
    return float(value)


def amount(raw: Mapping[str, Any], field: str) -> float:
    """An amount in dollars; 0 when it is missing. Raises InvalidInputError naming the field."""
    return _number(raw, field, 0, 1000, 0)


def _token(raw: Mapping[str, Any], field: str, pattern: str, meaning: str) -> str:
    value = raw.get(field)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise InvalidInputError(f"`{field}` must be {meaning}.", code="unknown_value", field=field)
    return value


def options_of(raw: Mapping[str, Any], choices: Choices) -> Options:
    """Validate the options of a request; what is missing takes its default.

    Raises:
        InvalidInputError: naming the option.
    """
    unknown = [k for k in raw if k not in _OPTION_NAMES and k not in _ENVELOPE]
    if unknown:
        name = str(unknown[0])[:60]
        raise InvalidInputError(
            f"There is no option `{name}`; known are {', '.join(sorted(_OPTION_NAMES))}.",
            code="unknown_option",
            field=name,
        )
    language = _token(raw, "language", r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", "a language tag such as en or pt-BR")
    language = (language or "en").replace("_", "-")
    if not choices.speaks(language):
        raise InvalidInputError(
            f"There is no voice for the language {language!r}; `scenewright voices` lists those there are.",
            code="language_not_spoken",
            field="language",
        )
    captions = raw.get("captions")
    if isinstance(captions, bool):
        captions = "highlight" if captions else "off"
    return Options(
        language=language,
        aspect=_choice(raw, "aspect", ASPECTS, "9:16"),
        resolution=int(_choice(raw, "resolution", SHORT_SIDES, 1080)),
        voice=_token(raw, "voice", r"[A-Za-z0-9_+./-]{1,64}", "a voice id as `scenewright voices` lists them"),
        speed=_number(raw, "speed", 0.5, 2.0, 1.0),
        style=_choice(raw, "style", (AUTO, *(s for s in choices.styles if s != AUTO)), AUTO),
        engine=_choice(raw, "engine", (AUTO, *choices.engines), AUTO),
        quality=_choice(raw, "quality", QUALITIES, "fast"),
        captions=_choice({"captions": captions}, "captions", ("off", *CAPTION_STYLES), "highlight"),
        music_file_id=_token(raw, "music_file_id", r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}", "the id of an uploaded file"),
        title=_text(raw, "title", 120),
        audience=_text(raw, "audience", 200),
        target_seconds=int(_number(raw, "target_seconds", 5, 1800, 0)),
        max_cost_usd=amount(raw, "max_cost_usd"),
        seed=int(_number(raw, "seed", 0, 2**31 - 1, 0)),
    )


def check_size(canvas: Canvas, seconds: float, scenes: int, limit: int, *, field: str = "script") -> None:
    """Refuse a film that would not fit the `limit` bytes of its bucket, before anything is rendered.

    Raises:
        InvalidInputError: code film_too_large, naming the setting; `field` is what must become shorter.
    """
    expected = canvas.film_bytes(seconds, 2 * scenes - 1)  # clips and the fades between them
    if expected > limit:
        raise InvalidInputError(
            f"The film would last about {seconds / 60:.0f} minutes and may weigh {expected // 10**6} MB, over the "
            f"{limit // 10**6} MB of the bucket {FILMS}: choose a smaller `resolution`, shorten the {field}, or "
            "raise the largest file size of that bucket.",
            code="film_too_large",
            field=field,
        )


def _paced(options: Options, raw: Mapping[str, Any], texts: list[str]) -> Options:
    """Bend the speed towards the wished length, unless the person chose the speed."""
    if not options.target_seconds or raw.get("speed"):
        return options
    wanted = estimate_seconds(texts, 1.0) / options.target_seconds
    values = {f.name: getattr(options, f.name) for f in fields(Options)}
    return Options(**{**values, "speed": round(min(max(wanted, PACE_RANGE[0]), PACE_RANGE[1]), 2)})


def validate(raw: object, choices: Choices) -> VideoRequest:
    """Turn a decoded body into a request that can become a video; nothing is recorded before this passed.

    Raises:
        InvalidInputError: with a code and the field that must change.
    """
    if not isinstance(raw, Mapping):
        raise InvalidInputError("The body must be a JSON object.", code="not_an_object", field="body")
    topic = _text(raw, "topic", column_size(VIDEOS, "topic"))
    description = _text(raw, "description", column_size(VIDEOS, "description"))
    script = _text(raw, "script", column_size(VIDEOS, "script"))
    if not topic and not script:
        given = raw.get("script") is not None
        raise InvalidInputError(
            "The script is empty: give at least one paragraph." if given else "Topic is required",
            code="script_empty" if given else "topic_required",
            field="script" if given else "topic",
        )
    options = options_of(raw, choices)
    if not script:
        if not choices.topics:
            raise InvalidInputError(
                "A topic alone needs a language model: set GEMINI_API_KEY on the function, or give a `script`.",
                code="topic_needs_model",
                field="script",
            )
        # what it will be is known when it is planned; what cannot be is known now
        seconds = options.target_seconds or TOPIC_SECONDS
        limit = choices.film_bytes_max()
        check_size(options.canvas, seconds, max(1, seconds // TOPIC_SCENE_SECONDS), limit, field="target_seconds")
        return VideoRequest(topic, description, script, options)
    if len(script) < MIN_SCRIPT_CHARS:
        raise InvalidInputError(
            f"The script has only {len(script)} characters. Tell a little more: "
            f"at least {MIN_SCRIPT_CHARS} make a video.",
            code="script_too_short",
            field="script",
        )
    _, pieces = split(script)
    if len(pieces) > choices.scenes_max:
        raise InvalidInputError(
            f"The script falls into {len(pieces)} scenes; at most {choices.scenes_max} are allowed. "
            "Join paragraphs or make two videos of it.",
            code="too_many_scenes",
            field="script",
        )
    texts = [p.narration for p in pieces] if any(speakable(p.narration) for p in pieces) else [script]
    options = _paced(options, raw, texts)
    check_size(options.canvas, estimate_seconds(texts, options.speed), len(texts), choices.film_bytes_max())
    return VideoRequest(topic, description, script, options)


def scene_edit(raw: object, choices: Choices) -> SceneEdit:
    """Turn a decoded body into a change of one scene.

    Raises:
        InvalidInputError: with a code and the field that must change.
    """
    if not isinstance(raw, Mapping):
        raise InvalidInputError("The body must be a JSON object.", code="not_an_object", field="body")
    names = [f.name for f in fields(SceneEdit)]
    unknown = [str(k)[:60] for k in raw if k not in names]
    if unknown:
        raise InvalidInputError(
            f"A scene has no `{unknown[0]}` to be changed; it has {', '.join(names)}.",
            code="unknown_option",
            field=unknown[0],
        )
    given = {name: value for name, value in raw.items() if value is not None and (name, value) != ("engine", "")}
    if not given:
        raise InvalidInputError(f"Give at least one of {', '.join(names)}.", code="nothing_to_change", field="body")
    limits = {"narration": SCENE_TEXT_CHARS, "visual_prompt": SCENE_TEXT_CHARS, "title": column_size(SCENES, "title")}
    changes: dict[str, Any] = {name: _scene_text(given, name, limits[name]) for name in limits if name in given}
    if "engine" in given:
        changes["engine"] = _choice(given, "engine", choices.engines, None)
    return SceneEdit(**changes)


def _scene_text(raw: Mapping[str, Any], field: str, limit: int) -> str:
    """One line of text with something in it: what is spoken must have letters to say."""
    text = " ".join(_text(raw, field, limit).split())
    if not text or (field == "narration" and not speakable(text)):
        raise InvalidInputError(f"`{field}` holds nothing that can be used.", code=f"{field}_empty", field=field)
    return text

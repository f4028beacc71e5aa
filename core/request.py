"""Which requests are videos: every field checked, with a sentence, a code and the field's name for each refusal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from core import checks
from core.captions import CAPTION_STYLES
from core.documents import ASPECTS, AUTO, QUALITIES, SHORT_SIDES, Canvas, Options
from core.errors import InvalidInputError
from core.schema import FILMS, VIDEOS, bucket, column_size
from core.text import TOPIC_SCENE_SECONDS, TOPIC_SECONDS, estimate_seconds, speakable, split
from core.wishes import PROGRAMS, plan_of, wishes_of

MIN_SCRIPT_CHARS = 60
PACE_RANGE = (0.8, 1.4)  # how far the speed may be bent to meet a wished length
_ENVELOPE = frozenset({"topic", "description", "script", "scenes", "userId", "idempotency_key"})
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
    plan: str = ""  # JSON: the scenes, where they were given one by one


def amount(raw: Mapping[str, Any], field: str) -> float:
    """An amount in dollars; 0 when it is missing. Raises InvalidInputError naming the field."""
    return checks.number(raw, field, 0, 1000, 0)


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
            field=name or "body",  # a key may be empty
        )
    language = checks.token(
        raw, "language", r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", "a language tag such as en or pt-BR"
    )
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
        aspect=checks.choice(raw, "aspect", ASPECTS, "9:16"),
        resolution=int(checks.choice(raw, "resolution", SHORT_SIDES, 1080)),
        voice=checks.token(raw, "voice", r"[A-Za-z0-9_+./-]{1,64}", "a voice id as `scenewright voices` lists them"),
        speed=checks.number(raw, "speed", 0.5, 2.0, 1.0),
        style=checks.choice(raw, "style", (AUTO, *(s for s in choices.styles if s != AUTO)), AUTO),
        engine=checks.choice(raw, "engine", (AUTO, *choices.engines), AUTO),
        quality=checks.choice(raw, "quality", QUALITIES, "fast"),
        captions=checks.choice({"captions": captions}, "captions", ("off", *CAPTION_STYLES), "highlight"),
        music_file_id=checks.upload(raw, "music_file_id"),
        title=checks.text(raw, "title", 120),
        audience=checks.text(raw, "audience", 200),
        target_seconds=int(checks.number(raw, "target_seconds", 5, 1800, 0)),
        max_cost_usd=amount(raw, "max_cost_usd"),
        seed=int(checks.number(raw, "seed", 0, 2**31 - 1, 0)),
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
    topic = checks.text(raw, "topic", column_size(VIDEOS, "topic"))
    description = checks.text(raw, "description", column_size(VIDEOS, "description"))
    script = checks.text(raw, "script", column_size(VIDEOS, "script"))
    if raw.get("scenes") is not None:
        return _of_scenes(raw, choices, topic or script, description)
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
    _refuse_unwritten(options.engine, choices, "engine")
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


def _refuse_unwritten(engine: str, choices: Choices, field: str) -> None:
    """A scene that a program animates needs one, and without a language model nobody writes it."""
    if engine == PROGRAMS and not choices.topics:
        raise InvalidInputError(
            f"The engine {PROGRAMS} needs a program for each scene, and this deployment has no language model to "
            "write it: give the scenes one by one, each with its `code`.",
            code="no_writer",
            field=field,
        )


def _of_scenes(raw: Mapping[str, Any], choices: Choices, other: str, description: str) -> VideoRequest:
    """A request that gives its scenes one by one; `other`: what else it gives to be told."""
    if other:
        raise InvalidInputError(
            "Give one of `scenes`, `script` and `topic`: a film has one story.", code="two_stories", field="scenes"
        )
    options = options_of(raw, choices)
    plan = plan_of(raw["scenes"], choices.engines, choices.scenes_max)
    for place, wish in enumerate(wishes_of(plan)):
        if not (wish.code or wish.picture_file_id or wish.clip_file_id):
            engine = options.engine if wish.engine in ("", AUTO) else wish.engine
            _refuse_unwritten(engine, choices, f"scenes[{place}].engine")
    texts = [wish.narration for wish in wishes_of(plan)]
    options = _paced(options, raw, texts)
    seconds = estimate_seconds(texts, options.speed)
    check_size(options.canvas, seconds, len(texts), choices.film_bytes_max(), field="scenes")
    return VideoRequest("", description, "", options, plan)

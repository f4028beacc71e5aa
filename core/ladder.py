"""What stands in for what cannot be made: tries while an error may pass, then one step down at a time."""

from __future__ import annotations

import json
import random
import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

from core.documents import Scene
from core.errors import (
    EngineError,
    InvalidInputError,
    MissingToolError,
    ScenewrightError,
    StoppedError,
    of_system,
)
from core.ports import Clock
from core.status import SceneStatus

TRIES = 3  # of one asset in one attempt, when the error may pass
_PROMPT_WORDS, _PROMPT_CHARS = 8, 120
_KEY_LETTERS = 4  # shorter words seldom name a thing
_STAGE_CHARS = 500
_STORYBOARD = "storyboard"  # what of a video, beside the assets of its scenes, can be otherwise than asked
# letters that any voice may be asked to say, beside these marks
_MARKS = frozenset(" .,;:!?'’-")

T = TypeVar("T")


class StandIn(StrEnum):
    """What stands in for what was asked; the value is what people read."""

    SIMPLER_PROMPT = "a picture of a simpler prompt"
    TITLE_CARD = "a title card"
    SPOKEN = "the narration, spoken"
    SIMPLER_TEXT = "a simpler text"
    SILENCE = "silence"


Rung = tuple[StandIn | None, Callable[[], T]]  # what it makes instead of what was asked (None: nothing else), and how
_LAST = frozenset({StandIn.TITLE_CARD, StandIn.SILENCE})


@dataclass(frozen=True, slots=True)
class Step:
    """One asset of a scene that is not what was asked."""

    what: str  # voice, picture or clip
    why: str  # the sentence of the first error
    used: StandIn


class CannotMakeError(Exception):
    """An engine cannot make an asset, and something simpler may stand in.

    Attributes:
        cause: the engine's last error.
    """

    def __init__(self, cause: ScenewrightError) -> None:
        super().__init__(cause.sentence)
        self.cause = cause


# ---- trying


def with_tries(
    make: Callable[[], T], clock: Clock, backoff: float, again: Callable[[int, ScenewrightError], None]
) -> T:
    """Call `make`, up to TRIES times while its error may pass, waiting longer each time.

    Args:
        make: raises ScenewrightError; anything else it raises becomes an EngineError with the cause chained.
        clock: where the waiting is done.
        backoff: seconds before the second try, on the average; twice as long before each further one.
        again: called before each wait with the number of the coming try and the error.
    """
    for number in range(2, TRIES + 2):
        try:
            return _in_sentences(make)
        except ScenewrightError as error:
            if not error.retryable or number > TRIES:
                raise
            again(number, error)
            clock.sleep(backoff * 2 ** (number - 2) * random.uniform(0.7, 1.3))
    raise AssertionError("unreachable")


def _in_sentences(make: Callable[[], T]) -> T:
    """Call an engine; what it did not foresee is its error too, and costs no other scene."""
    try:
        return make()
    except ScenewrightError:
        raise
    except (OSError, MemoryError) as error:
        raise of_system(error) from error
    except Exception as error:
        raise EngineError(f"The engine broke ({type(error).__name__}).", code="engine_broke") from error


def may_stand_in(error: ScenewrightError, *, last_attempt: bool) -> bool:
    """Whether something simpler may be made after this error of an engine.

    Not when the machine or the request is at fault, which is the same for every scene; nor, before the last attempt,
    when a later one may succeed.
    """
    if isinstance(error, StoppedError | MissingToolError | InvalidInputError):
        return False
    return last_attempt or not error.retryable


def descend(
    rungs: Sequence[tuple[StandIn | None, Callable[[], T]]], at: StandIn | None, step: Callable[..., None]
) -> T:
    """Make an asset on the first rung that holds.

    Args:
        rungs: from what was asked (None) down; each raises CannotMakeError when it does not hold.
        at: where an earlier attempt stood; what is above is not tried again.
        step: called with the next rung and the error before it is tried.

    Raises:
        ScenewrightError: the last rung's cause.
    """
    names = [name for name, _ in rungs]
    first = names.index(at) if at in names else 0
    for place in range(first, len(rungs)):
        try:
            return rungs[place][1]()
        except CannotMakeError as error:
            if place + 1 == len(rungs):
                raise error.cause from error
            step(names[place + 1], error.cause)
    raise AssertionError("unreachable")


# ---- simpler inputs


def simpler_prompt(title: str, prompt: str) -> str:
    """The scene's title and the longest words of its prompt, each once: at most eight words and 120 characters."""
    asked = [w for w in _words(prompt) if len(w) >= _KEY_LETTERS]
    words = dict.fromkeys([*_words(title), *sorted(asked, key=len, reverse=True)])
    return " ".join(list(words)[:_PROMPT_WORDS])[:_PROMPT_CHARS].strip()


def _words(text: str) -> list[str]:
    """The words of a text in lower case, without marks around them."""
    return [bare.lower() for word in text.split() if (bare := word.strip(".,;:!?()\"'"))]


def simpler_text(text: str) -> str:
    """The text with nothing in it but letters, digits and the commonest marks."""
    plain = unicodedata.normalize("NFKC", text)
    kept = "".join(c if c in _MARKS or unicodedata.category(c)[0] in "LMN" else " " for c in plain)
    joined = re.sub(r"\s+(?=[.,;:!?])", "", kept)  # marks stay with the word before them
    return " ".join(word for word in joined.split() if any(c.isalnum() for c in word))


# ---- what is written down


class Ladder:
    """On which step each asset of one scene stands; a step down is written at once. Used by several threads."""

    def __init__(self, scene: Scene, write: Callable[[str, Step], None]) -> None:
        """write: keeps the column's text; also called with the step that is new in it."""
        self._steps = {step.what: step for step in steps_of(scene)}
        self._write = write
        self._lock = threading.Lock()

    def at(self, what: str) -> StandIn | None:
        """What stands in for this asset now."""
        step = self._steps.get(what)
        return step.used if step else None

    def step(self, what: str, used: StandIn, error: ScenewrightError) -> None:
        """Go down one step; the reason stays that of the first one."""
        with self._lock:
            before = self._steps.get(what)
            step = Step(what, before.why if before else error.sentence, used)
            self._steps[what] = step
            self._write(column(tuple(self._steps.values())), step)


def column(steps: Sequence[Step]) -> str:
    """The column `substitution`: what, why and used for people, and the steps one by one."""
    if not steps:
        return ""
    row: dict[str, Any] = {
        "what": " and ".join(s.what for s in steps),
        "why": " ".join(dict.fromkeys(s.why for s in steps)),
        "used": " and ".join(dict.fromkeys(s.used for s in steps)),
        "steps": [asdict(s) for s in steps],
    }
    return json.dumps(row, ensure_ascii=False)


def steps_of(scene: Scene) -> tuple[Step, ...]:
    """Read what `column` wrote."""
    raw = json.loads(scene.substitution or "{}").get("steps", [])
    return tuple(Step(s["what"], s["why"], StandIn(s["used"])) for s in raw)


def substitutions(scenes: Sequence[Scene], before: str = "") -> str:
    """The video's column of that name: every scene and asset that is not what was asked; empty when all is.

    `before`: the column as it is; what it says of the storyboard stays.
    """
    rows = _of_storyboard(before)
    rows += [{"scene": s.scene_number, **asdict(step)} for s in scenes for step in steps_of(s)]
    return json.dumps(rows, ensure_ascii=False) if rows else ""


def of_storyboard(warnings: Sequence[str]) -> str:
    """The same column of a video that was only planned: what a planner could not do as asked, under scene 0."""
    rows = [{"scene": 0, "what": _STORYBOARD, "why": why, "used": "plain words"} for why in warnings]
    return json.dumps(rows, ensure_ascii=False) if rows else ""


def _of_storyboard(column: str) -> list[dict[str, Any]]:
    return [row for row in json.loads(column or "[]") if row.get("what") == _STORYBOARD]


def said_of(number: int, step: Step) -> str:
    """One substitution as a part of a sentence."""
    match step.what, step.used:
        case "voice", StandIn.SILENCE:
            text = f"the voice of scene {number} was replaced by silence"
        case _, StandIn.TITLE_CARD:
            text = f"scene {number} was replaced by a title card"
        case "voice", StandIn.SPOKEN:
            text = f"the sound of scene {number} was replaced by its narration, spoken"
        case "voice", _:
            text = f"the voice of scene {number} says a simpler text"
        case _:
            text = f"the picture of scene {number} was made from a simpler prompt"
    return f"{text}: {step.why}"


def completed_stage(scenes: Sequence[Scene], before: str = "") -> str:
    """What a watcher reads under a finished video; `before`: its column `substitutions` until then."""
    said = [str(row["why"]).rstrip(".") for row in _of_storyboard(before)]
    said += [said_of(s.scene_number, step).rstrip(".") for s in scenes for step in steps_of(s)]
    return "; ".join(["Your video is ready", *said])[:_STAGE_CHARS]


def verdict(scenes: Sequence[Scene]) -> tuple[str, str] | None:
    """Why scenes that are all settled make no film: (code, sentence), or None when they do.

    A film needs every scene, and at least one that has a picture of its own and one that has a voice.
    """
    failed = [s for s in scenes if s.status is SceneStatus.FAILED]
    causes = [s.error_message for s in failed] + [step.why for s in scenes for step in steps_of(s)]
    lost = {
        used: [s for s in scenes if s.status is SceneStatus.FAILED or used in {step.used for step in steps_of(s)}]
        for used in _LAST
    }
    if scenes and any(len(found) == len(scenes) for found in lost.values()):
        return "all_scenes_failed", f"No scene could be made as asked. {causes[0]}"
    if failed:
        return "scene_failed", f"Scene {failed[0].scene_number} could not be made: {failed[0].error_message}"
    return None

"""What a planner needs of a language model: one question, one answer in time, and four ways of not getting it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from pydantic import BaseModel

from core.errors import EngineError

T = TypeVar("T")


class Trouble(StrEnum):
    """Why there is no answer."""

    BUSY = "busy"  # too many calls: it may answer later
    DOWN = "down"  # no answer, or one that is none: it may answer when asked again
    BLOCKED = "blocked"  # the model does not want to speak of this
    CUT = "cut"  # the answer ended in the middle
    MISCONFIGURED = "misconfigured"  # key, model or address: asking again does not help


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked."""

    system: str  # instructions, ours alone
    user: str  # data, a user's words in it
    schema: type[BaseModel]  # of the answer
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0  # what it thought included: that is paid alike


class ModelError(EngineError):
    """There is no usable answer. The sentence is ours; what the service said is only the cause."""

    def __init__(
        self, trouble: Trouble, sentence: str, *, again_after: float | None = None, used: Reply | None = None
    ) -> None:
        super().__init__(sentence, code=f"planner_{trouble}")
        self.trouble = trouble
        self.again_after = again_after  # seconds, if the service said so
        self.used = used  # tokens that were paid for all the same


class LanguageModel(Protocol):
    """A service that answers questions in a given form."""

    id: str
    name: str  # of the model

    def ask(self, question: Question, seconds: float) -> Reply:
        """Answer within so many seconds, whatever the service does. Raises ModelError."""
        ...


def within(seconds: float, begun: float, call: Callable[[], T], stop: Callable[[], None]) -> T:
    """Wait so long for a call that is known to end some day; then `stop` it and go on without it.

    Timeouts of HTTP clients begin anew with every byte, so a service that dribbles is not stopped by them.

    Args:
        seconds: how long, since `begun`.
        begun: time.monotonic.
        call: what is waited for; it goes on in a thread of its own.
        stop: lets it end soon.

    Raises:
        ModelError: it took too long. What the call raises is raised.
    """
    box: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((call(), None))
        except BaseException as error:  # handed over to who waits
            box.put((None, error))

    threading.Thread(target=run, name="language-model", daemon=True).start()
    try:
        value, error = box.get(timeout=max(begun + seconds - time.monotonic(), 0.001))
    except queue.Empty:
        stop()
        raise ModelError(Trouble.DOWN, f"The language model did not answer within {seconds:.0f} s.") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]

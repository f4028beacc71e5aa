"""Programs of scenes by a language model: written from what a scene tells, mended by what went wrong."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any, Protocol

from pydantic import BaseModel, Field

from core.documents import Spent
from core.engines import script_prompts as prompts
from core.engines.script_model import LanguageModel, ModelError, Question, Reply, Trouble
from core.engines.script_slots import Slots
from core.errors import EngineError, WaitError
from core.ports import Clock
from core.prices import tokens_usd

log = logging.getLogger(__name__)

_CALL_SECONDS = 120.0
_SLOT_WAIT = timedelta(seconds=65)  # for a slot of the next minute
_MAY_PASS = (Trouble.BUSY, Trouble.DOWN, Trouble.CUT)
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\n(.*?)\n?```\s*$", re.DOTALL)


class CodeWriter(Protocol):
    """Somebody who writes programs."""

    name: str  # of the model and its instructions: what it writes depends on them

    def write(self, wanted: Mapping[str, Any], user: Mapping[str, Any]) -> str:
        """A program. `wanted` is ours, `user` the matter it is about. Raises EngineError."""
        ...

    def take_bill(self) -> Sequence[Spent]:
        """What was paid for since the last call of this."""
        ...


class Program(BaseModel):
    """The form of an answer."""

    code: str = Field(description="The whole Python program, without any fence around it.")


class ModelWriter:
    """Implements CodeWriter with a language model."""

    def __init__(self, model: LanguageModel, slots: Slots, clock: Clock, prompt_id: str = "manim") -> None:
        """Nothing is asked yet."""
        self._model, self._slots, self._clock = model, slots, clock
        self._prompt = prompts.load(prompt_id)
        self.name = f"{model.name or model.id}/{self._prompt.name}"
        self._bill: list[Spent] = []
        self._lock = Lock()

    def write(self, wanted: Mapping[str, Any], user: Mapping[str, Any]) -> str:
        """See CodeWriter. Errors that may pass are retryable."""
        self._take_slot()
        text = prompts.question(wanted, user)
        begun = time.monotonic()
        try:
            question = Question(self._prompt.text, text, Program, self._prompt.max_output_tokens)
            reply = self._model.ask(question, _CALL_SECONDS)
        except ModelError as error:
            self._note(error.used, begun)
            raise EngineError(error.sentence, code=error.code, retryable=error.trouble in _MAY_PASS) from error
        self._note(reply, begun)
        return _code_of(reply.text)

    def take_bill(self) -> Sequence[Spent]:
        """See CodeWriter."""
        with self._lock:
            bill, self._bill = self._bill, []
        return bill

    def _note(self, reply: Reply | None, begun: float) -> None:
        into, out = (reply.input_tokens, reply.output_tokens) if reply else (0, 0)
        usd = tokens_usd(self._model.name, into, out)
        with self._lock:
            self._bill.append(Spent(self._model.name, 1, into, out, round(time.monotonic() - begun, 3), usd))

    def _take_slot(self) -> None:
        """Wait for a slot of the next minute; one of tomorrow is not waited for."""
        while True:
            try:
                return self._slots.take()
            except WaitError as error:
                wait = error.again_at - self._clock.now()
                if wait > _SLOT_WAIT:
                    raise EngineError(error.sentence, code="no_calls_left") from error
                self._clock.sleep(max(wait.total_seconds(), 0.1))


def _code_of(answer: str) -> str:
    """The program of an answer, also of one that puts a fence around it. Raises EngineError."""
    try:
        code = Program.model_validate_json(answer).code
    except ValueError as error:
        sentence = "The language model's answer holds no program."
        raise EngineError(sentence, code="planner_down", retryable=True) from error
    fenced = _FENCE.match(code)
    return (fenced[1] if fenced else code).strip() + "\n"

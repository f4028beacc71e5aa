"""Gemini as the planner's language model, by Google's own SDK, which is loaded when the first question is asked."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.engines.script_model import ModelError, Question, Reply, Trouble, within

if TYPE_CHECKING:
    from google.genai import types
    from google.genai.errors import APIError

MODEL = "gemini-3.1-flash-lite"
_BLOCKS = frozenset("SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII LANGUAGE IMAGE_SAFETY".split())
_CUT = "MAX_TOKENS"


class GeminiModel:
    """Implements script_model.LanguageModel."""

    id = "gemini"

    def __init__(self, key: str, name: str = "", url: str = "") -> None:
        """Nothing is loaded or asked yet.

        Args:
            key: of the Gemini API.
            name: of the model; empty: MODEL.
            url: of the API, without its version; empty: Google's own.
        """
        self.name = name or MODEL
        self._key, self._url = key, url

    def ask(self, question: Question, seconds: float) -> Reply:
        """See script_model.LanguageModel."""
        begun = time.monotonic()
        if not self._key:
            raise ModelError(Trouble.MISCONFIGURED, "Gemini needs a key: set GEMINI_API_KEY on the function.")
        try:
            from google import genai
            from google.genai import errors, types
        except ImportError as error:
            raise ModelError(Trouble.MISCONFIGURED, "Gemini needs the package google-genai: install it.") from error
        client = genai.Client(
            api_key=self._key,
            vertexai=False,
            http_options=types.HttpOptions(base_url=self._url or None, timeout=max(1, round(seconds * 1000))),
        )
        config = types.GenerateContentConfig(
            system_instruction=question.system,
            response_mime_type="application/json",
            response_schema=question.schema,
            max_output_tokens=question.max_tokens,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),  # there are no functions
        )

        def call() -> types.GenerateContentResponse:
            return client.models.generate_content(model=self.name, contents=question.user, config=config)

        try:
            return _reply(within(seconds, begun, call, client.close))
        except ModelError:
            raise
        except errors.APIError as error:
            raise _translated(error, self.name) from error
        except Exception as error:  # of the SDK, its HTTP client and its parser: too many to name
            sentence = f"Gemini gave no answer that can be read ({type(error).__name__})."
            raise ModelError(Trouble.DOWN, sentence) from error
        finally:
            with contextlib.suppress(Exception):
                client.close()


def _reply(response: types.GenerateContentResponse) -> Reply:
    """What it says, or why it says nothing."""
    usage = response.usage_metadata
    paid_in = (usage and usage.prompt_token_count) or 0
    paid_out = ((usage and usage.candidates_token_count) or 0) + ((usage and usage.thoughts_token_count) or 0)
    used = Reply("", paid_in, paid_out)
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise ModelError(Trouble.BLOCKED, f"Gemini refuses this text ({_word(feedback.block_reason)}).", used=used)
    candidate = response.candidates[0] if response.candidates else None
    finish = _word(candidate.finish_reason) if candidate is not None and candidate.finish_reason else ""
    if finish in _BLOCKS:
        raise ModelError(Trouble.BLOCKED, f"Gemini held its answer back ({finish}).", used=used)
    if finish == _CUT:
        raise ModelError(Trouble.CUT, "The answer was cut off: it was too long.", used=used)
    content = candidate.content if candidate is not None else None
    parts = (content.parts if content is not None else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    if not text:
        raise ModelError(Trouble.DOWN, f"Gemini answered nothing ({finish or 'no reason given'}).", used=used)
    return Reply(text, paid_in, paid_out)


def _word(value: Any) -> str:
    """The name of a reason: letters alone, whatever the service sent."""
    return re.sub(r"[^A-Z_]", "", str(getattr(value, "value", value)).upper())[:40]


def _translated(error: APIError, model: str) -> ModelError:
    """Our word for what the API refused. Its own sentence is left out: it may name what nobody should read."""
    code, status = int(error.code or 0), _word(error.status or "")
    details = _details(error)
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    if code == 429:
        wait = _seconds(_retry_delay(details) or headers.get("retry-after", ""))
        return ModelError(Trouble.BUSY, "Gemini takes no more calls just now (429).", again_after=wait)
    if code in (408, 499) or code >= 500:
        wait = _seconds(headers.get("retry-after", ""))
        return ModelError(Trouble.DOWN, f"Gemini is out of order ({code} {status}).", again_after=wait)
    if code in (401, 403) or any(d.get("reason") == "API_KEY_INVALID" for d in details):
        return ModelError(Trouble.MISCONFIGURED, f"Gemini refuses the key in GEMINI_API_KEY ({code} {status}).")
    if code == 404:
        sentence = f"Gemini knows no model {model!r}: set SCENEWRIGHT_PLANNER_MODEL."
        return ModelError(Trouble.MISCONFIGURED, sentence)
    return ModelError(Trouble.MISCONFIGURED, f"Gemini does not take the question ({code} {status}).")


def _details(error: APIError) -> list[Mapping[str, Any]]:
    raw: Any = error.details
    inner = raw.get("error", raw) if isinstance(raw, Mapping) else {}
    found = inner.get("details", []) if isinstance(inner, Mapping) else []
    return [d for d in found if isinstance(d, Mapping)] if isinstance(found, list) else []


def _retry_delay(details: list[Mapping[str, Any]]) -> str:
    return next((str(d["retryDelay"]) for d in details if "retryDelay" in d), "")


def _seconds(text: str) -> float | None:
    """Read "37s", "0.5s" or "37"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s?", text.strip())
    return float(match[1]) if match else None

"""Any endpoint that speaks OpenAI's chat completions as the planner's language model, a local server for example."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import requests

from core.engines.script_model import ModelError, Question, Reply, Trouble, within

_ANSWER_BYTES = 2_000_000  # a longer answer is none


class OpenAiModel:
    """Implements script_model.LanguageModel."""

    id = "openai"

    def __init__(self, url: str, name: str, key: str = "") -> None:
        """Nothing is asked yet.

        Args:
            url: of the API, ending in its version ("/v1").
            name: of the model.
            key: shown as a bearer token; empty: none.
        """
        self.name = name
        self._url = url.rstrip("/")
        self._key = key

    def ask(self, question: Question, seconds: float) -> Reply:
        """See script_model.LanguageModel."""
        schema = {"name": "answer", "schema": strict(question.schema.model_json_schema()), "strict": True}
        body = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": question.system},
                {"role": "user", "content": question.user},
            ],
            "response_format": {"type": "json_schema", "json_schema": schema},
            "max_tokens": question.max_tokens,
        }
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        session = requests.Session()
        session.trust_env = False  # a netrc file must not put another key in

        def call() -> tuple[int, Mapping[str, str], bytes]:
            url = f"{self._url}/chat/completions"
            timeout = (min(seconds, 5.0), seconds)
            with session.post(
                url, json=body, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            ) as got:
                return got.status_code, got.headers, got.raw.read(_ANSWER_BYTES + 1, decode_content=True)

        try:
            status, sent, raw = within(seconds, time.monotonic(), call, session.close)
        except ModelError:
            raise
        except Exception as error:  # of requests and of urllib3 below it
            sentence = f"The language model cannot be reached ({type(error).__name__})."
            raise ModelError(Trouble.DOWN, sentence) from error
        finally:
            session.close()
        if status != 200:
            raise _translated(status, sent, self.name)
        return _reply(raw)


def strict(schema: Any) -> Any:
    """The same JSON schema as strict servers want it: no property but those that are named."""
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if schema.get("type") == "object" else {}
    return {**{name: strict(value) for name, value in schema.items()}, **closed}


def _reply(raw: bytes) -> Reply:
    try:
        body: Any = json.loads(raw) if len(raw) <= _ANSWER_BYTES else {}
        choice = body["choices"][0]
        message, finish = choice["message"], str(choice.get("finish_reason"))
        usage = body.get("usage") or {}
        used = Reply("", int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        text, refusal = message.get("content") or "", message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(Trouble.DOWN, "The language model gave no answer that can be read.") from error
    if refusal or finish == "content_filter":
        raise ModelError(Trouble.BLOCKED, "The language model refuses this text.", used=used)
    if finish == "length":
        raise ModelError(Trouble.CUT, "The answer was cut off: it was too long.", used=used)
    if not isinstance(text, str) or not text:
        raise ModelError(Trouble.DOWN, "The language model answered nothing.", used=used)
    return Reply(text, used.input_tokens, used.output_tokens)


def _translated(status: int, headers: Mapping[str, str], model: str) -> ModelError:
    wait = headers.get("retry-after", "")
    seconds = float(wait) if wait.isdecimal() else None
    if status == 429:
        return ModelError(Trouble.BUSY, "The language model takes no more calls just now (429).", again_after=seconds)
    if status == 408 or status >= 500:
        return ModelError(Trouble.DOWN, f"The language model is out of order ({status}).", again_after=seconds)
    if status in (401, 403):
        sentence = f"The language model refuses the key in SCENEWRIGHT_PLANNER_KEY ({status})."
        return ModelError(Trouble.MISCONFIGURED, sentence)
    if status == 404:
        sentence = f"There is no model {model!r} at SCENEWRIGHT_PLANNER_URL (404)."
        return ModelError(Trouble.MISCONFIGURED, sentence)
    return ModelError(Trouble.MISCONFIGURED, f"The language model does not take the question ({status}).")

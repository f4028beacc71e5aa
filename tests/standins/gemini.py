"""A local server that speaks Gemini's REST as Google's client calls it, and fails in every way the real one can."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.standins import writer

KEY = "AIza-the-right-key-of-the-standin"
MODEL = "gemini-3.1-flash-lite"
PROMPT_TOKENS, ANSWER_TOKENS, THOUGHT_TOKENS = 1200, 800, 100
_BLOCK_REASON = {"prompt_blocked": "SAFETY"}
_FINISH = {"cut": "MAX_TOKENS", "answer_blocked": "SAFETY", "recitation": "RECITATION"}


def error_body(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """An error as Google's APIs answer it."""
    return {"error": {"code": code, "message": message, "status": status, "details": details or []}}


def _errors(key: str) -> dict[str, tuple[int, dict[str, Any]]]:
    info = "type.googleapis.com/google.rpc.ErrorInfo"
    return {
        "bad_key": (
            400,
            error_body(
                400,
                "INVALID_ARGUMENT",
                f"API key not valid: {key}",
                [{"@type": info, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
            ),
        ),
        "forbidden": (403, error_body(403, "PERMISSION_DENIED", f"The key {key} may not do this.")),
        "no_model": (404, error_body(404, "NOT_FOUND", "models/x is not found for API version v1beta")),
        "bad_request": (400, error_body(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")),
        "busy": (429, error_body(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", [_retry_info("1s")])),
        "busy_long": (429, error_body(429, "RESOURCE_EXHAUSTED", "Quota of the day.", [_retry_info("3600s")])),
        "down": (500, error_body(500, "INTERNAL", "An internal error has occurred.")),
        "overloaded": (503, error_body(503, "UNAVAILABLE", "The model is overloaded.")),
    }


def _retry_info(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


class Gemini:
    """The server. `tricks`: what goes wrong in the next calls, one each; `always`: in every call after them."""

    def __init__(self) -> None:
        self.tricks: list[str] = []
        self.always = ""
        self.bodies: list[dict[str, Any]] = []  # of the calls, as they came
        self.keys: list[str] = []
        self.at: list[float] = []  # time.monotonic of each call
        self.programs: list[str] = []  # what it writes when it is asked for programs, the last one for ever
        self.wrong: list[str] = []  # what a real server would not have understood
        self.slow_seconds = 30.0  # how long silent and dribbling answers go on
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def reset(self, *tricks: str, always: str = "") -> None:
        """Forget what came, and set what goes wrong."""
        with self._lock:
            self.tricks, self.always = list(tricks), always
            self.bodies, self.keys, self.at, self.wrong = [], [], [], []

    def close(self) -> None:
        """Stop; calls that are being answered end."""
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The user turns of all calls, decoded."""
        return [writer.asked(body["contents"][0]["parts"][0]["text"]) for body in self.bodies]

    def _next(self) -> str:
        with self._lock:
            return self.tricks.pop(0) if self.tricks else self.always

    def _check(self, path: str, body: dict[str, Any]) -> list[str]:
        """What is wrong with a call."""
        config = body.get("generationConfig", {})
        schema = config.get("responseSchema", {})
        contents = body.get("contents", [])
        system = body.get("systemInstruction", {}).get("parts", [{}])
        rules = {
            "the path": path == f"/v1/models/{MODEL}:generateContent",
            "one user turn with one text": len(contents) == 1
            and contents[0].get("role") == "user"
            and [set(part) for part in contents[0].get("parts", [])] == [{"text"}],
            "one system instruction": len(system) == 1 and bool(system[0].get("text")),
            "JSON is wanted": config.get("responseMimeType") == "application/json",
            "a schema of an object": schema.get("type") == "OBJECT"
            and ({"title", "scenes"} <= set(schema["properties"]) or {"code"} == set(schema["properties"])),
            "a limit of tokens": config.get("maxOutputTokens", 0) > 1000,
            "no tools": "tools" not in body,
        }
        return [rule for rule, kept in rules.items() if not kept]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                trick = standin._next()
                standin.bodies.append(body)
                standin.keys.append(self.headers.get("x-goog-api-key", ""))
                standin.at.append(time.monotonic())
                standin.wrong += standin._check(self.path, body)
                key = standin.keys[-1]
                if key != KEY:
                    trick = "bad_key"
                errors = _errors(key)
                if trick in errors:
                    code, answer = errors[trick]
                    self._send(code, answer)
                elif trick == "hang_up":
                    self.close_connection = True
                    self.connection.close()
                elif trick == "silent":
                    standin._closing.wait(standin.slow_seconds)
                    self.close_connection = True
                elif trick == "not_json":
                    self._raw(200, b"<html>Bad gateway</html>", "text/html")
                else:
                    self._send(200, standin._answer(body, trick), slowly=trick == "dribble")

            def _send(self, code: int, answer: dict[str, Any], *, slowly: bool = False) -> None:
                self._raw(code, json.dumps(answer).encode(), "application/json; charset=UTF-8", slowly=slowly)

            def _raw(self, code: int, raw: bytes, kind: str, *, slowly: bool = False) -> None:
                self.send_response(code)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                try:
                    if slowly:
                        self._dribble(raw)
                    else:
                        self.wfile.write(raw)
                except OSError:
                    self.close_connection = True  # the client has given up

            def _dribble(self, raw: bytes) -> None:
                """One byte after another, so that no timeout of a single read ever comes."""
                ends = time.monotonic() + standin.slow_seconds
                for at in range(len(raw)):
                    if standin._closing.wait(0.2) or time.monotonic() > ends:
                        self.close_connection = True
                        return
                    self.wfile.write(raw[at : at + 1])
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

    def _answer(self, body: dict[str, Any], trick: str) -> dict[str, Any]:
        """A response as the API gives it."""
        usage = {
            "promptTokenCount": PROMPT_TOKENS,
            "candidatesTokenCount": ANSWER_TOKENS,
            "thoughtsTokenCount": THOUGHT_TOKENS,
            "totalTokenCount": PROMPT_TOKENS + ANSWER_TOKENS + THOUGHT_TOKENS,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": PROMPT_TOKENS}],
        }
        about = {"modelVersion": MODEL, "responseId": "yQ4eaYaTHuGkz7IP"}
        if trick in _BLOCK_REASON:
            feedback = {
                "blockReason": _BLOCK_REASON[trick],
                "safetyRatings": [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH"}],
            }
            short = {"promptTokenCount": PROMPT_TOKENS, "totalTokenCount": PROMPT_TOKENS}
            return {"promptFeedback": feedback, "usageMetadata": short, **about}
        if trick == "empty":
            return {"usageMetadata": usage, **about}
        if "code" in body["generationConfig"]["responseSchema"]["properties"]:
            text = json.dumps({"code": self.programs.pop(0) if len(self.programs) > 1 else self.programs[0]})
        else:
            text = writer.write(body["contents"][0]["parts"][0]["text"], trick if trick in writer.BAD else "")
        finish = _FINISH.get(trick, "STOP")
        parts = [{"text": text[: len(text) // 2] if trick == "cut" else text}]
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}
        if finish in ("SAFETY", "RECITATION"):
            del candidate["content"]
        return {"candidates": [candidate], "usageMetadata": usage, **about}


@contextmanager
def gemini() -> Iterator[Gemini]:
    """A running server."""
    running = Gemini()
    try:
        yield running
    finally:
        running.close()

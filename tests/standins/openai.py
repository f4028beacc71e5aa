"""A local server that speaks OpenAI's chat completions, as local model servers do, and fails on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.standins import writer

KEY = "sk-the-key-of-the-local-model"
MODEL = "qwen3-8b-instruct"
_ERRORS = {"bad_key": 401, "no_model": 404, "busy": 429, "down": 500, "bad_request": 400}


class ChatServer:
    """The server. `tricks`: what goes wrong in the next calls, one each; `always`: in every call after them."""

    def __init__(self) -> None:
        self.tricks: list[str] = []
        self.always = ""
        self.bodies: list[dict[str, Any]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, body: dict[str, Any], trick: str) -> dict[str, Any]:
        text = writer.write(body["messages"][1]["content"], trick if trick in writer.BAD else "")
        message: dict[str, Any] = {"role": "assistant", "content": text}
        finish = {"cut": "length", "blocked": "content_filter"}.get(trick, "stop")
        if trick == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        return {
            "id": "chatcmpl-9c1f",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 700, "total_tokens": 1600},
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                standin.bodies.append(body | {"path": self.path, "authorization": self.headers.get("authorization")})
                trick = standin.tricks.pop(0) if standin.tricks else standin.always
                if self.headers.get("authorization") != f"Bearer {KEY}":
                    trick = "bad_key"
                code = _ERRORS.get(trick, 200)
                answer: Any = {"error": {"message": f"no: {KEY}", "type": trick, "code": code}}
                if code == 200:
                    answer = standin._answer(body, trick) if trick != "strange" else {"choices": "none"}
                raw = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                if code == 429:
                    self.send_header("retry-after", "1")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A running server."""
    running = ChatServer()
    try:
        yield running
    finally:
        running.close()

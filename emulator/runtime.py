"""Runs a function's code in a child process: the open-runtimes context, one event loop, several executions at once.

Started by path with the deployment's own interpreter (`python -P runtime.py CHANNEL TOKENS ROOT ENTRYPOINT`), so it
uses the standard library only. CHANNEL is a socket to the server, spoken in length-prefixed JSON; TOKENS is a pipe that
all children of a pool share, one byte per waiting execution: only a child whose loop is free reads one, so an execution
never waits behind blocked code while another child could take it.

Child to server: `ready`, `claim`, `start`, `output`, `done`, `modules`. Server to child: `run`, `nothing`, `retire`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import faulthandler
import importlib
import inspect
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

LENGTH = struct.Struct(">I")
MESSAGE_LIMIT = 8000  # characters of one log message, as open-runtimes keeps them
MISSING_RETURN = "Return statement missing. return context.res.empty() if no response is expected."
NATIVE_NOTE = "Native logs detected. Use context.log() or context.error() for better experience."

Output = dict[str, Any]
Message = dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as it travels: four bytes of length, big endian, then JSON."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


def take_messages(buffer: bytearray) -> list[Message]:
    """Removes the whole messages from the beginning of `buffer` and returns them."""
    messages: list[Message] = []
    while len(buffer) >= LENGTH.size:
        end = LENGTH.size + LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            break
        messages.append(json.loads(buffer[LENGTH.size : end]))
        del buffer[:end]
    return messages


class Request:
    """`context.req`: what the caller sent; headers have lower-case names, query values are decoded."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        self.method: str = call["method"]
        self.headers: dict[str, str] = call["headers"]
        self.scheme, self.host, self.port = call["scheme"], call["host"], call["port"]
        self.body_binary: bytes = base64.b64decode(call["body"])
        parts = urlsplit(call["path"])
        self.path = unquote(parts.path)
        self.query_string = unquote_plus(parts.query)
        pairs = [part.partition("=") for part in parts.query.split("&")]
        self.query = {unquote_plus(key): unquote_plus(value) for key, _, value in pairs if key}
        usual = {"http": 80, "https": 443}.get(self.scheme)
        port = "" if self.port == usual else f":{self.port}"
        self.url = f"{self.scheme}://{self.host}{port}{self.path}" + (f"?{self.query_string}" if parts.query else "")

    @property
    def body_text(self) -> str:
        """The body as UTF-8 text; UnicodeDecodeError where it is none."""
        return self.body_binary.decode()

    @property
    def body_raw(self) -> str:
        """The older name of `body_text`."""
        return self.body_text

    @property
    def body_json(self) -> Any:
        """The body parsed as JSON; json.JSONDecodeError where it is none."""
        return json.loads(self.body_text)

    @property
    def body(self) -> Any:
        """The parsed JSON where the content type says so ({} for an empty body), else the text."""
        if self.headers.get("content-type", "text/plain").lower().startswith("application/json"):
            return self.body_json if self.body_binary else {}
        return self.body_text


class Response:
    """`context.res`: builders of what `main` returns."""

    def binary(self, bytes: bytes, statusCode: int = 200, headers: Mapping[str, str] | None = None) -> Output:  # noqa: A002
        """Bytes as they are."""
        return {"body": bytes, "statusCode": statusCode, "headers": dict(headers or {})}

    def text(self, body: str, statusCode: int = 200, headers: Mapping[str, str] | None = None) -> Output:
        """Text, sent as UTF-8."""
        return self.binary(body.encode(), statusCode, headers)

    def send(self, body: str, statusCode: int = 200, headers: Mapping[str, str] | None = None) -> Output:
        """The older name of `text`."""
        return self.text(body, statusCode, headers)

    def json(self, obj: Any, statusCode: int = 200, headers: Mapping[str, str] | None = None) -> Output:
        """An object as compact JSON."""
        text = json.dumps(obj, separators=(",", ":"))
        return self.text(text, statusCode, {**(headers or {}), "content-type": "application/json"})

    def empty(self) -> Output:
        """Status 204 without a body."""
        return self.text("", 204)

    def redirect(self, url: str, statusCode: int = 301, headers: Mapping[str, str] | None = None) -> Output:
        """A redirect to `url`."""
        return self.text("", statusCode, {**(headers or {}), "location": url})


class Channel:
    """The socket to the server. Sending blocks, so what was logged has left before code that never returns runs on."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._buffer = bytearray()

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Sends one message; ends this process where the server is gone."""
        with self._lock:
            try:
                self._connection.sendall(encode(message))
            except OSError:
                end_process_group()

    def received(self) -> list[Message]:
        """The messages that have come in whole, at once; ends this process where the server is gone."""
        try:
            part = self._connection.recv(262144, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            part = b""
        if not part:
            end_process_group()
        self._buffer += part
        return take_messages(self._buffer)

    def end_with_server(self) -> None:
        """Blocks until the server has closed its end or died, and then ends this process."""
        watch = select.poll()
        watch.register(self._connection, 0)  # nothing but the hang-up, which is always reported
        watch.poll()
        end_process_group()


class Log:
    """The logs and errors of one execution, sent as they come."""

    def __init__(self, channel: Channel, execution_id: str) -> None:
        self._channel, self._id = channel, execution_id
        self._native_noted = False

    def write(self, stream: str, messages: tuple[Any, ...], end: str = "\n") -> None:
        """One line: containers as compact JSON, the rest as text, joined by blanks, cut at 8000 characters each."""
        text = " ".join(_as_text(message)[:MESSAGE_LIMIT] for message in messages)
        self._channel.send({"type": "output", "id": self._id, "stream": stream, "text": text + end})

    def native(self, text: str) -> None:
        """What was printed: it goes to the logs, with a note before the first of it."""
        if not self._native_noted:
            self._native_noted = True
            self.write("logs", (NATIVE_NOTE,))
        self.write("logs", (text,), end="")


def _as_text(message: Any) -> str:
    if isinstance(message, list | dict | tuple):
        return json.dumps(message, separators=(",", ":"), default=str)
    return str(message)


class Context:
    """What `main` is called with."""

    def __init__(self, request: Request, log: Log) -> None:
        self.req = request
        self.res = Response()
        self._log = log

    def log(self, *messages: Any) -> None:
        """Adds a line to the execution's logs."""
        self._log.write("logs", messages)

    def error(self, *messages: Any) -> None:
        """Adds a line to the execution's errors."""
        self._log.write("errors", messages)


_current: contextvars.ContextVar[Log] = contextvars.ContextVar("execution log")


class NativeStream(io.TextIOBase):
    """Stands for stdout and stderr: what an execution prints goes to its own logs, the rest to the server."""

    def __init__(self, outside: Any) -> None:
        self._outside = outside

    def write(self, text: str) -> int:
        """Writes text to the running execution's logs."""
        log = _current.get(None)
        if log is None:
            self._outside.write(text)
            self._outside.flush()
        elif text:
            log.native(text)
        return len(text)

    def writable(self) -> bool:
        """Always."""
        return True


def load(root: Path, entrypoint: str) -> Callable[[Context], Any]:
    """`main` of the entrypoint, imported as open-runtimes does: below the package `function`, without the deployment's
    root on `sys.path`. Raises what the import raises; AttributeError where there is no `main`."""
    package = types.ModuleType("function")
    package.__path__ = [str(root)]
    sys.modules["function"] = package
    module = importlib.import_module("function." + entrypoint.removesuffix(".py").replace("/", "."))
    main: Callable[[Context], Any] = module.main
    return main


def imported_files(root: Path) -> list[str]:
    """The .py files below `root` that are imported now."""
    prefix = str(root) + os.sep
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted({file for file in files if file and file.startswith(prefix) and file.endswith(".py")})


def as_response(output: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower-case names, a content type with its character set) and body of what `main` returned.

    Raises TypeError or ValueError where it is no response.
    """
    if not isinstance(output, dict):
        raise TypeError(f"main returned {type(output).__name__}; return context.res.text(...) or another response.")
    body = output.get("body", b"")
    body = body.encode() if isinstance(body, str) else bytes(body)
    headers = {str(key).lower(): str(value) for key, value in output.get("headers", {}).items()}
    headers = {key: value for key, value in headers.items() if not key.startswith("x-open-runtimes-")}
    content_type = headers.get("content-type", "text/plain").lower()
    if not content_type.startswith("multipart/") and "charset=" not in content_type:
        content_type += "; charset=utf-8"
    return int(output.get("statusCode", 200)), {**headers, "content-type": content_type}, body


class Worker:
    """Serves executions of one deployment until the server retires it or is gone."""

    def __init__(self, channel: Channel, tokens: int, root: Path, entrypoint: str) -> None:
        self._channel, self._tokens, self._root = channel, tokens, root
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = False
        self._modules = 0
        self._main: Callable[[Context], Any] | None = None
        self._load_error = ""
        try:
            self._main = load(root, entrypoint)
        except BaseException:
            self._load_error = traceback.format_exc()

    async def serve(self) -> None:
        """Takes executions until retired and done with those it has."""
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._report_modules()
        self._loop.add_reader(self._channel, self._receive)
        self._listen_for_tokens()
        self._channel.send({"type": "ready", "loaded": self._main is not None})
        await self._done.wait()

    def _receive(self) -> None:
        for message in self._channel.received():
            self._handle(message)

    def _listen_for_tokens(self) -> None:
        if not self._retired:
            self._loop.add_reader(self._tokens, self._claim)

    def _claim(self) -> None:
        with contextlib.suppress(BlockingIOError):  # another child was faster
            if os.read(self._tokens, 1):
                # No second claim before this one has begun: it might be the one that blocks the loop.
                self._loop.remove_reader(self._tokens)
                self._channel.send({"type": "claim"})

    def _handle(self, message: Message) -> None:
        if message["type"] == "retire":
            self._retired = True
            self._loop.remove_reader(self._tokens)
            self._end_if_idle()
            return
        if message["type"] == "nothing":
            self._listen_for_tokens()
            return
        task = self._loop.create_task(self._execute(message))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
        self._report_modules()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._retired and not self._tasks:
            self._done.set()

    def _report_modules(self) -> None:
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._channel.send({"type": "modules", "files": imported_files(self._root)})

    async def _execute(self, call: Message) -> None:
        self._channel.send({"type": "start", "id": call["id"]})
        self._listen_for_tokens()
        log = Log(self._channel, call["id"])
        _current.set(log)
        timed_out = False
        try:
            if self._main is None:
                log.write("errors", (self._load_error,), end="")
                status, headers, body = as_response(Response().text("", 503))
            else:
                status, headers, body = await self._result(self._main, call, log)
        except (Exception, SystemExit) as error:
            timed_out = isinstance(error, LimitReached)
            log.write("errors", ("Execution timed out." if timed_out else traceback.format_exc(),))
            status, headers, body = as_response(Response().text("", 500))
        encoded = base64.b64encode(body).decode()
        done = {"status": status, "headers": headers, "body": encoded, "timed_out": timed_out}
        self._channel.send({"type": "done", "id": call["id"], **done})

    async def _result(
        self, main: Callable[[Context], Any], call: Message, log: Log
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            async with asyncio.timeout(call["timeout"]) as limit:
                output = main(Context(Request(call), log))
                if inspect.isawaitable(output):
                    output = await output
        except TimeoutError:
            if limit.expired():
                raise LimitReached from None
            raise
        if output is None:
            log.write("errors", (MISSING_RETURN,))
            output = Response().text("", 500)
        return as_response(output)


class LimitReached(Exception):
    """The execution's own time is over, told apart from a TimeoutError of the function's code."""


def end_process_group() -> None:
    """Ends this process and every process it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """The child's life. CHANNEL and TOKENS are inherited descriptors, ROOT is a folder, ENTRYPOINT a path below it."""
    faulthandler.enable()
    channel_fd, tokens = int(arguments[0]), int(arguments[1])
    for descriptor in (channel_fd, tokens):
        os.set_inheritable(descriptor, False)  # a process the function starts must not keep the channel open
    connection = socket.socket(fileno=channel_fd)
    connection.setblocking(True)
    sys.stdout = NativeStream(sys.__stdout__)
    sys.stderr = NativeStream(sys.__stderr__)
    channel = Channel(connection)
    # A thread of its own, from before the first line of the function's code: it notices the server's death even while
    # an import never ends or an endless loop holds the event loop.
    threading.Thread(target=channel.end_with_server, daemon=True).start()
    worker = Worker(channel, tokens, Path(arguments[2]), arguments[3])
    asyncio.run(worker.serve())


if __name__ == "__main__":
    main(sys.argv[1:])

"""The whole server as one ASGI application: the way of a request through it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from emulator import (
    accounts,
    auth,
    buckets,
    console,
    deployment_store,
    executions,
    files,
    functions,
    origins,
    proxy,
    realtime,
    staging,
    teams,
    tokens,
    unserved,
    wire,
)
from emulator.builds import Builder
from emulator.database import Database
from emulator.errors import AppwriteError
from emulator.events import Bus
from emulator.executor import Executor
from emulator.keys import Keys
from emulator.limits import Counters, limited
from emulator.routes import ROUTES
from emulator.routing import PREFIX, Router
from emulator.schema import Schema
from emulator.server import Server

log = logging.getLogger(__name__)

_DISCARDED_MAX = 64 * 1024 * 1024  # bytes

# served in every project, the console too
_ANYWHERE = [route for route in ROUTES if route[1] in ("/ping", "/health/version")]


@dataclass
class State:
    """What Starlette's `request.app.state` gives."""

    server: Server


@dataclass
class Console:
    """The project `console`: what stands for the application in its requests, and its routes."""

    state: State
    router: Router


class App:
    """Matches, runs and answers; every failure becomes Appwrite's envelope, never a broken connection."""

    def __init__(self, server: Server) -> None:
        self.state = State(server)
        self._router = Router((*limited(ROUTES, server.limits), *unserved.ROUTES))
        self._hub = realtime.Hub(server)
        assert server.console is not None
        # what Appwrite serves and the console here does not is 501, not 404
        elsewhere = ((method, path, unserved.refuse) for method, path, _ in (*ROUTES, *unserved.ROUTES))
        served = Router((*elsewhere, *_ANYWHERE, *limited(console.ROUTES, server.limits)))
        self._console = Console(State(server.console), served)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(WebSocket(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        origin = request.headers.get("origin", "")
        if scope["method"] == "OPTIONS":
            response = wire.no_content()
        else:
            response = await self._answer(request)
        if response.status_code >= 400 and _is_endless(request):
            response.headers["connection"] = "close"
        response.raw_headers.extend(origins.headers(origin, preflight=scope["method"] == "OPTIONS"))
        await response(scope, receive, send)

    async def _socket(self, socket: WebSocket) -> None:
        if socket.scope["path"] == f"{PREFIX}/realtime":
            await realtime.serve(socket, self._hub)
        else:
            await socket.close()

    async def _answer(self, request: Request) -> Response:
        router = self._router
        if auth.project_of(request) == auth.CONSOLE:
            request.scope["app"], router = self._console, self._console.router
        try:
            handler, request.scope["path_params"] = router.match(request.method, request.scope["path"])
            return await handler(request)
        except AppwriteError as error:
            return wire.failure(error)
        except ClientDisconnect:
            return wire.failure(AppwriteError("general_bad_request", "The request ended before its body was here."))
        except Exception:
            log.exception("%s %s failed", request.method, request.scope["path"])
            return wire.failure(AppwriteError("general_unknown", "Server Error"))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        server = self.state.server
        await receive()
        for start in server.on_start:
            await start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for stop in reversed(server.on_stop):
            await stop()
        for each in (server, self._console.state.server):
            each.db.close()
        await send({"type": "lifespan.shutdown.complete"})


def _is_endless(request: Request) -> bool:
    """Whether what is left of a refused request would take too long to read and throw away."""
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or not length.isdigit() or int(length) > _DISCARDED_MAX


def create_app(data_dir: Path, project_id: str, sources: dict[str, Path] | None = None) -> App:
    """Open (or make) the data folder and build the application on it."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(data_dir / "emulator.sqlite")
    parts = (auth, accounts, teams, functions, deployment_store, executions, buckets, files, tokens, proxy, staging)
    for tables in (part.TABLES for part in parts):
        db.declare(tables)
    server = Server(db, Bus(), Keys(db, project_id), Schema(db), project_id, data_dir, sources=sources or {})
    files.remove_leftovers(server)
    server.limits = Counters()
    server.console = console.open_console(data_dir, project_id)
    server.executor = Executor(server)
    server.on_start.append(server.executor.start)
    server.on_stop.append(server.executor.stop)
    server.builder = Builder(server)
    server.on_start.append(server.builder.start)
    server.on_stop.append(server.builder.stop)
    return App(server)

"""`python -m emulator`: start the server on a data folder, make a key or an operator in it, or tell what it serves."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import sys
from pathlib import Path

import uvicorn

from emulator.app import App, create_app
from emulator.auth import CONSOLE
from emulator.console import make_operator
from emulator.database import Database
from emulator.errors import AppwriteError
from emulator.keys import ALL_SCOPES, Keys
from emulator.protocol import BoundedProtocol

OPEN_FILES = 10_240  # what the strictest system grants without being set up for more


def main() -> int:
    """Parse the command line and run; returns the exit status."""
    if sys.argv[1:2] == ["key"]:
        return make_key(sys.argv[2:])
    if sys.argv[1:2] == ["operator"]:
        return add_operator(sys.argv[2:])
    if sys.argv[1:2] == ["coverage"]:
        return tell_coverage()
    return serve(sys.argv[1:])


def serve(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; says where and with which key on one line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds all state")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--project", default="scenewright", help="project id clients must name")
    parser.add_argument(
        "--source", action="append", default=[], metavar="FUNCTION=DIR", help="run this function from a working tree"
    )
    parser.add_argument("--rate-limits", action="store_true", help="refuse who calls too often, as Appwrite does")
    parser.add_argument("--ready-file", type=Path, help="where to write the endpoint and key once they work")
    options = parser.parse_args(arguments)
    sources = {name: Path(folder).resolve() for name, _, folder in (item.partition("=") for item in options.source)}
    try:
        options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = hold_alone(options.data)
        listener = socket.create_server((options.host, options.port), backlog=2048)
        app = create_app(options.data, options.project, sources)
    except (OSError, ValueError, sqlite3.Error) as error:
        print(f"Cannot start on {options.host}:{options.port} with {options.data}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    server = app.state.server
    server.limits.enforced = options.rate_limits
    server.endpoint = f"http://{options.host}:{listener.getsockname()[1]}/v1"
    ready = {"endpoint": server.endpoint, "project": server.project_id, "key": server.keys.owner_key()}
    # Without it a small answer on a kept connection waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    allow_many_sockets()
    run(app, listener, ready, options.ready_file)
    os.close(lock)
    return 0


def hold_alone(data: Path) -> int:
    """Keep a second server off the folder, whose schema it would not see change; the lock dies with the process."""
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError("another server is using this folder") from None
    return lock


def allow_many_sockets() -> None:
    """Many systems let a process open 1,024 files until it asks for more; a subscriber's socket is one."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def run(app: App, listener: socket.socket, ready: dict[str, str], ready_file: Path | None) -> None:
    """Serve on an open socket and announce it once requests are answered."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,
        ws_ping_interval=None,  # the protocol has its own ping; a second one would only cost
        ws_per_message_deflate=False,  # costs memory per socket and time per event, and saves bytes nobody pays for
        timeout_keep_alive=65,  # longer than clients keep idle connections in their pools
        timeout_graceful_shutdown=1,
        server_header=False,
    )

    async def announce() -> None:
        line = json.dumps(ready)
        if ready_file is not None:
            write_private(ready_file, line)
        print(line, flush=True)  # noqa: T201 - the contract of this command

    app.state.server.on_start.append(announce)
    uvicorn.Server(config).run(sockets=[listener])


def tell_coverage() -> int:
    """Print the text of COVERAGE.md."""
    from emulator.coverage import document

    print(document(), end="")  # noqa: T201 - the contract of this command
    return 0


def write_private(path: Path, content: str) -> None:
    """Write a file others cannot read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    part.replace(path)


def make_key(arguments: list[str]) -> int:
    """Print a new API key with the given scopes; works beside a running server."""
    parser = argparse.ArgumentParser(prog="python -m emulator key")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scopes", required=True, help="comma-separated, such as rows.read,documents.read")
    parser.add_argument("--name", default="key")
    options = parser.parse_args(arguments)
    scopes = frozenset(scope for scope in options.scopes.split(",") if scope)
    if unknown := sorted(scopes - ALL_SCOPES):
        print(f"Unknown scopes: {', '.join(unknown)}", file=sys.stderr)  # noqa: T201
        return 2
    db = Database(options.data / "emulator.sqlite")
    print(Keys(db, "").create(options.name, scopes))  # noqa: T201 - the contract of this command
    db.close()
    return 0


def add_operator(arguments: list[str]) -> int:
    """Print the new password of an operator, who is made where there is none; works beside a running server."""
    parser = argparse.ArgumentParser(prog="python -m emulator operator", description="Let somebody sign in.")
    parser.add_argument("--data", type=Path, required=True, help="folder of a server that was started before")
    parser.add_argument("--email", required=True, help="with which the operator signs in, from this machine only")
    options = parser.parse_args(arguments)
    folder = options.data / CONSOLE
    if not folder.is_dir():
        print(f"{options.data} is not the folder of a server that was started before.", file=sys.stderr)  # noqa: T201
        return 2
    db = Database(folder / "emulator.sqlite")
    try:
        print(make_operator(db, options.email))  # noqa: T201 - the contract of this command
    except AppwriteError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2
    finally:
        db.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

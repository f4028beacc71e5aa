"""Runs the render server of `core.worker` until it is told to stop."""

from __future__ import annotations

import argparse
import socket

import uvicorn

from core import logs
from core.adapters.http_dispatch import LOOPBACK
from core.errors import InvalidInputError
from core.settings import Settings
from core.sweep import sweep
from core.wiring import build_choices, build_parts
from core.worker import build_app


def listen(settings: Settings, host: str, port: int) -> socket.socket:
    """Open the port a worker will answer on.

    Raises:
        InvalidInputError: no server is named to work for (code endpoint_missing), others could reach the worker and
            no token is set (token_needed), or the port cannot be had (port_taken).
    """
    if not settings.endpoint:
        raise InvalidInputError(
            "Set APPWRITE_ENDPOINT, APPWRITE_PROJECT_ID and APPWRITE_API_KEY first; `scenewright up` starts a server "
            "and a worker together.",
            code="endpoint_missing",
            field="APPWRITE_ENDPOINT",
        )
    if host not in LOOPBACK and not settings.render_token:
        raise InvalidInputError(
            f"On {host} others can reach this worker: set SCENEWRIGHT_RENDER_TOKEN first, here and on the function.",
            code="token_needed",
            field="host",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InvalidInputError(
            f"Cannot listen on {host}:{port} ({error.strerror}): choose another with --port.",
            code="port_taken",
            field="port",
        ) from error


def serve(settings: Settings, listener: socket.socket) -> None:
    """Take jobs until SIGTERM or SIGINT; what an earlier run left behind is handed out again first."""
    logs.set_up(settings.log_level)
    parts = build_parts(settings)
    choices = build_choices(settings, parts.files)
    app = build_app(settings, lambda: sweep(parts, choices, after_restart=True))
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """The render server as the local stack starts it: `--host H --port P`, everything else from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    settings = Settings.from_env()
    serve(settings, listen(settings, arguments.host, arguments.port))

"""Runs the render server of `core.worker` until it is told to stop."""

from __future__ import annotations

import argparse
import logging

import uvicorn

from core.adapters.http_dispatch import LOOPBACK
from core.errors import InvalidInputError
from core.settings import Settings
from core.sweep import sweep
from core.wiring import build_choices, build_parts
from core.worker import build_app


def serve(settings: Settings, host: str, port: int) -> None:
    """Take jobs on host:port until SIGTERM or SIGINT; what an earlier run left behind is handed out again first.

    Raises:
        InvalidInputError: the address can be reached from outside, and no token is set (code token_needed); no
            server is named to work for (code endpoint_missing).
    """
    if host not in LOOPBACK and not settings.render_token:
        raise InvalidInputError(
            f"On {host} others can reach this worker: set SCENEWRIGHT_RENDER_TOKEN first, here and on the function.",
            code="token_needed",
            field="host",
        )
    if not settings.endpoint:
        raise InvalidInputError(
            "Set APPWRITE_ENDPOINT, APPWRITE_PROJECT_ID and APPWRITE_API_KEY first; `scenewright up` starts a server "
            "and a worker together.",
            code="endpoint_missing",
            field="APPWRITE_ENDPOINT",
        )
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    parts, choices = build_parts(settings), build_choices(settings)
    app = build_app(settings, lambda: sweep(parts, choices, after_restart=True))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1)


def main() -> None:
    """The render server as the local stack starts it: `--host H --port P`, everything else from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    serve(Settings.from_env(), arguments.host, arguments.port)

"""Which server the commands talk to: the configured one, or the local stack, started when it is needed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from core import stack as local
from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_store import AppwriteStore
from core.errors import NotAllowedError, UnavailableError
from core.settings import Settings
from core.watch import Session, sign_in

errors = Console(stderr=True, highlight=False)
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)  # a pipe has no width to fit into
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, one object per line.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the local stack; default: SCENEWRIGHT_DATA or ./.scenewright.")
]


@dataclass(frozen=True, slots=True)
class Connection:
    """A server that answers. `stack` is None when it is a configured one."""

    settings: Settings
    data: Path
    stack: local.Stack | None

    def session(self) -> Session:
        """This machine's anonymous user there."""
        with local.writable(self.data, "data"):
            return sign_in(self.settings.endpoint, self.settings.project_id, self.data / "session.json")

    def operator(self) -> AppwriteClient:
        """A client with the server key. Raises NotAllowedError when none is set."""
        at = self.settings
        if not at.api_key:
            raise NotAllowedError("This needs the server key: set APPWRITE_API_KEY.", code="key_needed")
        return AppwriteClient(at.endpoint, at.project_id, at.api_key, seconds=at.request_seconds)

    def caller(self) -> AppwriteClient:
        """Who calls the function: the operator with a key, who may ask for every video, else this machine's user."""
        return self.operator() if self.settings.api_key else self.session().client()

    def store(self) -> AppwriteStore:
        """The documents: all of them with a key, else those of this machine's user."""
        return AppwriteStore(self.caller())

    def died(self) -> str:
        """A sentence when a process of the local stack has ended, else ""."""
        name = self.stack.dead() if self.stack else ""
        return f"{name} of the local stack ended; see {self.data / 'logs'}." if name else ""


def folder_of(data: Path | None) -> Path:
    """The data folder in force: the option, else the setting."""
    return data or Path(Settings.from_env().data_dir)


@contextlib.contextmanager
def connected(data: Path | None, *, start: bool = False) -> Iterator[Connection]:
    """The server in force.

    Args:
        start: start the local stack when no endpoint is configured and none runs; it ends with the block.

    Raises:
        UnavailableError: no endpoint is configured, and no local stack runs (code stack_not_running).
    """
    settings, folder = Settings.from_env(), folder_of(data)
    if settings.endpoint:
        yield Connection(settings, folder, None)
        return
    stack = local.start(folder, settings=settings) if start else local.running(folder, settings)
    if stack is None:
        raise UnavailableError(
            f"No local stack runs on {folder}, and APPWRITE_ENDPOINT is not set: start one with `scenewright up`.",
            code="stack_not_running",
        )
    try:
        yield Connection(stack.settings, folder, stack)
    except BaseException:
        stack.stop(wait=False)  # interrupted or broken: a person waits
        raise
    if stack.started and stack.in_use():
        errors.print("Another command still uses the local stack: waiting for it (Ctrl-C stops it now).")
    stack.stop()

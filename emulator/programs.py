"""What is run and what comes of it: deployments, programs, calls and outcomes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# What a child sees of the server's environment: what programs need to run at all. The rest is the function's own.
INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True)
class Deployment:
    """Code that can run: a folder, the entrypoint below it, and the interpreter it was built for.

    `live`: the folder is a working tree, so children are restarted when a file they imported changed. `kind`: how the
    code came here, in Appwrite's words.
    """

    id: str
    root: Path
    entrypoint: str
    python: str = sys.executable
    live: bool = False
    kind: str = "manual"

    def environment(self) -> dict[str, str]:
        """What makes its own virtual environment the one that programs find; nothing for a working tree."""
        if self.live:
            return {}
        commands = Path(self.python).parent
        path = os.pathsep.join([str(commands), os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "VIRTUAL_ENV": str(commands.parent)}


@dataclass(frozen=True)
class Program:
    """A deployment with its environment; children serve one program and are replaced when it changes."""

    deployment: Deployment
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Call:
    """One execution's request. `path` may hold a query; `timeout` in seconds; headers have lower-case names.

    `background`: nobody's connection waits for it, so others go first.
    """

    id: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
    scheme: str = "http"
    host: str = "localhost"
    port: int = 80
    background: bool = False


@dataclass(frozen=True)
class Outcome:
    """How an execution ended. `seconds`: from its start to its end; `timed_out`: it was stopped by its own limit."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes
    logs: str
    errors: str
    seconds: float
    timed_out: bool = False


def child_environment(own: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The environment of a child: what programs need to run, below the function's own variables."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return tuple(sorted({**inherited, **own}.items()))

"""Processes known by number and birth, how they are ended, and the ports they listen on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.errors import UnavailableError

HOST = "127.0.0.1"
_STOP_SECONDS = 3.0
_POLL_SECONDS = 0.02


def birth(pid: int) -> str:
    """When a process was started, so that a reused number is not taken for it; "" when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self").exists() else _birth_by_ps(pid)
    columns = stat.rpartition(")")[2].split()
    return "" if columns[0] == "Z" else columns[19]


def _birth_by_ps(pid: int) -> str:
    """The same where there is no /proc."""
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return "" if said.startswith("Z") else said.partition(" ")[2].strip()


def entry(pid: int) -> dict[str, Any]:
    """What is written down of a process, for `lives`."""
    return {"pid": pid, "born": birth(pid)}


def lives(entry: Mapping[str, Any]) -> bool:
    """Whether the very process that was written down still runs."""
    born = entry.get("born")
    return bool(born) and birth(int(entry["pid"])) == born


def kill(pids: Sequence[int], children: Sequence[subprocess.Popen[bytes]]) -> None:
    """SIGTERM, and SIGKILL for who is still there after a while; whole process groups."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(birth(pid) for pid in pids) and time.monotonic() < deadline:
            for child in children:
                child.poll()
            time.sleep(_POLL_SECONDS)
        pids = [pid for pid in pids if birth(pid)]
        if not pids:
            break
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)  # its threads may end a moment after it


def answers(url: str) -> bool:
    """Whether a server answers at all, whatever it says."""
    return _answer(url) is not None


def tells(url: str, name: str) -> bool:
    """Whether a server answers with a JSON object that has a member of this name, as no other server would."""
    try:
        told = json.loads(_answer(url) or b"")
    except ValueError:
        return False
    return isinstance(told, dict) and name in told


def _answer(url: str) -> bytes | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port, timeout=2)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def port_of(url: str) -> int:
    """The port of a URL, 0 where it names none."""
    return urlsplit(url).port or 0


def free_ports(*preferred: int) -> list[int]:
    """A free port for each: the preferred one if it can be had, else any. No two are alike.

    Raises:
        UnavailableError: there is none (code no_free_port).
    """
    with contextlib.ExitStack() as held:
        return [int(held.enter_context(_listener(port)).getsockname()[1]) for port in preferred]


def _listener(preferred: int) -> socket.socket:
    for port in (preferred, 0):
        with contextlib.suppress(OSError, OverflowError):
            return socket.create_server((HOST, port))
    raise UnavailableError("This machine has no free port.", code="no_free_port")

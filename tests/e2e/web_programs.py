"""The programs that use Scenewright through the web SDK, and what they saw."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

WEB = Path(__file__).parent / "web"


def node_version() -> int:
    """Node's major version, 0 without Node."""
    if shutil.which("node") is None:
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.removeprefix("v").split(".")[0])


@dataclass(frozen=True)
class Made:
    """What the two users saw."""

    lines: list[dict[str, Any]]  # of who made the video
    stranger: list[dict[str, Any]]
    film: Path

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """All lines of a kind."""
        return [line for line in self.lines if line["kind"] == kind]

    def events(self, table: str) -> list[dict[str, Any]]:
        """What Realtime delivered of a table, in order."""
        return [event for event in self.of_kind("event") if event["table"] == table]

    @property
    def shown(self) -> dict[str, Any]:
        """What GET /videos/{id} answered."""
        (line,) = self.of_kind("shown")
        return dict(line["body"])

    def open(self, url: str) -> bytes:
        """A file, as its owner's browser gets it."""
        session = self.of_kind("signed_in")[0]["session"]
        answer = requests.get(url, headers={"x-appwrite-session": session}, timeout=30)
        assert answer.status_code == 200, answer.text[:200]
        return answer.content


def spoken_lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The JSON lines of a program."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def program(name: str, argument: dict[str, Any]) -> subprocess.Popen[str]:
    """Start one of the programs."""
    command = ["node", str(WEB / name), json.dumps(argument)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], said: str) -> list[dict[str, Any]]:
    """Say the last word to a program and wait for its end; the lines it printed meanwhile."""
    try:
        out, complaints = process.communicate(said, timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, complaints + out[-2000:]
    return [json.loads(line) for line in out.splitlines()]

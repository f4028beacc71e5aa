"""Starting and ending the server: one line that says where, clear sentences where it cannot, nothing left behind."""

from __future__ import annotations

import json
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from .conftest import ROOT, Running, running


def start(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command until it gives up."""
    command = [sys.executable, "-m", "emulator", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_the_ready_file_says_what_standard_output_says_and_others_cannot_read_it(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    with running(tmp_path / "data", "--ready-file", str(file), "--project", "p1") as server:
        ready = json.loads(file.read_text())
        assert ready == {"endpoint": server.endpoint, "project": "p1", "key": server.key}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert requests.get(server.endpoint + "/health/version", timeout=5).json() == {"version": "1.9.6"}


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are asked of Linux")
def test_more_subscribers_fit_than_a_process_may_usually_open_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with running(tmp_path) as server:
            assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[0] == min(10_240, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sigterm_ends_it_within_two_seconds_with_sockets_open(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.socket() as socket:
        socket.recv(timeout=5)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(5)
        assert time.monotonic() - began < 2


def test_a_taken_port_is_said(server: Running, tmp_path: Path) -> None:
    port = server.endpoint.split(":")[2].split("/")[0]
    ended = start("--data", tmp_path, "--port", port)
    assert ended.returncode == 1
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_server_on_one_folder_is_refused(server: Running) -> None:
    ended = start("--data", server.data)
    assert ended.returncode == 1
    assert "another server is using this folder" in ended.stderr


@pytest.mark.parametrize("content", ["a file", "no database"])
def test_a_folder_that_is_none_is_said(tmp_path: Path, content: str) -> None:
    data = tmp_path / "data"
    if content == "a file":
        data.write_text("x")
    else:
        data.mkdir()
        (data / "emulator.sqlite").write_bytes(b"this is no database" * 100)
    ended = start("--data", data)
    assert ended.returncode == 1
    assert str(data) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_with_an_unknown_scope_is_refused(server: Running) -> None:
    ended = start("key", "--data", server.data, "--scopes", "rows.read,rows.fly")
    assert ended.returncode == 2
    assert "rows.fly" in ended.stderr

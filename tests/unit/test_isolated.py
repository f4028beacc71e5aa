"""Source that nobody vouches for ends within its limits, takes nothing along, and is told about in full."""

from __future__ import annotations

import base64
import os
import signal
from typing import Any

import psutil
import pytest

from core.isolated import run_source
from tests.waiting import wait_for


def run(source: str, **limits: float) -> dict[str, Any]:
    """How it ended."""
    return run_source({"source": source, **limits})


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; one that was killed may still stand in the table."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_it_prints_leaves_and_answers_comes_back() -> None:
    ended = run(
        "import pathlib, sys\n"
        "print('made')\n"
        "print('noted', file=sys.stderr)\n"
        "pathlib.Path('out').mkdir()\n"
        "pathlib.Path('out/a.bin').write_bytes(bytes(range(256)))\n"
        "sys.exit(3)"
    )

    assert (ended["state"], ended["exit_code"], ended["timed_out"]) == ("done", 3, False)
    assert (ended["stdout"], ended["stderr"]) == ("made\n", "noted\n")
    assert {name: base64.b64decode(text) for name, text in ended["files"].items()} == {"out/a.bin": bytes(range(256))}


def test_it_sees_no_secret_and_not_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPWRITE_API_KEY", "a-key-of-ours")

    ended = run("import os\nprint(dict(os.environ), os.listdir('.'))\nimport core")

    assert "a-key-of-ours" not in ended["stdout"]
    assert ended["stdout"].endswith("[]\n")


def test_one_that_never_ends_is_ended_with_all_its_children() -> None:
    ended = run(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)",
        wall_seconds=3,
    )

    assert (ended["timed_out"], ended["exit_code"]) == (True, -signal.SIGKILL)
    child = int(ended["stdout"])
    wait_for(lambda: has_ended(child), "the child to be gone", 20)


def test_one_that_computes_too_long_is_ended() -> None:
    ended = run("while True: pass", wall_seconds=60, cpu_seconds=1)

    assert ended["exit_code"] in (-signal.SIGXCPU, -signal.SIGKILL)
    assert not ended["timed_out"]


def test_one_that_takes_too_much_memory_fails_by_itself() -> None:
    ended = run("x = bytearray(800_000_000)", memory_mb=256)

    assert ended["exit_code"] == 1
    assert "MemoryError" in ended["stderr"]


def test_links_and_large_files_stay_where_they_are_and_are_named() -> None:
    ended = run(
        "import os\n"
        "os.symlink('/etc/passwd', 'link')\n"
        "open('large', 'wb').write(bytes(9_000_000))\n"
        "open('small', 'w').write('yes')\n"
        "print('x' * 50_000)"
    )

    assert (set(ended["files"]), ended["left_out"]) == ({"small"}, ["large", "link"])
    assert len(ended["stdout"]) == 20_000


def test_two_runs_share_nothing() -> None:
    run("open('left', 'w').write('x')")

    assert run("import os\nprint(os.listdir('.'))")["stdout"] == "[]\n"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"source": ""},
        {"source": 7},
        {"source": "x" * 200_001},
        {"source": "1", "wall_seconds": 0},
        {"source": "1", "wall_seconds": "9"},
        {"source": "1", "cpu_seconds": 10_000},
        {"source": "1", "memory_mb": True},
        {"source": "1", "memory_mb": float("nan")},
    ],
)
def test_what_is_no_request_is_refused_in_words(request_: dict[str, Any]) -> None:
    refused = run_source(request_)

    assert (refused["state"], refused["code"]) == ("failed", "invalid_input")
    assert refused["sentence"].endswith(".")


def test_source_that_is_no_python_is_told_as_it_is() -> None:
    assert "SyntaxError" in run("def")["stderr"]


def test_nothing_is_left_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    run("open('left', 'w').write('x')")

    assert os.listdir(tmp_path) == []  # noqa: PTH208

"""Scratch folders: what a dead process left is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.scratch import Scratch

HOLD = """
import sys
from core.scratch import Scratch
room = Scratch(sys.argv[1]).room()
(room / "film.mp4").write_text("half a film")
print(room, flush=True)
sys.stdin.read()
"""


@contextmanager
def held(place: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """The room of another process, which holds it, made two minutes ago."""
    command = [sys.executable, "-c", HOLD, str(place)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            room = Path(process.stdout.readline().strip())
            grow_old(room.parent)
            yield room, process
        finally:
            process.kill()


def grow_old(path: Path) -> None:
    """Two minutes have passed since anything was done to it."""
    then = time.time() - 120
    os.utime(path, (then, then))


def test_what_a_killed_server_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with held(tmp_path) as (room, process):
        process.kill()
        process.wait()
        assert (room / "film.mp4").exists()

        scratch = Scratch(str(tmp_path))

        assert list(tmp_path.iterdir()) == [scratch.room().parent]
        scratch.close()


def test_what_a_living_server_holds_is_left_alone(tmp_path: Path) -> None:
    with held(tmp_path) as (room, _):
        Scratch(str(tmp_path)).close()
        assert (room / "film.mp4").read_text() == "half a film"


def test_a_folder_that_was_only_just_made_is_left_alone(tmp_path: Path) -> None:
    """Its maker may be about to lock it."""
    (tmp_path / "scenewright-scratch-a1b2c3d4").mkdir()
    Scratch(str(tmp_path)).close()
    assert [path.name for path in tmp_path.iterdir()] == ["scenewright-scratch-a1b2c3d4"]


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    for name in ("scenewright", "scenewright-main", "scratch"):
        (tmp_path / name).mkdir()
        grow_old(tmp_path / name)
    (tmp_path / "scenewright-scratch-notes").write_text("a file")
    grow_old(tmp_path / "scenewright-scratch-notes")
    before = sorted(tmp_path.iterdir())
    Scratch(str(tmp_path)).close()
    assert sorted(tmp_path.iterdir()) == before


def test_closing_removes_everything_and_a_missing_place_is_made(tmp_path: Path) -> None:
    scratch = Scratch(str(tmp_path / "new" / "place"))
    (scratch.room() / "film.mp4").write_text("half a film")
    scratch.close()
    assert list((tmp_path / "new" / "place").iterdir()) == []


def test_another_user_may_go_through_a_room_but_not_look_around(tmp_path: Path) -> None:
    """A sandboxed program runs as nobody, in a folder below."""
    scratch = Scratch(str(tmp_path))
    room = scratch.room()
    assert {path.stat().st_mode & 0o777 for path in (room, room.parent)} == {0o711}
    scratch.close()

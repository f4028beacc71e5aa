"""A program in the sandbox works as elsewhere, ends at its limits, leaves plain files; without locks none runs."""

from __future__ import annotations

import os
import platform
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.errors import MissingToolError
from core.sandbox import landlock, seccomp
from core.sandbox.collect import collect, safe_name
from core.sandbox.limits import Limits
from core.sandbox.runner import Program, available, run
from core.sandbox.watch import remove
from tests.contract.cells import ROOT, SECRET, Cell, cell, household
from tests.waiting import wait_for

__all__ = ["cell", "household"]  # fixtures

guarded = pytest.mark.skipif(bool(available()), reason=available() or "-")


# ---- no locks, no run


def test_where_the_kernel_has_no_locks_the_reason_is_told() -> None:
    for abi in (0, 2):
        assert f"its ABI here is {abi}, 3 is needed" in available(abi)


def test_where_no_calls_are_known_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    assert "riscv64" in available(7)


def test_without_locks_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)

    with pytest.raises(MissingToolError) as refused:
        run(Program(source="open('ran', 'w').close()"), tmp_path / "out")

    assert refused.value.code == "sandbox_unavailable"
    assert refused.value.sentence == available(0)
    assert not (tmp_path / "out").exists()


@guarded
def test_when_a_lock_does_not_close_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError) as refused:
        run(Program(source="open('ran', 'w').close()", read=("/" + "x" * 5000,)), tmp_path / "out")

    assert refused.value.code == "sandbox_unavailable"
    assert "File name too long" in refused.value.sentence
    assert not (tmp_path / "out").exists()


@guarded
def test_an_interpreter_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError) as refused:
        run(Program(source="pass", python=str(tmp_path / "python")), tmp_path / "out")

    assert refused.value.code == "missing_python"


@pytest.mark.parametrize("machine", sorted(seccomp.MACHINES))
def test_the_filter_of_every_machine_can_be_loaded_and_leads_nowhere_beyond_its_end(machine: str) -> None:
    steps = seccomp.program(machine)

    assert len(steps) < 4096  # BPF_MAXINSNS
    for place, (code, if_true, if_not, _) in enumerate(steps):
        if code in (seccomp._EQUAL, seccomp._GREATER):
            assert place + 1 + max(if_true, if_not) < len(steps)
    assert steps[-1][0] == seccomp._RETURN


# ---- work


@guarded
def test_a_program_works_as_elsewhere(cell: Cell) -> None:
    source = """
import json, sqlite3, sys, tempfile, threading, zlib
made = []
threads = [threading.Thread(target=made.append, args=(n,)) for n in range(20)]
[t.start() for t in threads], [t.join() for t in threads]
with tempfile.TemporaryDirectory() as folder:
    base = sqlite3.connect(folder + "/x.db")
    base.execute("create table t (x)")
    base.close()
import os, shutil
os.makedirs("out/deep")
open("a.txt", "w").write("text")
shutil.copyfile("a.txt", "out/deep/b.txt")
os.rename("a.txt", "c.txt")
print(sorted(made) == list(range(20)), sys.argv[2:], __name__)
sys.exit(3)
"""
    outcome, out = cell.run(source)

    assert (outcome.ended.exit_code, outcome.ended.stopped, outcome.done) == (3, "", False)
    assert outcome.ended.stdout == "True [] __main__\n"
    assert (outcome.files, outcome.left_out) == (("c.txt", "out/deep/b.txt"), {})
    assert (out / "out/deep/b.txt").read_text() == "text"


@guarded
def test_packages_of_the_interpreter_can_be_used_and_files_given_to_it_read(tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    given.write_text("4")
    beside = tmp_path / "beside.txt"
    beside.write_text(SECRET)
    source = f"""
import numpy, PIL.Image, sys
PIL.Image.fromarray(numpy.full((9, 9, 3), int(open({str(given)!r}).read()), "uint8")).save("made.png")
try:
    print(open({str(beside)!r}).read())
except PermissionError:
    print("shut", sys.argv)
"""
    outcome = run(Program(source=source, arguments=("one",), read=(str(given),)), tmp_path / "out")

    assert outcome.ended.stdout == "shut ['program.py', 'one']\n", outcome
    assert outcome.done
    assert (tmp_path / "out/made.png").read_bytes().startswith(b"\x89PNG")


@guarded
def test_an_error_is_told_with_the_lines_of_the_program_alone(tmp_path: Path) -> None:
    outcome = run(Program(source="def fall():\n    return 1 / 0\n\nfall()\n"), tmp_path / "out")

    assert outcome.ended.exit_code == 1
    assert outcome.ended.stderr.splitlines() == [
        "Traceback (most recent call last):",
        '  File "program.py", line 4, in <module>',
        "    fall()",
        '  File "program.py", line 2, in fall',
        "    return 1 / 0",
        "           ~~^~~",
        "ZeroDivisionError: division by zero",
    ]


@guarded
def test_what_is_no_python_is_told_as_it_is(tmp_path: Path) -> None:
    assert "SyntaxError" in run(Program(source="def"), tmp_path / "out").ended.stderr


@guarded
def test_only_what_is_wanted_is_handed_back(tmp_path: Path) -> None:
    source = "import os\nos.mkdir('media')\nfor n in ('film.mp4', 'media/part.mp4', 'x.svg'): open(n, 'w').close()"
    outcome = run(Program(source=source, keep=("film.mp4",)), tmp_path / "out")

    assert (outcome.files, outcome.left_out) == (("film.mp4",), {})


@guarded
def test_the_locks_cost_little(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-B", "-c", "pass"]
    bare, locked = [], []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run(command, check=True, env={})
        bare.append(time.monotonic() - began)
        locked.append(run(Program(source="pass"), tmp_path / "out").ended.seconds)

    print(f"a bare Python: {min(bare):.3f} s, in the sandbox: {min(locked):.3f} s")  # noqa: T201
    assert min(locked) - min(bare) < 5


# ---- limits


@guarded
def test_one_that_sleeps_too_long_is_ended_whatever_it_ignores(cell: Cell) -> None:
    source = """
import signal, time
for number in range(1, 32):
    if number not in (9, 19):
        signal.signal(number, signal.SIG_IGN)
print("asleep", flush=True)
time.sleep(600)
"""
    outcome, _ = cell.run(source, limits=Limits(wall_seconds=1))

    assert (outcome.ended.stopped, outcome.ended.exit_code) == ("wall_time", -signal.SIGKILL)
    assert outcome.ended.seconds < 60


@guarded
def test_one_that_computes_too_long_is_ended_whatever_it_ignores(cell: Cell) -> None:
    source = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    outcome, _ = cell.run(source, limits=Limits(cpu_seconds=1))

    assert (outcome.ended.stopped, outcome.ended.exit_code) == ("cpu_time", -signal.SIGKILL)
    assert outcome.ended.cpu_seconds < 30


@guarded
def test_one_gets_no_more_memory_than_it_may(cell: Cell) -> None:
    how, said = cell.tries("return len(bytearray(8_000_000_000))")

    assert how == "refused"
    assert said.startswith("MemoryError")


@guarded
def test_a_bomb_of_threads_is_ended(cell: Cell) -> None:
    source = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(600,)).start()"
    outcome, _ = cell.run(source, limits=Limits(threads=40, wall_seconds=60))

    assert outcome.ended.stopped == "threads" or "can't start new thread" in outcome.ended.stderr


@guarded
def test_one_large_file_cannot_be_written(cell: Cell) -> None:
    how, said = cell.tries("open('large', 'wb').write(bytes(20_000_000))", file_bytes=10_000_000)

    assert how == "refused"
    assert "File too large" in said


@guarded
@pytest.mark.parametrize(
    ("act", "limit"),
    [
        ("open(str(n), 'wb').write(bytes(1_000_000)); n += 1", "disk"),
        ("f = open('x', 'wb'); os.unlink('x'); f.write(bytes(1_000_000)); f.flush(); held.append(f)", "disk"),
        ("open(str(n), 'wb'); n += 1", "files"),
        ("os.mkdir('d'); os.chdir('d')", "files"),
        ("os.mkdir('locked', 0o300) if not n else time.sleep(1); n += 1", "files"),
    ],
    ids=["many files", "files without a name", "many empty files", "deep folders", "a folder nobody can look into"],
)
def test_the_disk_cannot_be_filled(cell: Cell, act: str, limit: str) -> None:
    if "locked" in act and cell.root:
        pytest.skip("root looks into every folder")
    outcome, _ = cell.run(
        f"import os, time\nn, held = 0, []\nwhile True:\n    {act}",
        limits=Limits(disk_bytes=50_000_000, entries=3000, wall_seconds=60, kept_files=1),
    )

    assert outcome.ended.stopped == limit, outcome.ended.stderr


@guarded
@pytest.mark.parametrize("number", [1, 2])
def test_a_flood_of_output_is_ended(cell: Cell, number: int) -> None:
    outcome, _ = cell.run(
        f"import os\nwhile True: os.write({number}, b'x' * 65536)", limits=Limits(stream_bytes=200_000)
    )

    assert outcome.ended.stopped == "output"
    assert len(outcome.ended.stdout + outcome.ended.stderr) == 200_000


@guarded
def test_only_so_many_files_can_be_open(cell: Cell) -> None:
    how, said = cell.tries("held = [open('/dev/null') for _ in range(400)]", open_files=100)

    assert how == "refused"
    assert "Too many open files" in said


@guarded
def test_it_dies_with_who_started_it(tmp_path: Path) -> None:
    source = "import time; print('asleep'); time.sleep(600)"
    starter = (
        "from pathlib import Path\n"
        "from core.sandbox.runner import Program, run\n"
        f"run(Program(source={source!r}), Path({str(tmp_path / 'out')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, env={"TMPDIR": str(tmp_path)})
    try:
        (child,) = wait_for(lambda: psutil.Process(process.pid).children(), "the sandbox to be there")
        wait_for(lambda: "Seccomp:\t2" in Path(f"/proc/{child.pid}/status").read_text(), "it to be locked")
    finally:
        process.kill()
        process.wait()

    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "it to be gone")


@guarded
def test_an_error_of_who_looks_on_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def look() -> None:
        if children := set(psutil.Process().children()) - before:
            seen.extend(children)
            raise KeyError("no longer wanted")

    before = set(psutil.Process().children())
    seen: list[psutil.Process] = []
    with pytest.raises(KeyError):
        run(Program(source="import time; time.sleep(600)"), tmp_path / "out", look)

    assert not any(child.is_running() for child in seen)
    assert list(tmp_path.iterdir()) == []


# ---- what it leaves


@guarded
def test_a_link_to_a_secret_brings_nothing_out(cell: Cell) -> None:
    source = """
import json, os, sys
w = json.loads(sys.argv[1])
os.symlink(w["secret"], "film.mp4")
os.symlink(os.path.dirname(w["secret"]), "folder")
os.symlink("/dev/zero", "endless")
open("plain", "w").close()
os.link("plain", "twice")
"""
    outcome, out = cell.run(source)

    assert outcome.files == ()
    assert outcome.left_out == {
        "endless": "it is no plain file",
        "film.mp4": "it is no plain file",
        "folder": "it is no plain file",
        "plain": "it has a second name",
        "twice": "it has a second name",
    }
    assert list(out.iterdir()) == []


def test_only_plain_files_with_plain_names_are_taken(tmp_path: Path) -> None:
    left, out, secret = tmp_path / "left", tmp_path / "out", tmp_path / "secret"
    secret.write_text(SECRET)
    left.mkdir()
    os.mkfifo(left / "pipe")
    (left / "link").symlink_to(secret)
    (left / "hard").hardlink_to(secret)
    (left / "film.mp4").mkdir()  # a folder with a file's name
    for name in ("-rf", ".hidden", "a b;c", "new\nline", "gr\udcfc\udcdf", "film.mp4/part", "x" * 200, "$(id)", ".."):
        if name != "..":
            (left / name).write_text(name[:1])
    (left / "a_b_c").write_text("clash")

    taken, left_out = collect(left, out, Limits())

    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir())
    assert found == sorted(taken)
    assert set(taken) == {"rf", "hidden", "a_b_c", "new_line", "gr__", "film.mp4/part", "x" * 100, "__id_"}
    assert left_out["a_b_c"] == "its name is taken"
    assert {left_out[name] for name in ("pipe", "link")} == {"it is no plain file"}
    assert left_out["hard"] == "it has a second name"
    assert all(stat.S_ISREG((out / name).lstat().st_mode) for name in found)


def test_files_are_taken_within_their_limits(tmp_path: Path) -> None:
    left = tmp_path / "left"
    deep = left / "/".join("abcdefghij")
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    for number in range(5):
        (left / f"{number}").write_bytes(bytes(100))
    (left / "large").write_bytes(bytes(1000))

    limits = Limits(kept_files=3, kept_bytes=250, file_bytes=500)
    taken, left_out = collect(left, tmp_path / "out", limits)

    assert taken == ["0", "1"]
    assert left_out["2"] == left_out["large"] == "it is too large"
    assert left_out["a/b/c/d/e/f/g/h/i"] == "it lies too deep"
    assert collect(left, tmp_path / "out2", Limits(kept_files=1))[1]["1"] == "there are too many"


def test_a_name_that_is_only_dots_becomes_a_name() -> None:
    assert [safe_name(name) for name in ("..", ".", "…", "-")] == ["_", "_", "_", "_"]


def test_a_folder_is_removed_whatever_is_in_it(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    work = scratch / "work"
    work.mkdir(parents=True)
    (work / "link").symlink_to(tmp_path)
    (work / "locked").mkdir(0o700)
    (work / "locked" / "file").write_text("x")
    (work / "locked").chmod(0)
    inner = os.open(work, os.O_RDONLY)
    for _ in range(3000):  # far longer than a path may be
        os.mkdir("d" * 50, dir_fd=inner)
        outer, inner = inner, os.open("d" * 50, os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(inner)

    remove(scratch)

    assert list(tmp_path.iterdir()) == []

"""`scenewright` as people run it: real processes, a real stack, real films."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core import stack
from core.media.probe import frames, streams
from tests.e2e.conftest import RunningStack

SCRIPT = """The sun rises over the sea. Fishing boats leave the harbour.

A gull follows the nets and waits for its breakfast.

At noon the market is full of fish, lemons and laughter.
"""
SMALL = ("--resolution", "360")


def environment(**extra: str) -> dict[str, str]:
    """The person's, without settings of ours that happen to be set where the tests run."""
    ours = ("APPWRITE_", "SCENEWRIGHT_", "GEMINI_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {"NO_COLOR": "1"} | extra


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "core.cli", *map(str, arguments)]


def run(*arguments: str | Path, cwd: Path, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**extra),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def pids_of(data: Path) -> list[int]:
    known = json.loads((data / "stack.json").read_text())
    return [int(entry["pid"]) for entry in known["processes"].values()]


def gone(pids: list[int]) -> bool:
    return all(not psutil.pid_exists(p) or psutil.Process(p).status() == psutil.STATUS_ZOMBIE for p in pids)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.txt"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def made(running_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """One film made with --json and music: the folder it was made in, and the lines on standard output."""
    folder = tmp_path_factory.mktemp("made")
    with wave.open(str(folder / "song.wav"), "wb") as song:
        song.setparams((1, 2, 8000, 0, "NONE", ""))
        song.writeframes(
            b"".join(int(9000 * math.sin(i / 3)).to_bytes(2, "little", signed=True) for i in range(24_000))
        )
    options = ("-s", "-", "--json", "--music", "song.wav", "--data", running_stack.data, *SMALL)
    done = run("make", *options, cwd=folder, stdin=SCRIPT)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


# ---- making


def test_make_ends_with_the_path_of_a_film_that_plays(
    running_stack: RunningStack, script: Path, tmp_path: Path
) -> None:
    out = tmp_path / "films" / "sea.mp4"

    done = run("make", "--script", script, "--out", out, "--data", running_stack.data, *SMALL, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    picture = streams(out).video
    assert picture is not None
    assert (picture.width, picture.height) == (360, 640)
    assert frames(out) > 5 * 30
    assert "-->" in out.with_suffix(".srt").read_text()
    assert out.with_suffix(".vtt").read_text().startswith("WEBVTT")
    said = done.stderr.splitlines()
    assert said[0] == "Creating the video..."
    assert said[1].startswith("Video created")
    assert any("scene 1 of 3" in text for text in said)


def test_the_json_stream_never_goes_back_and_ends_with_the_files(made: tuple[Path, list[str]]) -> None:
    folder, lines = made
    *states, result = [json.loads(text) for text in lines]

    for name in ("revision", "progress", "current_scene"):
        values = [s[name] for s in states]
        assert values == sorted(values), name
    assert len({s["revision"] for s in states}) == len(states)
    assert [s["status"] for s in states][-1] == "completed"
    assert {"rendering", "combining"} <= {s["status"] for s in states}
    assert (folder / result["film"]).name == "the-sun-rises-over-the-sea.mp4"
    assert all((folder / result[kind]).is_file() for kind in ("film", "srt", "vtt"))


def test_watch_of_a_finished_video_fetches_it_again_beside_the_first(
    made: tuple[Path, list[str]], running_stack: RunningStack
) -> None:
    folder, lines = made
    video_id = json.loads(lines[-1])["video_id"]

    done = run("watch", video_id, "--data", running_stack.data, cwd=folder)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the-sun-rises-over-the-sea-2.mp4"
    first, second = (folder / f"the-sun-rises-over-the-sea{n}.mp4" for n in ("", "-2"))
    assert first.read_bytes() == second.read_bytes()


def test_status_list_and_stats_know_the_video(made: tuple[Path, list[str]], running_stack: RunningStack) -> None:
    folder, lines = made
    video_id = json.loads(lines[-1])["video_id"]
    at = ("--data", running_stack.data)

    shown = json.loads(run("status", video_id, "--json", *at, cwd=folder).stdout)
    listed = run("list", "--status", "completed", *at, cwd=folder).stdout
    counted = run("stats", *at, cwd=folder).stdout

    assert [s["status"] for s in shown["scenes"]] == ["rendered"] * 3
    assert video_id in listed
    assert re.search(r"completed +[1-9]", counted)


def test_quote_says_what_it_would_take_and_receipt_what_it_took(
    made: tuple[Path, list[str]], running_stack: RunningStack
) -> None:
    folder, lines = made
    video_id = json.loads(lines[-1])["video_id"]
    at = ("--data", running_stack.data)

    quoted = json.loads(run("quote", "-s", "-", "--resolution", "360", "--json", *at, cwd=folder, stdin=SCRIPT).stdout)
    said = run("quote", "-s", "-", "--resolution", "360", *at, cwd=folder, stdin=SCRIPT).stdout
    receipt = json.loads(run("receipt", video_id, "--json", *at, cwd=folder).stdout)
    shown = run("receipt", video_id, *at, cwd=folder).stdout

    assert (quoted["sceneCount"], quoted["usd"]) == (3, 0)  # this machine costs nothing
    assert re.search(r"cost +nothing", said)
    assert {(line["scene"], line["stage"]) for line in receipt["lines"]} >= {(1, "voice"), (3, "clip"), (None, "join")}
    assert receipt["costUsd"] == sum(line["usd"] for line in receipt["lines"]) == 0
    assert re.search(r"1 +clip +[0-9.]+ s +\$0.00", shown)
    assert "may cost at most $2.50" in run("limit", video_id, "2.5", *at, cwd=folder).stdout


# ---- bad input


def _write(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


TEXT = _write("s.txt", SCRIPT.encode())
BAD: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], str, str]] = {
    "empty": (_write("s.txt", b""), (), "script_empty", "script"),
    "white space": (_write("s.txt", b" \n\t \n"), (), "script_empty", "script"),
    "too short": (_write("s.txt", b"Hello there."), (), "script_too_short", "script"),
    "missing": (lambda folder: folder / "nowhere.txt", (), "script_missing", "script"),
    "a folder": (lambda folder: folder, (), "script_unreadable", "script"),
    "over 1 MB": (_write("s.txt", b"Too much. " * 110_000), (), "script_too_big", "script"),
    "too many characters": (_write("s.txt", b"Too much. " * 3_000), (), "too_long", "script"),
    "binary": (_write("s.txt", bytes(range(256)) * 4), (), "script_binary", "script"),
    "latin 1": (_write("s.txt", ("Grüße aus München. " * 9).encode("latin-1")), (), "wrong_encoding", "script"),
    "utf-16": (_write("s.txt", SCRIPT.encode("utf-16")), (), "wrong_encoding", "script"),
    "control characters": (_write("s.txt", SCRIPT.encode() + b"\x1b[31m"), (), "control_characters", "script"),
    "html": (_write("s.txt", b"<html><body><p>" + SCRIPT.encode()), (), "markup", "script"),
    "500 scenes": (_write("s.txt", b"One more thing.\n\n" * 500), (), "too_many_scenes", "script"),
    "unknown aspect": (TEXT, ("--aspect", "4:5"), "unknown_value", "aspect"),
    "unknown style": (TEXT, ("--style", "baroque"), "unknown_value", "style"),
    "unknown engine": (TEXT, ("--engine", "magic"), "unknown_value", "engine"),
    "unknown captions": (TEXT, ("--captions", "loud"), "unknown_value", "captions"),
    "absurd size": (TEXT, ("--resolution", "100000"), "unknown_value", "resolution"),
    "absurd speed": (TEXT, ("--speed", "99"), "out_of_range", "speed"),
    "absurd length": (TEXT, ("--target-seconds", "-1"), "out_of_range", "target_seconds"),
    "unknown language": (TEXT, ("--language", "xx-YY"), "language_not_spoken", "language"),
    "unknown voice": (TEXT, ("--voice", "nobody"), "invalid_input", "voice"),
    "shell-looking voice": (TEXT, ("--voice", "$(reboot)"), "unknown_value", "voice"),
    "missing music": (TEXT, ("--music", "nowhere.mp3"), "music_unreadable", "music"),
    "text as music": (TEXT, ("--music", "s.txt"), "music_not_audio", "music"),
    "a film called .exe": (TEXT, ("--out", "film.exe"), "out_not_mp4", "out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_code_and_field_before_anything_is_started(case: str, tmp_path: Path) -> None:
    write, options, code, field = BAD[case]
    data = tmp_path / "data"

    done = run("make", "--script", write(tmp_path), *options, "--data", data, cwd=tmp_path)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{code}: ")
    assert f"(field: {field})" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not data.exists()


def test_noise_that_only_calls_itself_music_is_refused(script: Path, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"this is no sound at all " * 400)

    done = run("make", "--script", script, "--music", "song.mp3", "--data", "data", cwd=tmp_path)

    assert done.returncode == 2, done.stderr
    assert "(field: music)" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_topic_alone_says_what_is_missing(tmp_path: Path) -> None:
    done = run("make", "How volcanoes work", "--data", "data", cwd=tmp_path)

    assert done.returncode == 2
    assert "GEMINI_API_KEY" in done.stderr


def test_a_configured_server_refuses_too_and_records_nothing(running_stack: RunningStack, tmp_path: Path) -> None:
    at = {"APPWRITE_ENDPOINT": running_stack.endpoint, "APPWRITE_PROJECT_ID": running_stack.project}
    (tmp_path / "s.txt").write_text("Hello there.")
    before = run("list", "--json", "--limit", "100", "--data", running_stack.data, cwd=tmp_path).stdout

    done = run("make", "--script", "s.txt", "--data", tmp_path / "client", cwd=tmp_path, **at)

    assert done.returncode == 2, done.stderr
    assert "script_too_short: " in done.stderr
    assert "(field: script)" in done.stderr
    assert run("list", "--json", "--limit", "100", "--data", running_stack.data, cwd=tmp_path).stdout == before


def test_an_unknown_option_and_an_unknown_command_are_usage_errors(tmp_path: Path) -> None:
    assert run("make", "--colour", "red", cwd=tmp_path).returncode == 2
    assert run("paint", cwd=tmp_path).returncode == 2


# ---- what the machine may lack


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("up", "--port", str(port), "--data", "data", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith(f"port_taken: Port {port} is taken")


def test_a_folder_that_cannot_be_written_is_named(script: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # below a file not even root can make a folder

    done = run("make", "--script", script, "--data", tmp_path / "file" / "data", cwd=tmp_path)

    assert done.returncode == 3
    assert done.stderr.startswith(f"not_writable: {tmp_path / 'file' / 'data'} cannot be written")


def test_a_missing_ffmpeg_is_said_before_anything_is_started(script: Path, tmp_path: Path) -> None:
    done = run("make", "--script", script, "--data", "data", cwd=tmp_path, SCENEWRIGHT_FFMPEG="/nonexistent")

    assert done.returncode == 3
    assert done.stderr.startswith("missing_ffmpeg: ")
    assert not (tmp_path / "data").exists()


def test_without_a_stack_reading_commands_say_how_to_start_one(tmp_path: Path) -> None:
    done = run("list", "--data", "data", cwd=tmp_path)

    assert done.returncode == 3
    assert "scenewright up" in done.stderr


def test_a_server_that_does_not_answer_is_exit_code_3(script: Path, tmp_path: Path) -> None:
    done = run("make", "--script", script, cwd=tmp_path, APPWRITE_ENDPOINT="http://127.0.0.1:9/v1")

    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("unavailable: ")


def test_a_setting_that_is_no_number_is_named(tmp_path: Path) -> None:
    done = run("up", "--data", "data", cwd=tmp_path, SCENEWRIGHT_WORKERS="many")

    assert done.returncode == 2
    assert "SCENEWRIGHT_WORKERS" in done.stderr


# ---- the stack


@pytest.fixture
def detached(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a stack that runs in the background."""
    data = tmp_path / "data"
    started = run("up", "--detach", "--workers", "1", "--data", data, cwd=tmp_path)
    assert started.returncode == 0, started.stderr
    yield data
    run("down", "--data", data, cwd=tmp_path)


def test_a_stack_runs_once_is_guarded_from_purge_and_leaves_nothing_behind(detached: Path, tmp_path: Path) -> None:
    pids = pids_of(detached)
    everyone = pids + [c.pid for p in pids for c in psutil.Process(p).children(recursive=True)]

    again = run("up", "--detach", "--data", detached, cwd=tmp_path)
    refused = run("purge", "--yes", "--data", detached, cwd=tmp_path)
    down = run("down", "--data", detached, cwd=tmp_path)

    assert "runs already" in again.stdout
    assert refused.returncode == 2
    assert refused.stderr.startswith("stack_running")
    assert down.stdout.strip() == "Stopped."
    wait_until(lambda: gone(everyone), 5)
    assert run("purge", "--yes", "--data", detached, cwd=tmp_path).returncode == 0
    assert not detached.exists()


def test_a_stack_counts_as_used_as_long_as_a_command_works_with_it(detached: Path) -> None:
    first, second = stack.running(detached), stack.running(detached)
    assert first is not None and second is not None

    assert first.in_use()
    second.stop()
    assert not first.in_use()
    first.stop()
    assert not gone(pids_of(detached)), "who only joined a stack does not end it"


def test_a_worker_whose_port_is_taken_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("worker", "--port", port, cwd=tmp_path, APPWRITE_ENDPOINT="http://127.0.0.1:9/v1")

    assert done.returncode == 2
    assert done.stderr.startswith("port_taken: ")
    assert done.stdout == ""


def test_a_worker_says_how_it_works(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    reachable = environment(APPWRITE_ENDPOINT="http://127.0.0.1:9/v1")
    worker = subprocess.Popen(command("worker", "--port", port), cwd=tmp_path, env=reachable, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        said = worker.stdout.readline().decode()
    finally:
        worker.terminate()
        worker.communicate(timeout=20)

    for told in ("asynchronous", "answers with an id at once", "in the background", "GET /calls/{id} shows it", port):
        assert told in said


def test_a_stack_keeps_its_addresses_and_its_secrets_to_itself(detached: Path, tmp_path: Path) -> None:
    known = json.loads((detached / "stack.json").read_text())
    run("down", "--data", detached, cwd=tmp_path)

    shown = run("up", "--detach", "--data", detached, cwd=tmp_path).stdout
    logged = run("logs", "--data", detached, cwd=tmp_path).stdout

    now = json.loads((detached / "stack.json").read_text())
    assert (now["endpoint"], now["render_url"]) == (known["endpoint"], known["render_url"])
    assert (detached / "stack.json").stat().st_mode & 0o077 == 0
    for secret in (known["key"], known["render_token"]):
        assert secret not in shown + logged


def test_a_killed_command_takes_its_stack_with_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = subprocess.Popen(command("up", "--data", data), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE)
    wait_until((data / "stack.json").exists)
    pids = pids_of(data)
    process.kill()
    process.communicate()

    wait_until(lambda: gone(pids), 5)


def test_an_interrupted_video_goes_on_with_watch(script: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = command("make", "--script", script, "--data", data, *SMALL)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background hands down "ignore"
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if "scene 1 of 3" in text:
            break
    pids = pids_of(data)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()

    assert process.wait(30) == 130
    (video_id,) = re.findall(r"Video created: (\w+)", "".join(said))
    assert f"scenewright watch {video_id}" in rest
    wait_until(lambda: gone(pids), 5)

    done = run("watch", video_id, "--data", data, "--out", "film.mp4", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "film.mp4"
    assert frames(tmp_path / "film.mp4") > 5 * 30


def test_a_renderer_that_dies_is_said_and_the_video_goes_on_later(script: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = command("make", "--script", script, "--data", data, *SMALL)
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for text in process.stderr:
        if "scene 1 of 3" in text:
            break
    known = json.loads((data / "stack.json").read_text())["processes"]
    os.kill(known["worker"]["pid"], signal.SIGKILL)
    rest = process.stderr.read()
    process.stderr.close()

    assert process.wait(30) == 3
    assert "Nothing is lost" in rest
    assert rest.splitlines()[-1].startswith("server_lost: worker of the local stack ended")
    wait_until(lambda: gone([known["appwrite"]["pid"]]), 5)


def test_the_doctor_finds_the_local_stack_well(running_stack: RunningStack, tmp_path: Path) -> None:
    done = run("doctor", "--data", running_stack.data, cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    for part in ("ffmpeg", "schema", "renderer", "function", "storage", "realtime"):
        assert re.search(rf"^✓ {part} ", done.stdout, re.MULTILINE), part


def test_the_doctor_says_what_to_do_about_a_broken_part(tmp_path: Path) -> None:
    at = {"APPWRITE_ENDPOINT": "http://127.0.0.1:9/v1", "SCENEWRIGHT_FFMPEG": "/nonexistent"}

    done = run("doctor", "--data", "data", cwd=tmp_path, **at)

    assert done.returncode == 1
    assert re.search(r"^✗ ffmpeg +SCENEWRIGHT_FFMPEG names /nonexistent", done.stdout, re.MULTILINE)
    assert re.search(r"^✗ appwrite .*check APPWRITE_ENDPOINT", done.stdout, re.MULTILINE)


def test_the_render_address_can_be_set_but_not_to_an_open_one(running_stack: RunningStack, tmp_path: Path) -> None:
    at = ("--data", running_stack.data)

    refused = run("set", "render_url", "http://example.com", *at, cwd=tmp_path)
    unknown = run("set", "colour", "red", *at, cwd=tmp_path)
    taken = run("set", "render_url", running_stack.settings.render_url, *at, cwd=tmp_path)

    assert (refused.returncode, unknown.returncode, taken.returncode) == (2, 2, 0)


def test_a_worker_does_not_open_itself_to_others_without_a_token(tmp_path: Path) -> None:
    done = run("worker", "--host", "0.0.0.0", cwd=tmp_path, APPWRITE_ENDPOINT="http://127.0.0.1:9/v1")

    assert done.returncode == 2
    assert done.stderr.startswith("token_needed")


def test_the_list_of_voices_says_what_a_model_speaks_before_them(tmp_path: Path) -> None:
    plain, model = (run("voices", "en", cwd=tmp_path, SCENEWRIGHT_VOICE=name) for name in ("espeak", "vits"))

    assert plain.stdout == model.stdout
    assert "hears vits in en;" in model.stderr
    assert "vits" not in plain.stderr

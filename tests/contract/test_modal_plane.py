"""The control plane of the tests: Modal's own client, command line and containers find what they need in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modal
import psutil
import pytest

from tests.plane import Plane

SAMPLE = Path(__file__).parent.parent / "data" / "modal_sample"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with the sample App deployed, spoken to by this process's client."""
    folder = tmp_path_factory.mktemp("sample")
    env = {"SAMPLE_FOLDER": str(folder), "SAMPLE_EXTRA": "given by the test"}
    with Plane(env=env, secrets={"sample-backend": {"SAMPLE_KEY": "k1"}}) as started:
        started.deploy("sample_app.py", cwd=SAMPLE)
        with started.speaking():
            yield started
        assert not started.unimplemented
        left = started.pids()
    assert not [pid for pid in left if psutil.pid_exists(pid)]
    assert not started.folder.exists()


def notes(plane: Plane) -> list[str]:
    """What the containers have told, in order."""
    file = Path(plane.means.env["SAMPLE_FOLDER"]) / "notes"
    return file.read_text().splitlines() if file.exists() else []


def test_a_deploy_leaves_on_the_server_what_the_decorators_say(plane: Plane) -> None:
    renderer = plane.deployed("sample")["Renderer.*"]

    assert renderer.gpus == ("L4", "A10")
    assert (renderer.cores, renderer.memory) == (2.0, 12288)
    assert (renderer.timeout, renderer.startup_timeout) == (900, 600)
    assert (renderer.scaledown_window, renderer.max_containers, renderer.retries) == (5, 1, 2)
    assert renderer.secrets == ("sample-backend",)
    assert renderer.volumes == {"/weights": "sample-weights"}
    assert renderer.snapshot
    assert renderer.methods == ("render",)
    assert renderer.files == {"/root/sample_app.py", "/root/sample_kit/__init__.py"}
    assert any("ffmpeg" in line for line in renderer.image)
    assert renderer.env == {"SAMPLE_MODE": "plain", "SAMPLE_WEIGHTS": "/weights/base"}
    assert plane.deployed("sample")["see"].env["SAMPLE_OWN"] == "of the function"


def test_a_function_runs_in_a_process_with_a_clean_environment_of_its_own(plane: Plane) -> None:
    seen = modal.Function.from_name("sample", "see").remote("value")

    assert seen["value"] == "value"
    assert seen["pid"] != os.getpid()
    assert seen["python"] == sys.executable
    assert seen["env"]["SAMPLE_MODE"] == "plain"
    assert seen["env"]["SAMPLE_OWN"] == "of the function"
    assert seen["env"]["SAMPLE_EXTRA"] == "given by the test"
    assert Path(seen["env"]["HOME"]).is_relative_to(plane.folder)
    assert seen["inherited"] == []


def test_a_process_without_the_source_calls_by_name_and_fetches_by_id(plane: Plane, tmp_path: Path) -> None:
    program = """\
import sys, modal
call = modal.Function.from_name("sample", "see").spawn(7)
print(modal.FunctionCall.from_id(call.object_id).get(timeout=60)["value"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=plane.env, capture_output=True, text=True, check=False
    )

    assert done.stdout == "7\n", done.stderr


def test_a_class_is_prepared_once_gets_its_secret_its_volume_and_spawns_from_inside(plane: Plane) -> None:
    renderer = modal.Cls.from_name("sample", "Renderer")()
    first = renderer.render.spawn({"video_id": "v1"})
    seen = first.get(timeout=60)

    assert seen["steps"] == ["on_cpu", "on_gpu"]
    assert seen["key"] == "k1"
    assert seen["weights"] == str(plane.volume("sample-weights") / "base")
    assert (plane.volume("sample-weights") / "written").read_text() == "by a container"
    assert plane.catalog.commits["sample-weights"] > 0
    assert modal.FunctionCall.from_id(seen["call"]).get(timeout=60) == {"state": "done"}
    (root,) = modal.FunctionCall.from_id(seen["call"]).get_call_graph()
    assert (root.function_call_id, [child.function_call_id for child in root.children]) == (
        first.object_id,
        [seen["call"]],
    )


def test_calls_from_inside_a_container_come_back_in_order(plane: Plane) -> None:
    assert modal.Function.from_name("sample", "fan_out").remote([3, 1, 2]) == [3, 1, 2]


def test_a_container_stays_for_the_next_call(plane: Plane) -> None:
    see = modal.Function.from_name("sample", "see")

    assert see.remote()["pid"] == see.remote()["pid"]


def test_large_arguments_and_results_go_through_the_blob_store(plane: Plane) -> None:
    before = plane.seen["BlobCreate"]
    value = "x" * 20_000

    assert modal.Function.from_name("sample", "see").spawn(value).get(timeout=60)["value"] == value
    assert plane.seen["BlobCreate"] - before == 2


def test_a_spawn_with_too_large_an_inline_payload_is_refused(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modal._utils.function_utils.should_upload", lambda *_: False)

    with pytest.raises(modal.exception.InvalidError, match="Inline payload"):
        modal.Function.from_name("sample", "see").spawn("x" * 20_000)


def test_a_failed_attempt_is_made_again_as_the_retry_policy_says(plane: Plane) -> None:
    call = modal.Function.from_name("sample", "fail_once").spawn()

    assert call.get(timeout=60) == "well"
    assert [one.retry_count for one in plane.deliveries(call.object_id)] == [0, 1]
    # idle for longer than its scaledown window, a container ends
    plane.wait(lambda: not plane.containers("fail_once"), "end of the idle container")


def test_a_deploy_to_an_environment_that_is_not_there_fails(plane: Plane) -> None:
    done = plane.cli("deploy", "sample_app.py", "--env", "elsewhere", cwd=SAMPLE)

    assert done.returncode != 0
    assert "elsewhere" in done.stdout + done.stderr


def test_a_container_without_access_to_modal_cannot_call_anything(plane: Plane) -> None:
    before = len(plane.calls("see"))

    with pytest.raises(modal.exception.PermissionDeniedError):
        modal.Function.from_name("sample", "reach_out").remote()
    assert len(plane.calls("see")) == before
    plane.wait(lambda: not plane.containers("reach_out"), "end of the container for one call")


def test_an_app_can_be_run_without_being_deployed(plane: Plane) -> None:
    done = plane.cli("run", "sample_app.py::seed", cwd=SAMPLE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.startswith("seeded") for line in notes(plane))


def test_a_new_deploy_gets_new_containers(plane: Plane) -> None:
    see = modal.Function.from_name("sample", "see")
    before = see.remote()["pid"]
    plane.deploy("sample_app.py", cwd=SAMPLE)

    assert modal.Function.from_name("sample", "see").remote()["pid"] != before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"gpu": "L5"}, "Unknown GPU type 'L5'"),
        ({"gpu": ["L4", "RTX"]}, "Unknown GPU type 'RTX'"),
        ({"gpu": "L4:9"}, "GPU count"),
        ({"gpu": "L4", "nonpreemptible": True}, "nonpreemptible"),
        ({"timeout": 86401}, "timeout"),
    ],
)
def test_the_server_refuses_what_the_client_alone_would_take(
    plane: Plane, words: dict[str, Any], complaint: str
) -> None:
    app = modal.App("refused")
    app.function(serialized=True, **words)(lambda: None)

    with pytest.raises(modal.exception.InvalidError, match=complaint):
        app.deploy()


@pytest.mark.parametrize(
    ("name", "key", "error"),
    [
        ("nobody-made-it", "SAMPLE_KEY", modal.exception.NotFoundError),
        ("sample-backend", "ANOTHER_KEY", modal.exception.Error),
    ],
)
def test_a_deploy_fails_without_its_secret_or_one_of_its_keys(
    plane: Plane, name: str, key: str, error: type[Exception]
) -> None:
    app = modal.App("secretless")
    app.function(serialized=True, secrets=[modal.Secret.from_name(name, required_keys=[key])])(lambda: None)

    with pytest.raises(error, match=f"{name}|{key}"):
        app.deploy()


def test_no_container_outlives_a_plane_whose_process_is_killed(tmp_path: Path) -> None:
    program = f"""\
import sys, time
from pathlib import Path
import modal
from tests.plane import Plane
with Plane(env={{"SAMPLE_FOLDER": {str(tmp_path)!r}}}, secrets={{"sample-backend": {{"SAMPLE_KEY": "k"}}}}) as plane:
    plane.deploy("sample_app.py", cwd=Path({str(SAMPLE)!r}))
    with plane.speaking():
        call = modal.Function.from_name("sample", "compose").spawn({{"video_id": "wait"}})
        plane.wait(lambda: plane.running(call.object_id), "running container")
        print(*plane.pids(), plane.folder, flush=True)
        time.sleep(60)
"""
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as own:
        assert own.stdout is not None
        pid, folder = own.stdout.readline().split()
        container = psutil.Process(int(pid))
        own.send_signal(signal.SIGKILL)

    container.wait(30)
    shutil.rmtree(folder)

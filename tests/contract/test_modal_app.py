"""What a deployment of modal_app.py sends to Modal: machines, limits, files, and nothing that is secret."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import modal
import pytest

from tests.on_modal import APP, BACKEND, COMPOSE, RENDER, ROOT
from tests.plane import Plane
from tests.unit.test_weights import Hub, hub

__all__ = ["hub"]  # a fixture

ISOLATED = f"{APP}-isolated"
SECRET = {"APPWRITE_ENDPOINT": "http://127.0.0.1:9/v1", "APPWRITE_PROJECT_ID": "p", "APPWRITE_API_KEY": "k"}


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """Both apps, deployed by somebody who has set nothing."""
    with Plane(secrets={BACKEND: SECRET}) as started:
        started.deploy("-m modal_app", cwd=ROOT)
        started.deploy("-m modal_app::isolated_app", cwd=ROOT)
        with started.speaking():
            yield started
        assert not started.unimplemented


def source_files() -> set[str]:
    """Every file of `core` that a container needs, and the schema, by their names there."""
    found = (p for p in (ROOT / "core").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {f"/root/{p.relative_to(ROOT).as_posix()}" for p in found} | {"/root/appwrite.json"}


def test_the_renderer_has_a_gpu_limits_and_a_snapshot_and_no_retries_of_modals(plane: Plane) -> None:
    renderer = plane.deployed(APP)[RENDER]

    assert renderer.gpus == ("A10", "L4")
    assert (renderer.cores, renderer.memory) == (2.0, 12 * 1024)
    assert (renderer.timeout, renderer.startup_timeout) == (900, 600)
    assert (renderer.scaledown_window, renderer.max_containers, renderer.retries) == (5, 4, 0)
    assert renderer.snapshot
    assert renderer.methods == ("render",)
    assert (renderer.volumes, renderer.read_only) == ({"/weights": "scenewright-weights"}, frozenset({"/weights"}))
    assert renderer.secrets == (BACKEND,)


def test_the_join_has_no_gpu_and_no_weights(plane: Plane) -> None:
    compose = plane.deployed(APP)[COMPOSE]

    assert (compose.gpus, compose.volumes, compose.retries) == ((), {}, 0)
    assert (compose.cores, compose.memory) == (4.0, 4 * 1024)
    assert compose.scaledown_window == 2
    assert not any("torch" in line for line in compose.image)


@pytest.mark.parametrize("name", [RENDER, COMPOSE])
def test_every_file_of_ours_is_in_the_container_and_nothing_else(plane: Plane, name: str) -> None:
    assert set(plane.deployed(APP)[name].files) == source_files() | {"/root/modal_app.py"}


def test_the_weights_can_be_written_only_by_who_fills_them(plane: Plane) -> None:
    seed = plane.deployed(APP)["seed_weights"]

    assert (seed.volumes, seed.read_only) == ({"/weights": "scenewright-weights"}, frozenset())
    assert seed.secrets == ()


def test_isolated_source_finds_no_network_no_secret_and_no_volume(plane: Plane) -> None:
    function = plane.deployed(ISOLATED)["run_source"]

    assert (function.secrets, function.volumes, function.gpus, function.retries) == ((), {}, (), 0)
    made = function.definition
    assert made.block_network
    assert made.untrusted
    assert made.single_use_containers
    assert any("libpango1.0-dev" in line for line in function.image)
    assert any("manim==" in line and "typst==" in line for line in function.image)


def test_isolated_source_runs_in_its_container(plane: Plane) -> None:
    run = modal.Function.from_name(ISOLATED, "run_source")

    ended = run.remote({"source": "import os\nopen('a', 'w').write('b')\nprint('APPWRITE_API_KEY' in os.environ)"})

    assert (ended["exit_code"], ended["stdout"], ended["files"]) == (0, "False\n", {"a": "Yg=="})


def test_what_who_deploys_has_set_reaches_machines_and_containers_and_secrets_do_not() -> None:
    env = {
        "SCENEWRIGHT_MODAL_APP": "other",
        "SCENEWRIGHT_RENDER_MACHINE": "L40S,4,16",
        "SCENEWRIGHT_MODAL_SECOND_GPUS": "",
        "SCENEWRIGHT_MODAL_MAX_CONTAINERS": "7",
        "SCENEWRIGHT_MODAL_SNAPSHOT": "0",
        "SCENEWRIGHT_STALE_SECONDS": "77",
        "SCENEWRIGHT_RENDER_TOKEN": "a-secret-of-the-laptop",
        "SCENEWRIGHT_DATA": "/home/of/somebody",
        "GEMINI_API_KEY": "a-secret-key",
    }
    with Plane(secrets={BACKEND: SECRET}) as plane:
        plane.deploy("-m modal_app", cwd=ROOT, env=env)
        renderer = plane.deployed("other")[RENDER]
        variables = plane.catalog.secret_env(list(renderer.definition.secret_ids))

    assert (renderer.gpus, renderer.cores, renderer.memory) == (("L40S",), 4.0, 16 * 1024)
    assert (renderer.max_containers, renderer.snapshot) == (7, False)
    told = {n: v for n, v in variables.items() if n.startswith(("SCENEWRIGHT_", "GEMINI_"))}
    assert told == {
        "SCENEWRIGHT_RENDERER": "modal",
        "SCENEWRIGHT_WEIGHTS": "/weights",
        "SCENEWRIGHT_MODAL_APP": "other",
        "SCENEWRIGHT_RENDER_MACHINE": "L40S,4,16",
        "SCENEWRIGHT_STALE_SECONDS": "77.0",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCENEWRIGHT_MODAL_TIMEOUT_SECONDS", "0"),
        ("SCENEWRIGHT_MODAL_SCALEDOWN_SECONDS", "1"),
        ("SCENEWRIGHT_MODAL_MAX_CONTAINERS", "many"),
        ("SCENEWRIGHT_MODAL_SECOND_GPUS", "RTX-9"),
        ("SCENEWRIGHT_RENDER_MACHINE", "A10"),
    ],
)
def test_a_setting_that_cannot_be_is_named_before_anything_is_deployed(name: str, value: str) -> None:
    with Plane(secrets={BACKEND: SECRET}) as plane:
        done = plane.cli("deploy", "-m", "modal_app", cwd=ROOT, env={name: value})

        assert done.returncode != 0
        assert name in done.stdout + done.stderr
        assert not plane.seen["AppPublish"]


def test_a_secret_without_its_keys_stops_the_deployment_with_their_names() -> None:
    with Plane(secrets={BACKEND: {"APPWRITE_ENDPOINT": "x"}}) as plane:
        done = plane.cli("deploy", "-m", "modal_app", cwd=ROOT)

    assert done.returncode != 0
    assert "APPWRITE_API_KEY" in done.stdout + done.stderr


def test_one_command_fills_the_volume_for_every_container(hub: Hub) -> None:
    with Plane(secrets={BACKEND: SECRET}, env={"HF_ENDPOINT": hub.url}) as plane:
        done = plane.cli("run", "-m", "modal_app::seed_weights", "--names", "xtts", cwd=ROOT)

        assert done.returncode == 0, done.stdout + done.stderr + plane.log()
        assert {p.name for p in (plane.volume("scenewright-weights") / "xtts").iterdir()} >= {
            "model.pth",
            "config.json",
        }
        assert plane.seen["VolumeCommit"]


@pytest.mark.parametrize("forgotten", ["core/ladder.py", "core/engines/clip_motion.py", "appwrite.json"])
def test_a_file_that_is_not_there_is_noticed(tmp_path: Path, forgotten: str) -> None:
    """The comparison of files above is worth something only if a call misses what is missing."""
    shutil.copy(ROOT / "modal_app.py", tmp_path)
    shutil.copy(ROOT / "appwrite.json", tmp_path)
    shutil.copytree(ROOT / "core", tmp_path / "core", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / forgotten).unlink()
    with Plane(secrets={BACKEND: SECRET}) as plane:
        done = plane.cli("deploy", "-m", "modal_app", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
        if done.returncode:
            assert Path(forgotten).name in done.stdout + done.stderr
            return
        with plane.speaking(), pytest.raises(Exception, match=re.escape(Path(forgotten).stem)):
            modal.Cls.from_name(APP, "Renderer")().render.remote(
                {"kind": "render", "video_id": "v", "attempt": 1, "scenes": [1]}
            )


def pins(path: str) -> dict[str, str]:
    """Package -> version of a list of requirements; where several are for several Pythons, the first."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", (ROOT / path).read_text("utf-8"), re.M):
        found.setdefault(name.lower().replace("_", "-"), version)
    return found


def test_the_images_have_the_versions_that_the_tests_have() -> None:
    import modal_app

    known = {**pins("tests/gpu/manim.txt"), **pins("tests/gpu/requirements.txt"), **pins("requirements.lock")}
    named = modal_app.PACKAGES + modal_app.MODEL_PACKAGES + modal_app.WRITER_PACKAGES + modal_app.MANIM_PACKAGES
    packages = [p.partition("==") for p in named]

    assert [(n, v) for n, _, v in packages if known[n.lower().replace("_", "-")] != v] == []

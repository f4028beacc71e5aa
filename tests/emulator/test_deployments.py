"""Deployments by upload: builds in environments of their own, activation, and what is refused."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from appwrite.enums.runtime import Runtime
from appwrite.input_file import InputFile
from appwrite.models import Deployment
from appwrite.services.functions import Functions

from .conftest import Person, Running, running
from .replay import packed
from .test_functions import ended, failure, until

CODE = """
import importlib.util, json, os, sys
from .shared import NAME

async def main(context):
    return context.res.json({
        "name": NAME, "tiny": importlib.util.find_spec("tiny") is not None, "prefix": sys.prefix, "path": sys.path,
        "server": importlib.util.find_spec("starlette") is not None, "root": os.path.dirname(__file__),
        "deployment": os.environ["APPWRITE_FUNCTION_DEPLOYMENT"], "first_program": os.environ["PATH"].split(":")[0],
    })
"""
INSTALL = "pip install -r requirements.txt"
MIB = 1024 * 1024


def code(name: str, **more: bytes) -> bytes:
    """An archive whose function says its name."""
    files = {"main.py": CODE.encode(), "shared.py": f"NAME = {name!r}\n".encode(), "requirements.txt": b"tiny==1.0\n"}
    return packed({**files, **more})


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one package, which pip is told to take everything from."""
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "VERSION = 1\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return folder


@contextmanager
def serving(data: Path, *arguments: str, **variables: str) -> Iterator[tuple[Running, Functions]]:
    """A server with these environment variables, and the client that may do everything."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        with running(data, *arguments) as server:
            yield server, Functions(server.client(key=server.key))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[tuple[Running, Functions]]:
    with serving(tmp_path_factory.mktemp("data"), PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels)) as both:
        yield both


@pytest.fixture(scope="module")
def server(served: tuple[Running, Functions]) -> Running:
    return served[0]


@pytest.fixture(scope="module")
def functions(served: tuple[Running, Functions]) -> Functions:
    return served[1]


def make(functions: Functions, function_id: str, **fields: Any) -> None:
    usual = {"execute": ["any"], "entrypoint": "main.py", "timeout": 15}
    functions.create(function_id, function_id.title(), Runtime.PYTHON_3_12, **{**usual, **fields})


def deploy(functions: Functions, function_id: str, archive: bytes, commands: str = "", activate: bool = True) -> str:
    """Uploads as a client does; returns the new deployment's id."""
    source = InputFile.from_bytes(archive, "code.tar.gz", "application/gzip")
    return str(functions.create_deployment(function_id, source, activate, "main.py", commands).id)


def built(functions: Functions, function_id: str, deployment_id: str) -> Deployment:
    """The deployment once its build has ended."""
    over = ("ready", "failed", "canceled")
    until(lambda: functions.get_deployment(function_id, deployment_id).status.value in over, seconds=120)
    return functions.get_deployment(function_id, deployment_id)


def answer(functions: Functions, function_id: str) -> Any:
    """What the function says of itself."""
    execution = functions.create_execution(function_id)
    assert execution.status.value == "completed", execution.errors
    return json.loads(execution.responsebody)


def upload(
    server: Running, function_id: str, archive: bytes, fields: dict[str, str] | None = None, **headers: str
) -> requests.Response:
    """A raw upload request; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(
        f"{server.endpoint}/functions/{function_id}/deployments",
        data={"activate": "true", "entrypoint": "main.py", "commands": "", **(fields or {})},
        files={"code": ("code.tar.gz", archive, "application/gzip")},
        headers={"x-appwrite-project": server.project, "x-appwrite-key": server.key, **named}, timeout=30,
    )  # fmt: skip


def test_what_was_deployed_runs_in_an_environment_of_its_own(functions: Functions) -> None:
    make(functions, "first")
    assert failure(functions.create_execution, "first") == (404, "deployment_not_found")
    source = InputFile.from_bytes(code("one"), "code.tar.gz", "application/gzip")
    made = functions.create_deployment("first", source, True, "main.py", INSTALL)
    assert (made.status.value, made.type, made.activate, made.buildsize) == ("waiting", "manual", True, 0)
    done = built(functions, "first", made.id)
    assert done.status.value == "ready", done.buildlogs
    assert "Successfully installed tiny-1.0" in done.buildlogs
    assert done.sourcesize == len(code("one")) < done.buildsize < done.totalsize
    seen = functions.get("first")
    assert (seen.deploymentid, seen.latestdeploymentid, seen.latestdeploymentstatus) == (made.id, made.id, "ready")
    said = answer(functions, "first")
    assert (said["name"], said["tiny"], said["server"], said["deployment"]) == ("one", True, False, made.id)
    assert said["root"] not in said["path"]
    assert said["first_program"] == said["prefix"] + "/bin"


def test_the_same_requirements_are_installed_once_and_earlier_code_can_be_taken_again(functions: Functions) -> None:
    make(functions, "again")
    ids = [deploy(functions, "again", code(name), INSTALL) for name in ("old", "new")]
    done = [built(functions, "again", each) for each in ids]
    assert [each.status.value for each in done] == ["ready", "ready"]
    assert "an earlier build of the same requirements" in done[1].buildlogs
    assert [each.activate for each in done] == [False, True]
    new = answer(functions, "again")
    assert (new["name"], new["tiny"]) == ("new", True)
    assert functions.update_function_deployment("again", ids[0]).deploymentid == ids[0]
    old = answer(functions, "again")
    assert (old["name"], old["tiny"], old["prefix"]) == ("old", True, new["prefix"])
    query = json.dumps({"method": "equal", "attribute": "activate", "values": [True]})
    assert [each.id for each in functions.list_deployments("again", [query]).deployments] == [ids[1]]
    assert functions.list_deployments("again", search=ids[0]).total == 1


def test_a_deployment_that_is_not_to_be_activated_waits_for_it(functions: Functions) -> None:
    make(functions, "later")
    first = deploy(functions, "later", code("later"), activate=False)
    assert built(functions, "later", first).status.value == "ready"
    assert failure(functions.create_execution, "later") == (404, "deployment_not_found")
    functions.update_function_deployment("later", first)
    assert answer(functions, "later")["name"] == "later"
    copy = functions.create_duplicate_deployment("later", first)
    assert built(functions, "later", copy.id).status.value == "ready"
    assert functions.get("later").deploymentid == copy.id
    functions.delete_deployment("later", copy.id)
    assert failure(functions.get_deployment, "later", copy.id) == (404, "deployment_not_found")
    assert failure(functions.create_execution, "later") == (404, "deployment_not_found")
    assert failure(functions.update_function_deployment, "later", "nosuch") == (404, "deployment_not_found")
    functions.update_function_deployment("later", first)
    functions.delete("later")
    assert failure(functions.list_deployments, "later") == (404, "function_not_found")


def test_large_archives_come_in_chunks_in_any_order_and_can_be_downloaded(
    server: Running, functions: Functions
) -> None:
    make(functions, "large")
    archive = code("large", **{"blob.bin": os.urandom(11 * MIB)})
    assert len(archive) > 10 * MIB
    first = deploy(functions, "large", archive)  # eight chunks at once, as the client does
    assert built(functions, "large", first).status.value == "ready"
    assert answer(functions, "large")["name"] == "large"
    starts = [5 * MIB, 10 * MIB, 0]
    for start in starts:
        part = archive[start : start + 5 * MIB]
        span = f"bytes {start}-{start + len(part) - 1}/{len(archive)}"
        sent = upload(server, "large", part, content_range=span, x_appwrite_id="mine", x_sdk_language="cli")
        assert (sent.status_code, sent.json()["$id"], sent.json()["status"]) == (202, "mine", "waiting")
        if start:
            assert failure(functions.update_function_deployment, "large", "mine") == (400, "build_not_ready")
            assert failure(functions.get_deployment_download, "large", "mine") == (404, "deployment_not_found")
    done = built(functions, "large", "mine")
    assert (done.status.value, done.type, done.sourcesize) == ("ready", "cli", len(archive))
    assert functions.get_deployment_download("large", "mine") == archive
    path = f"/functions/large/deployments/{first}/download"
    part_of_it = server.send("GET", path, x_appwrite_key=server.key, range="bytes=10-19")
    assert (part_of_it.status_code, part_of_it.content) == (206, archive[10:20])


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (b"no archive at all", "no tar.gz"),
        (packed({"../../escaped": b"x"}), "leads out"),
        (packed({"/tmp/scenewright-escaped": b"x"}), "absolute"),
        (packed({"main.py": b"x" * MIB})[:-100], "no whole tar.gz"),
    ],
)
def test_an_archive_that_cannot_be_trusted_fails_and_writes_nothing_outside(
    server: Running, functions: Functions, archive: bytes, sentence: str
) -> None:
    if not functions.list(search="bad").total:
        make(functions, "bad")
    beside = sorted(path.name for path in server.data.iterdir())
    done = built(functions, "bad", deploy(functions, "bad", archive))
    assert done.status.value == "failed"
    assert sentence in done.buildlogs
    assert "Traceback" not in done.buildlogs
    assert failure(functions.update_function_deployment, "bad", done.id) == (400, "build_not_ready")
    assert sorted(path.name for path in server.data.iterdir()) == beside
    assert not list(server.data.rglob("*escaped*"))
    assert not Path("/tmp/scenewright-escaped").exists()


def test_links_out_and_bombs_fail_while_the_server_goes_on_answering(server: Running, functions: Functions) -> None:
    make(functions, "bomb")
    link, bomb = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=link, mode="w:gz") as tar:
        member = tarfile.TarInfo("main.py")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with tarfile.open(fileobj=bomb, mode="w:gz", compresslevel=1) as tar:
        member = tarfile.TarInfo("zeros")
        member.size = 501_000_000
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    ids = [deploy(functions, "bomb", archive.getvalue()) for archive in (link, bomb)]
    done = [built(functions, "bomb", each) for each in ids]
    assert [each.status.value for each in done] == ["failed", "failed"]
    assert "leads out" in done[0].buildlogs
    assert "more than 500,000,000 bytes" in done[1].buildlogs


def test_a_build_that_fails_keeps_its_output_and_leaves_the_active_code_alone(functions: Functions) -> None:
    make(functions, "failing")
    built(functions, "failing", deploy(functions, "failing", code("good")))
    commands = "yes flood | head -c 3000000\nsleep 600 &\necho the end\nfalse\necho not reached"
    done = built(functions, "failing", deploy(functions, "failing", code("broken"), commands))
    assert done.status.value == "failed"
    assert done.buildlogs.endswith("the end\nThe build commands ended with exit status 1.\n")
    assert len(done.buildlogs) <= 1_000_100
    assert answer(functions, "failing")["name"] == "good"
    assert functions.get("failing").latestdeploymentstatus == "failed"


def test_commands_may_change_the_code_and_see_the_functions_variables(functions: Functions) -> None:
    make(functions, "generated", commands="echo \"NAME = '$WORD'\" > shared.py")
    functions.create_variable("generated", "v1", "WORD", "generated", True)
    source = InputFile.from_bytes(code("written"), "code.tar.gz", "application/gzip")
    made = functions.create_deployment("generated", source, True)  # entrypoint and commands are the function's
    assert built(functions, "generated", made.id).status.value == "ready"
    assert answer(functions, "generated")["name"] == "generated"


def test_a_running_build_can_be_canceled_and_its_processes_end(functions: Functions) -> None:
    make(functions, "canceled")
    deployment = deploy(functions, "canceled", code("x"), "sleep 600 & echo pid $! ; sleep 1.1; echo; sleep 600")
    until(lambda: "pid " in functions.get_deployment("canceled", deployment).buildlogs, seconds=60)
    logs = functions.get_deployment("canceled", deployment).buildlogs
    child = int(logs.rpartition("pid ")[2].split()[0])
    assert functions.update_deployment_status("canceled", deployment).status.value == "canceled"
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    after = deploy(functions, "canceled", code("after"))
    assert built(functions, "canceled", after).status.value == "ready"
    assert failure(functions.update_deployment_status, "canceled", after) == (400, "build_already_completed")


@pytest.mark.parametrize(
    ("archive", "fields", "headers", "expected"),
    [
        (b"", {}, {}, (400, "storage_file_empty")),
        (b"x", {"activate": "perhaps"}, {}, (400, "general_argument_invalid")),
        (b"x", {"entrypoint": "../main.py"}, {}, (400, "general_argument_invalid")),
        (b"x", {"commands": "x" * 8193}, {}, (400, "general_argument_invalid")),
        (b"x", {}, {"content_range": "bytes 0-1/2"}, (400, "storage_invalid_content_range")),
        (b"x", {}, {"content_range": "bytes 1-1/2"}, (400, "storage_invalid_content_range")),
        (b"x", {}, {"content_range": "bytes 0-1/30000001"}, (400, "storage_invalid_content_range")),
        (bytes(5 * MIB), {}, {"content_range": "bytes 0-5242879/30000001"}, (400, "deployment_invalid_file_size")),
        (b"x", {}, {"content_range": "bytes 0-0/1", "x_appwrite_id": "../x"}, (400, "storage_invalid_appwrite_id")),
        (bytes(13 * MIB), {}, {}, (400, "storage_invalid_file_size")),
        (b"x", {}, {"x_appwrite_key": "wrong"}, (401, "user_unauthorized")),
    ],
)
def test_an_upload_that_makes_no_sense_is_refused_and_leaves_nothing(
    server: Running, functions: Functions, archive: bytes, fields: dict[str, str], headers: dict[str, str],
    expected: tuple[int, str],
) -> None:  # fmt: skip
    if not functions.list(search="refusing").total:
        make(functions, "refusing")
    refused = upload(server, "refusing", archive, fields, **headers)
    if expected[0] != 401:
        assert (refused.status_code, refused.json()["type"]) == expected
    else:
        assert refused.status_code == 401
    assert functions.list_deployments("refusing").total == 0


def test_only_servers_deploy_and_only_archives_are_taken(server: Running, functions: Functions, person: Any) -> None:
    make(functions, "guarded")
    user: Person = person()
    sent = upload(server, "guarded", code("x"), x_appwrite_key="", x_appwrite_session=user.session)
    assert (sent.status_code, sent.json()["type"]) == (401, "general_unauthorized_scope")
    assert upload(server, "nosuch", code("x")).json()["type"] == "function_not_found"
    raw = server.send("POST", "/functions/guarded/deployments", {"activate": True}, x_appwrite_key=server.key)
    assert (raw.status_code, raw.json()["type"]) == (400, "storage_file_empty")
    zipped = InputFile.from_bytes(b"PK", "code.zip", "application/zip")
    refused = failure(functions.create_deployment, "guarded", zipped, True)
    assert refused == (400, "storage_file_type_unsupported")


def test_deployments_survive_a_kill_and_builds_end_at_their_time(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "main.py").write_text(CODE.replace("from .shared import NAME", "NAME = 'the tree'"))
    data, source = tmp_path / "data", f"--source=kept={tree}"
    with serving(data, source) as (before, functions):
        make(functions, "kept")
        assert answer(functions, "kept")["name"] == "the tree"
        active = deploy(functions, "kept", code("deployed"))
        assert built(functions, "kept", active).status.value == "ready"
        assert answer(functions, "kept")["name"] == "deployed"
        endless = deploy(functions, "kept", code("never"), "sleep 600")
        until(lambda: functions.get_deployment("kept", endless).status.value == "building")
        before.process.send_signal(signal.SIGKILL)
        before.process.wait(5)
    with serving(data, source, _APP_COMPUTE_BUILD_TIMEOUT="2") as (_, functions):
        assert answer(functions, "kept")["name"] == "deployed"
        stopped = built(functions, "kept", endless)
        assert (stopped.status.value, stopped.buildlogs) == (
            "failed",
            "The build was stopped: it took more than 2 s.\n",
        )
        assert functions.get("kept").deploymentid == active
        functions.delete_deployment("kept", active)
        assert answer(functions, "kept")["name"] == "the tree"


def test_old_executions_are_purged_and_the_newest_kept(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, functions):
        make(functions, "busy")
        built(functions, "busy", deploy(functions, "busy", code("busy")))
        runs = [functions.create_execution("busy").id for _ in range(6)]
        planned = functions.create_execution("busy", xasync=True, scheduled_at="2099-01-01T00:00:00.000+00:00").id
    with serving(tmp_path, _APP_MAINTENANCE_RETENTION_EXECUTIONS_COUNT="2") as (_, functions):
        until(lambda: functions.list_executions("busy").total == 3)
        assert {each.id for each in functions.list_executions("busy").executions} == {*runs[-2:], planned}
        last = ended(functions, "busy", functions.create_execution("busy", xasync=True).id)
    made = datetime.fromisoformat(last.createdat)
    until(
        lambda: datetime.now(UTC) - made > timedelta(seconds=1.5)
    )  # what is older than a second is purged at the start
    with serving(tmp_path, _APP_MAINTENANCE_RETENTION_EXECUTION="1") as (_, functions):
        until(lambda: functions.list_executions("busy").total == 1)
        assert last.id not in [each.id for each in functions.list_executions("busy").executions]

"""The official CLI 12.0.1 deploys this project into an embedded server, as the guide says; then it makes a film."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import requests

from core import processes, schema
from core.media.probe import streams
from core.settings import Settings
from scripts.archive import chosen_files
from tests.e2e.official_cli import PROGRAMS, ROOT, Cli, clone, printed_commands
from tests.e2e.people import anonymous
from tests.e2e.test_cli import environment
from tests.e2e.web_programs import node_version
from tests.emulator.conftest import Running, running
from tests.waiting import renderer_ready, wait_for

pytestmark = [
    pytest.mark.skipif(node_version() < 20, reason="needs Node 20 or newer"),
    pytest.mark.skipif(not (PROGRAMS / "appwrite").exists(), reason="run `npm ci --prefix tests/e2e/web` first"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a fresh clone can be made from a clone only"),
    pytest.mark.timeout(600),
]
EMAIL = "operator@example.org"
SCRIPT = "The lighthouse stands on a rock in the sea, and at night its light turns round and round."


@dataclass(frozen=True)
class Deployed:
    """What the guide's commands left: the server, the person's shell, and what each command printed."""

    server: Running
    cli: Cli
    printed: dict[str, str]
    render: Settings  # how the renderer will reach the server, and others the renderer

    def said(self, start: str) -> str:
        """What the command that starts like this printed."""
        (text,) = (text for command, text in self.printed.items() if command.startswith(start))
        return text

    def get(self, path: str) -> dict[str, Any]:
        """An answer of the server to its key."""
        answer = self.server.send("GET", path, x_appwrite_key=self.server.key)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def printed_by(*arguments: str) -> str:
    """What a command of the embedded server prints."""
    command = [sys.executable, "-m", "emulator", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An embedded server with an empty data folder, and no working tree."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def cli(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The shell of somebody who cloned this project, with what the guide says to set."""
    variables = {
        "APPWRITE_ENDPOINT": server.endpoint,
        "APPWRITE_PROJECT_ID": server.project,
        "EMAIL": EMAIL,
        "PASSWORD": printed_by("operator", "--data", str(server.data), "--email", EMAIL),
        "SCENEWRIGHT_RENDER_URL": f"http://127.0.0.1:{processes.free_ports(0)[0]}",
        "SCENEWRIGHT_RENDER_TOKEN": "a-token-of-the-test",
    }
    folder = tmp_path_factory.mktemp("person")
    (folder / "home").mkdir()
    return Cli(folder / "home", clone(folder / "clone"), variables)


@pytest.fixture(scope="module")
def deployed(server: Running, cli: Cli) -> Deployed:
    """After every command of the guide, in its order."""
    printed = {command: cli.say(command) for command in printed_commands()}
    scopes = ",".join(schema.schema()["functions"][0]["scopes"])
    render = Settings(
        endpoint=server.endpoint,
        project_id=server.project,
        api_key=printed_by("key", "--data", str(server.data), "--scopes", scopes),
        render_url=cli.variables["SCENEWRIGHT_RENDER_URL"],
        render_token=cli.variables["SCENEWRIGHT_RENDER_TOKEN"],
        report_seconds=0.5,
    )
    found = Deployed(server, cli, printed, render)
    for deployment in found.get(f"/functions/{schema.FUNCTION}/deployments")["deployments"]:
        if deployment["status"] == "failed" and "No matching distribution" in deployment["buildLogs"]:
            pytest.skip("the function's packages cannot be installed here: no package index is reachable")
    return found


@pytest.fixture(scope="module")
def renderer(deployed: Deployed) -> Iterator[None]:
    """`scenewright worker`, with a key that has the function's scopes and no other."""
    port = str(processes.port_of(deployed.render.render_url))
    worker = subprocess.Popen(
        [sys.executable, "-m", "core.cli", "worker", "--host", "127.0.0.1", "--port", port],
        cwd=ROOT,
        env=environment(**deployed.render.to_env()),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: renderer_ready(deployed.render), "the renderer", 120)
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def test_a_wrong_password_signs_nobody_in(server: Running, cli: Cli) -> None:
    said = cli.say('appwrite login --endpoint "$APPWRITE_ENDPOINT" --email "$EMAIL" --password not-the-password')

    assert "Invalid credentials" in said
    assert "No user is signed in" in cli.say("appwrite whoami")


def test_an_operator_signs_in(deployed: Deployed) -> None:
    assert f"Successfully signed in as {EMAIL}" in deployed.said("appwrite login")
    assert EMAIL in deployed.cli.say("appwrite whoami")


def test_the_schema_that_was_pushed_is_the_schema_of_the_set_up_script(deployed: Deployed) -> None:
    tables = schema.schema()["tables"]

    assert f"Successfully pushed {len(tables)} tables" in deployed.said("appwrite push tables")
    for table in tables:
        there = deployed.get(f"/tablesdb/{schema.database_id()}/tables/{table['$id']}")
        columns = {column["key"]: column for column in there["columns"]}
        assert there["rowSecurity"] == table["rowSecurity"]
        assert list(columns) == [column["key"] for column in table["columns"]]
        for wanted in table["columns"]:
            assert {name: columns[wanted["key"]][name] for name in wanted} == wanted
        shown = [{name: index[name] for name in ("key", "type", "columns", "orders")} for index in there["indexes"]]
        assert shown == [{name: index[name] for name in shown[0]} for index in table["indexes"]]


def test_pushing_tables_again_changes_nothing(deployed: Deployed) -> None:
    paths = [f"/tablesdb/{schema.database_id()}/tables/{table['$id']}" for table in schema.schema()["tables"]]
    before = [deployed.get(path) for path in paths]

    said = deployed.cli.say("appwrite push tables --all --force")

    assert "Successfully pushed 0 tables" in said
    assert "List of applied changes" not in said
    assert "Found changes" not in said
    assert [deployed.get(path) for path in paths] == before


def test_buckets_are_pushed_and_pushed_again(deployed: Deployed) -> None:
    buckets = schema.schema()["buckets"]

    assert f"Successfully pushed {len(buckets)} buckets" in deployed.said("appwrite push buckets")
    assert f"Successfully pushed {len(buckets)} buckets" in deployed.cli.say("appwrite push buckets --all --force")
    for bucket in buckets:
        there = deployed.get(f"/storage/buckets/{bucket['$id']}")
        assert {name: there[name] for name in bucket} == bucket


def test_the_function_is_deployed_as_the_schema_says(deployed: Deployed) -> None:
    (wanted,) = schema.schema()["functions"]
    there = deployed.get(f"/functions/{schema.FUNCTION}")
    deployment = deployed.get(f"/functions/{schema.FUNCTION}/deployments/{there['deploymentId']}")

    assert "Successfully pushed 1 functions" in deployed.said("appwrite push functions")
    assert deployment["status"] == "ready", deployment["buildLogs"]
    names = ("name", "runtime", "execute", "events", "schedule", "timeout", "entrypoint", "commands", "scopes")
    assert {name: there[name] for name in names} == {name: wanted[name] for name in names}


def test_the_deployed_archive_is_small_and_holds_nothing_that_is_not_named(deployed: Deployed) -> None:
    there = deployed.get(f"/functions/{schema.FUNCTION}")
    path = f"/functions/{schema.FUNCTION}/deployments/{there['deploymentId']}/download"
    archive = deployed.server.send("GET", path, x_appwrite_key=deployed.server.key).content
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        read = {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry)) is not None}

    assert len(archive) < 5_000_000
    assert {PurePosixPath(name).parts[0] for name in read} == {"core", "functions", "appwrite.json"}
    parts = {part for name in read for part in PurePosixPath(name).parts}
    assert not parts & {".env", ".env.production", ".git", "tests", "id.pem", "credentials.json"}
    assert not [name for name, content in read.items() if b"do-not-deploy-me" in content]
    ignore = schema.schema()["functions"][0]["ignore"]
    assert set(read) == {str(path) for path in chosen_files(deployed.cli.folder, ignore)}


def test_the_health_of_the_deployed_function_is_seen_by_its_execution(deployed: Deployed) -> None:
    said = deployed.said("appwrite functions create-execution")

    assert "status : completed" in said
    assert "responseStatusCode : 200" in said


def test_the_lists_of_the_cli_show_what_is_there(deployed: Deployed) -> None:
    say = deployed.cli.say
    database, table = schema.database_id(), schema.SETTINGS
    executions = say(f"appwrite functions list-executions --function-id {schema.FUNCTION} --json")
    rows = say(f"appwrite tables-db list-rows --database-id {database} --table-id {table} --json")
    documents = say(f"appwrite databases list-documents --database-id {database} --collection-id {table} --json")
    files = say("appwrite storage list-files --bucket-id uploads --json")

    assert "/health" in [each["requestPath"] for each in json.loads(executions)["executions"]]
    assert json.loads(rows) == {"total": 0, "rows": []}
    assert json.loads(documents) == {"total": 0, "documents": []}
    assert json.loads(files) == {"total": 0, "files": []}


def test_the_set_up_script_finds_nothing_to_do_after_the_cli(deployed: Deployed) -> None:
    reached = environment(
        APPWRITE_ENDPOINT=deployed.server.endpoint,
        APPWRITE_PROJECT_ID=deployed.server.project,
        APPWRITE_API_KEY=deployed.server.key,
    )
    command = [sys.executable, "scripts/setup_db.py", "--check"]
    ended = subprocess.run(command, cwd=ROOT, env=reached, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_an_api_key_pushes_the_code_of_a_function_that_is_there(deployed: Deployed, tmp_path: Path) -> None:
    variables = {**deployed.cli.variables, "APPWRITE_API_KEY": deployed.server.key}
    cli = Cli(tmp_path, deployed.cli.folder, variables)
    before = deployed.get(f"/functions/{schema.FUNCTION}")["deploymentId"]

    known = cli.say(
        'appwrite client --endpoint "$APPWRITE_ENDPOINT" --project-id "$APPWRITE_PROJECT_ID" --key "$APPWRITE_API_KEY"'
    )
    pushed = cli.say("appwrite push functions --all --force")

    assert "Success" in known
    assert "Successfully pushed 1 functions" in pushed
    after = deployed.get(f"/functions/{schema.FUNCTION}")["deploymentId"]
    assert after not in ("", before)


def test_an_archive_made_for_the_console_is_deployed_too(deployed: Deployed, tmp_path: Path) -> None:
    """The request is the one the Console makes: a form, with an operator's session."""
    archive = tmp_path / "video_generation.tar.gz"
    packed = subprocess.run(
        [sys.executable, "scripts/archive.py", str(archive)],
        cwd=deployed.cli.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (function,) = schema.schema()["functions"]
    assert f"Entrypoint: {function['entrypoint']}" in packed.stdout
    assert f"Build commands: {function['commands']}" in packed.stdout
    operator = requests.Session()
    sign_in = {"email": EMAIL, "password": deployed.cli.variables["PASSWORD"]}
    project = {"x-appwrite-project": "console"}
    operator.post(f"{deployed.server.endpoint}/account/sessions/email", json=sign_in, headers=project, timeout=30)

    form = {"entrypoint": function["entrypoint"], "commands": function["commands"], "activate": "true"}
    with archive.open("rb") as code:
        uploaded = operator.post(
            f"{deployed.server.endpoint}/functions/{schema.FUNCTION}/deployments",
            data=form,
            files={"code": (archive.name, code, "application/gzip")},
            headers={"x-appwrite-project": deployed.server.project, "x-appwrite-mode": "admin"},
            timeout=60,
        )

    assert uploaded.status_code == 202, uploaded.text
    path = f"/functions/{schema.FUNCTION}/deployments/{uploaded.json()['$id']}"
    wait_for(lambda: deployed.get(path)["status"] == "ready", "the build", 120)
    assert deployed.get(f"/functions/{schema.FUNCTION}")["deploymentId"] == uploaded.json()["$id"]


def test_the_deployed_function_makes_a_video(deployed: Deployed, renderer: None, tmp_path: Path) -> None:
    user = anonymous(deployed.server.endpoint, deployed.server.project)
    made = user.call("POST", "/videos", {"script": SCRIPT, "resolution": 360, "aspect": "16:9"})
    assert made.status == 202, made.body

    def finished() -> dict[str, Any] | None:
        shown = user.call("GET", f"/videos/{made.body['videoId']}").body
        assert shown["status"] != "failed", shown
        return shown if shown["status"] == "completed" else None

    shown = wait_for(finished, "the film", 240)
    film = tmp_path / "film.mp4"
    film.write_bytes(requests.get(shown["play_url"], timeout=30).content)

    seen = streams(film)
    assert seen.video is not None and (seen.video.width, seen.video.height) == (640, 360)
    assert seen.seconds > 3
    executions = deployed.get(f"/functions/{schema.FUNCTION}/executions")["executions"]
    assert {each["trigger"] for each in executions} >= {"http", "event"}
    assert {each["deploymentId"] for each in executions} != {"working-tree"}

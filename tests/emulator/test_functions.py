"""Functions through the official client: records, variables, executions, and what starts them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from appwrite.enums.execution_method import ExecutionMethod
from appwrite.enums.runtime import Runtime
from appwrite.exception import AppwriteException
from appwrite.models import Execution
from appwrite.services.functions import Functions
from appwrite.services.tables_db import TablesDB

from .conftest import Person, Running, hear, hears_nothing, running

SOURCE = """
import asyncio, json, os, time
from appwrite.client import Client
from appwrite.services.account import Account
from appwrite.services.tables_db import TablesDB
from appwrite.exception import AppwriteException

def client(**secrets):
    made = Client().set_endpoint(os.environ["APPWRITE_FUNCTION_API_ENDPOINT"])
    made.set_project(os.environ["APPWRITE_FUNCTION_PROJECT_ID"])
    return made.set_key(secrets["key"]) if "key" in secrets else made.set_jwt(secrets["jwt"])

async def main(context):
    req, res = context.req, context.res
    context.log("path", req.path)
    context.error("an error line")
    if req.path == "/as-user":
        return res.text(Account(client(jwt=req.headers["x-appwrite-user-jwt"])).get().id)
    if req.path == "/as-function":
        mine = TablesDB(client(key=req.headers["x-appwrite-key"]))
        try:
            mine.create_row("none", "none", "none", {})
        except AppwriteException as refused:
            return res.json({"databases": mine.list().total, "refused": refused.type})
    if req.path == "/sleep":
        await asyncio.sleep(float(req.query["s"]))
        return res.text("slept")
    if req.path == "/pid":
        return res.text(str(os.getpid()))
    if req.path == "/crash":
        os._exit(3)
    if req.path == "/teapot":
        return res.text("teapot", 418)
    if req.path == "/fail":
        return res.text("no", 503)
    environment = {key: value for key, value in os.environ.items() if key.startswith(("APPWRITE_", "MY_"))}
    seen = {"method": req.method, "headers": req.headers, "body": req.body_text, "environment": environment}
    if req.headers["x-appwrite-trigger"] == "event":
        context.log(json.dumps({"body": req.body, **seen["headers"]}))
    return res.json(seen)
"""
ENDED = ("completed", "failed")
REFUSED = "general_unauthorized_scope"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working tree whose entrypoint lies in a folder of it."""
    root = tmp_path_factory.mktemp("tree")
    (root / "functions" / "echo").mkdir(parents=True)
    (root / "functions" / "echo" / "main.py").write_text(SOURCE)
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Iterator[Running]:
    sources = [f"--source={name}={tree}" for name in ("echo", "listener", "loose", "sleeper", "slow")]
    with running(tmp_path_factory.mktemp("appwrite"), *sources) as started:
        yield started


@pytest.fixture(scope="module")
def functions(server: Running) -> Functions:
    return Functions(server.client(key=server.key))


def make(functions: Functions, function_id: str, **fields: Any) -> None:
    usual = {"execute": ["users"], "entrypoint": "functions/echo/main.py", "timeout": 15}
    functions.create(function_id, function_id.title(), Runtime.PYTHON_3_12, **{**usual, **fields})


@pytest.fixture(scope="module")
def echo(functions: Functions) -> str:
    make(functions, "echo", scopes=["databases.read"])
    functions.create_variable("echo", "v1", "MY_VAR", "mine", False)
    functions.create_variable("echo", "v2", "APPWRITE_FUNCTION_ID", "another", True)
    return "echo"


@dataclass(frozen=True)
class Refused:
    """What somebody was told who waited, and when."""

    status: int | None
    kind: str | None
    seconds: float


@pytest.fixture(scope="module", autouse=True)
def long_wait(functions: Functions) -> Iterator[Future[Refused]]:
    """Somebody who calls a function that takes too long, and waits while all the tests here run."""
    make(functions, "sleeper", timeout=60)

    def wait() -> Refused:
        begun = time.monotonic()
        status, kind = failure(functions.create_execution, "sleeper", path="/sleep?s=50")
        return Refused(status, kind, time.monotonic() - begun)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(wait)


def ended(functions: Functions, function: str, execution: str) -> Execution:
    """The execution once it has ended."""
    until(lambda: functions.get_execution(function, execution).status.value in ENDED)
    return functions.get_execution(function, execution)


def found(functions: Functions, function: str, at_least: int, *queries: dict[str, Any]) -> list[Execution]:
    """The ended executions of a function once there are so many."""
    written = [json.dumps(query) for query in queries]

    def done() -> list[Execution]:
        page = functions.list_executions(function, written).executions
        return [execution for execution in page if execution.status.value in ENDED]

    until(lambda: len(done()) >= at_least)
    return done()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Waits for a condition; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def failure(act: Callable[..., object], *values: object, **named: object) -> tuple[int | None, str | None]:
    """Status and type of the refusal."""
    with pytest.raises(AppwriteException) as refused:
        act(*values, **named)
    return refused.value.code, refused.value.type


def test_a_function_sees_who_calls_it_and_its_own_surroundings(
    server: Running, echo: str, person: Callable[..., Person]
) -> None:
    ann = person()
    mine = Functions(server.client(session=ann.session))
    made = mine.create_execution(
        echo, body='{"a":1}', path="/x?q=1", method=ExecutionMethod.PUT, headers={"X-My": "h", "User-Agent": "me"}
    )
    assert (made.status.value, made.responsestatuscode, made.trigger.value) == ("completed", 200, "http")
    assert made.permissions == [f'read("user:{ann.id}")']
    assert (made.requestpath, made.requestmethod) == ("/x?q=1", "PUT")
    assert [header.name for header in made.requestheaders] == ["x-appwrite-client-ip"]
    seen = json.loads(made.responsebody)
    assert (seen["method"], seen["body"]) == ("PUT", '{"a":1}')
    headers = seen["headers"]
    assert (headers["x-my"], headers["x-appwrite-trigger"]) == ("h", "http")
    assert (headers["x-appwrite-user-id"], headers["x-appwrite-execution-id"]) == (ann.id, made.id)
    assert headers["x-appwrite-key"].startswith("ephemeral_")
    surroundings = seen["environment"]
    assert surroundings["MY_VAR"] == "mine"
    assert surroundings["APPWRITE_FUNCTION_ID"] == "echo", "Appwrite's own names win over variables"
    assert surroundings["APPWRITE_FUNCTION_API_ENDPOINT"] == server.endpoint
    assert surroundings["APPWRITE_FUNCTION_RUNTIME_VERSION"] == "3.12"


def test_only_keys_see_logs_and_errors(
    server: Running, functions: Functions, echo: str, person: Callable[..., Person]
) -> None:
    mine = Functions(server.client(session=person().session))
    made = mine.create_execution(echo, path="/a")
    assert (made.logs, made.errors) == ("", "")
    assert (mine.get_execution(echo, made.id).logs, mine.list_executions(echo).executions[0].logs) == ("", "")
    seen = functions.get_execution(echo, made.id)
    assert (seen.logs, seen.errors, seen.responsebody) == ("path /a\n", "an error line\n", "")


def test_who_may_execute_is_written_in_the_function(
    server: Running, functions: Functions, echo: str, person: Callable[..., Person]
) -> None:
    guest = Functions(server.client())
    assert failure(guest.create_execution, echo) == (401, "user_unauthorized")
    make(functions, "loose", execute=["any"])
    assert guest.create_execution("loose").permissions == []
    ann = person()
    functions.update("loose", "Loose", execute=[f"user:{ann.id}"], entrypoint="functions/echo/main.py")
    assert failure(Functions(server.client(session=person().session)).create_execution, "loose")[0] == 401
    assert Functions(server.client(session=ann.session)).create_execution("loose").status.value == "completed"
    functions.update("loose", "Loose", execute=["any"], enabled=False, entrypoint="functions/echo/main.py")
    assert failure(guest.create_execution, "loose") == (404, "function_not_found")
    assert failure(guest.create_execution, "nosuch") == (404, "function_not_found")


def test_a_user_sees_only_own_executions(server: Running, echo: str, person: Callable[..., Person]) -> None:
    mine, his = (Functions(server.client(session=person().session)) for _ in range(2))
    made = mine.create_execution(echo)
    assert [each.id for each in mine.list_executions(echo).executions] == [made.id]
    assert his.list_executions(echo).total == 0
    assert failure(his.get_execution, echo, made.id) == (404, "execution_not_found")
    assert failure(Functions(server.client()).list_executions, echo) == (401, "general_unauthorized_scope")


def test_the_functions_key_has_the_functions_scopes_and_the_jwt_is_the_user(
    server: Running, echo: str, person: Callable[..., Person]
) -> None:
    ann = person()
    mine = Functions(server.client(session=ann.session))
    assert mine.create_execution(echo, path="/as-user").responsebody == ann.id
    result = json.loads(mine.create_execution(echo, path="/as-function").responsebody)
    assert result == {"databases": TablesDB(server.client(key=server.key)).list().total, "refused": REFUSED}


def test_the_functions_status_decides_about_success(functions: Functions, echo: str) -> None:
    assert functions.create_execution(echo, path="/teapot").status.value == "completed"
    failed = functions.create_execution(echo, path="/fail")
    assert (failed.status.value, failed.responsestatuscode, failed.responsebody) == ("failed", 503, "no")


def test_an_asynchronous_execution_waits_then_ends_and_its_user_hears_both(
    server: Running, functions: Functions, echo: str, person: Callable[..., Person]
) -> None:
    ann = person()
    mine = Functions(server.client(session=ann.session))
    with server.socket(f"&channels[]=functions.{echo}", **{"x-appwrite-session": ann.session}) as socket:
        hear(socket)
        Functions(server.client(session=person().session)).create_execution(echo)
        assert hears_nothing(socket), "the executions of others are theirs"
        made = mine.create_execution(echo, xasync=True, path="/teapot")
        assert (made.status.value, made.responsestatuscode, made.logs) == ("waiting", 0, "")
        begun, over = hear(socket)["data"], hear(socket)["data"]
        assert begun["events"][0] == f"functions.{echo}.executions.{made.id}.create"
        assert (begun["payload"]["status"], over["payload"]["status"]) == ("waiting", "completed")
        assert over["events"][0] == f"functions.{echo}.executions.{made.id}.update"
    seen = ended(functions, echo, made.id)
    assert (seen.responsestatuscode, seen.responsebody, seen.logs) == (418, "", "path /teapot\n")


@pytest.fixture(scope="module")
def table(server: Running) -> TablesDB:
    tables = TablesDB(server.client(key=server.key))
    tables.create("main", "Main")
    for name in ("videos", "others"):
        columns = [{"key": "title", "type": "string", "size": 40, "required": False}]
        tables.create_table("main", name, name, columns=columns, permissions=['create("users")'], row_security=True)
    return tables


def test_a_row_that_is_created_starts_the_functions_that_wait_for_it(
    functions: Functions, table: TablesDB, person: Callable[..., Person]
) -> None:
    make(functions, "listener", execute=[], events=["databases.*.tables.videos.rows.*.create"], timeout=900)
    ann = person()
    ann.rows.create_row("main", "videos", "r1", {"title": "first"})
    ann.rows.create_row("main", "others", "r1", {"title": "other table"})
    ann.rows.update_row("main", "videos", "r1", {"title": "changed"})
    table.create_row("main", "videos", "r2", {"title": "by a server"})
    first, second = found(functions, "listener", 2)
    assert (first.trigger.value, first.status.value, first.requestpath) == ("event", "completed", "/")
    assert [(header.name, header.value) for header in first.requestheaders] == [("content-type", "application/json")]
    assert (first.permissions, second.permissions) == ([f'read("user:{ann.id}")'], [])
    seen = json.loads(first.logs.splitlines()[1])
    assert (seen["body"]["title"], seen["body"]["$id"], seen["x-appwrite-user-id"]) == ("first", "r1", ann.id)
    assert seen["x-appwrite-event"] == "tablesdb.main.tables.videos.rows.r1.create"
    assert functions.list_executions("listener").total == 2


def test_twenty_rows_at_once_are_twenty_executions(functions: Functions, table: TablesDB) -> None:
    if not functions.list(search="listener").total:
        make(functions, "listener", execute=[], events=["databases.*.tables.videos.rows.*.create"], timeout=900)
    before = functions.list_executions("listener").total
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: table.create_row("main", "videos", f"many{n}", {"title": str(n)}), range(20)))
    done = found(functions, "listener", int(before) + 20, {"method": "limit", "values": [100]})
    assert {execution.status.value for execution in done} == {"completed"}


def test_an_execution_over_its_functions_time_fails_and_keeps_its_logs(functions: Functions) -> None:
    make(functions, "slow", timeout=1)
    late = functions.create_execution("slow", path="/sleep?s=20")
    assert (late.status.value, late.responsestatuscode) == ("failed", 500)
    assert (late.logs, late.errors) == ("path /sleep\n", "an error line\nExecution timed out.\n")


def test_a_crash_fails_its_execution_alone(functions: Functions, echo: str) -> None:
    crash = functions.create_execution(echo, path="/crash")
    assert (crash.status.value, crash.responsestatuscode) == ("failed", 500)
    assert "ended unexpectedly with exit code 3" in crash.errors
    assert functions.create_execution(echo).status.value == "completed"


def test_a_changed_variable_reaches_the_next_execution_and_a_secret_is_never_shown(
    functions: Functions, echo: str
) -> None:
    functions.create_variable(echo, "v3", "MY_SECRET", "hush", True)
    assert functions.get_variable(echo, "v3").value == ""
    assert "hush" not in json.dumps([each.to_dict() for each in functions.get(echo).vars])
    assert json.loads(functions.create_execution(echo).responsebody)["environment"]["MY_SECRET"] == "hush"
    functions.update_variable(echo, "v3", value="louder")
    assert json.loads(functions.create_execution(echo).responsebody)["environment"]["MY_SECRET"] == "louder"
    assert failure(functions.update_variable, echo, "v3", secret=False) == (400, "variable_cannot_unset_secret")
    assert failure(functions.create_variable, echo, "v4", "MY_SECRET", "x") == (409, "variable_already_exists")
    functions.delete_variable(echo, "v3")
    assert "MY_SECRET" not in json.loads(functions.create_execution(echo).responsebody)["environment"]
    assert failure(functions.get_variable, echo, "v3") == (404, "variable_not_found")


def test_records_are_made_changed_listed_and_deleted(functions: Functions) -> None:
    make(functions, "temporary", schedule="*/5 * * * *", scopes=["rows.read"])
    assert failure(make, functions, "temporary") == (409, "function_already_exists")
    seen = functions.get("temporary")
    assert (seen.deploymentid, seen.timeout, seen.scopes) == ("", 15, ["rows.read"])
    assert failure(functions.create_execution, "temporary") == (404, "deployment_not_found")
    changed = functions.update("temporary", "Other", timeout=20)
    assert (changed.name, changed.schedule, changed.scopes) == ("Other", "", [])
    query = {"method": "equal", "attribute": "timeout", "values": [20]}
    assert [each.id for each in functions.list([json.dumps(query)]).functions] == ["temporary"]
    functions.delete("temporary")
    assert failure(functions.get, "temporary") == (404, "function_not_found")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"schedule": "every day"}, "schedule"),
        ({"schedule": "0 0 31 2 *"}, "schedule"),
        ({"timeout": 901}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"execute": ["everybody"]}, "execute"),
        ({"entrypoint": "../main.py"}, "entrypoint"),
        ({"name": ""}, "name"),
        ({"runtime": "cobol-1"}, "runtime"),
    ],
)
def test_a_function_that_could_not_work_is_refused_by_name(server: Running, fields: dict[str, Any], name: str) -> None:
    body = {"functionId": "odd", "name": "Odd", "runtime": "python-3.12", **fields}
    answer = server.send("POST", "/functions", body, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")
    assert f"`{name}`" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"method": "FROB"}, "general_argument_invalid"),
        ({"headers": {"x-appwrite-key": "x"}}, "general_argument_invalid"),
        ({"headers": {"bad header": "x"}}, "general_argument_invalid"),
        ({"headers": [1]}, "general_argument_invalid"),
        ({"path": "/" + "x" * 2048}, "general_argument_invalid"),
        ({"body": 5}, "general_argument_invalid"),
        ({"async": "perhaps"}, "general_argument_invalid"),
        ({"scheduledAt": "2099-01-01T00:00:00.000+00:00"}, "general_bad_request"),
        ({"async": True, "scheduledAt": "2000-01-01T00:00:00.000+00:00"}, "general_argument_invalid"),
        ({"async": True, "scheduledAt": "tomorrow"}, "general_argument_invalid"),
    ],
)
def test_an_execution_that_makes_no_sense_is_refused(
    server: Running, functions: Functions, echo: str, body: dict[str, Any], kind: str
) -> None:
    before = functions.list_executions(echo).total
    answer = server.send("POST", f"/functions/{echo}/executions", body, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (400, kind)
    assert functions.list_executions(echo).total == before


def test_an_execution_set_for_later_waits_for_its_time_and_can_be_deleted(functions: Functions, echo: str) -> None:
    made = functions.create_execution(echo, xasync=True, scheduled_at="2099-01-01T00:00:00.000+00:00")
    assert (made.status.value, made.trigger.value) == ("scheduled", "schedule")
    functions.delete_execution(echo, made.id)
    assert failure(functions.get_execution, echo, made.id) == (404, "execution_not_found")
    running_one = functions.create_execution(echo, xasync=True, path="/sleep?s=0.5")
    assert failure(functions.delete_execution, echo, running_one.id) == (400, "execution_in_progress")
    ended(functions, echo, running_one.id)
    functions.delete_execution(echo, running_one.id)


def test_executions_are_listed_by_status_and_time(functions: Functions, echo: str) -> None:
    failed = functions.create_execution(echo, path="/fail")
    queries = [
        {"method": "equal", "attribute": "status", "values": ["failed"]},
        {"method": "orderDesc", "attribute": "$createdAt"},
        {"method": "limit", "values": [1]},
    ]
    page = functions.list_executions(echo, [json.dumps(query) for query in queries])
    assert [execution.id for execution in page.executions] == [failed.id]


def test_a_route_that_is_not_served_yet_says_so(server: Running, echo: str) -> None:
    answer = server.send("POST", f"/functions/{echo}/deployments/template", {}, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (501, "general_not_implemented")
    assert f"/functions/{echo}/deployments/template" in answer.json()["message"]


def test_after_a_kill_what_waited_is_run_and_what_ran_is_failed(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    quick = "async def main(context):\n    return context.res.text('done')\n"
    slow = "import asyncio\nasync def main(context):\n    await asyncio.sleep(600)\n"
    loading = f"import os, time\nopen({str(root / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    (root / "main.py").write_text(loading)
    data = tmp_path / "data"
    with running(data, f"--source=f={root}", f"--source=g={root}") as before:
        functions = Functions(before.client(key=before.key))
        make(functions, "f", entrypoint="main.py")
        waiting = functions.create_execution("f", xasync=True)
        until(lambda: (root / "pid").exists() and (root / "pid").read_text() != "")
        (root / "main.py").write_text(slow)
        make(functions, "g", entrypoint="main.py", timeout=900)
        ran = functions.create_execution("g", xasync=True)
        until(lambda: functions.get_execution("g", ran.id).status.value == "processing")
        assert functions.get_execution("f", waiting.id).status.value == "waiting"
        before.process.kill()
        before.process.wait(5)
    child = int((root / "pid").read_text())
    (root / "main.py").write_text(quick)
    with running(data, f"--source=f={root}", f"--source=g={root}") as after:
        functions = Functions(after.client(key=after.key))
        assert ended(functions, "f", waiting.id).responsestatuscode == 200
        failed = ended(functions, "g", ran.id)
        assert (failed.status.value, failed.errors) == ("failed", "The server ended while this ran.\n")
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_nobody_waits_longer_than_thirty_seconds(functions: Functions, long_wait: Future[Refused]) -> None:
    refused = long_wait.result()
    assert (refused.status, refused.kind) == (408, "function_synchronous_timeout")
    assert 29 < refused.seconds < 33
    (failed,) = functions.list_executions("sleeper").executions
    assert (failed.status.value, failed.responsestatuscode) == ("failed", 500)

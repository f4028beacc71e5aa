"""The schema made real on an Appwrite: from nothing, again, after somebody's hand, and where a server refuses."""

from __future__ import annotations

import copy
import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from appwrite.exception import AppwriteException

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.errors import InvalidInputError, UnavailableError
from core.request import validate
from core.schema import database_id, schema
from core.settings import Settings
from core.wiring import build_choices
from scripts.schema_plan import ROW_BYTES_BASE, width
from scripts.setup_db import SetUp, main
from tests.emulator.conftest import ROOT, Running
from tests.namespace import namespace

TABLES = f"/tablesdb/{database_id()}/tables"
FUNCTION = "/functions/video_generation"


@dataclasses.dataclass(frozen=True)
class Project:
    """An empty place on a server, seen with a key that may do everything."""

    client: AppwriteClient
    key: str

    def env(self, **more: str) -> dict[str, str]:
        """What an operator sets."""
        at = {"APPWRITE_ENDPOINT": self.client.endpoint, "APPWRITE_PROJECT_ID": self.client.project}
        return at | {"APPWRITE_API_KEY": self.key} | more

    def run(self, *words: str, **more: str) -> int:
        """The command, in this process."""
        return main(list(words), self.env(**more))

    def get(self, path: str) -> dict[str, Any]:
        """A GET with the key."""
        found: dict[str, Any] = self.client.call("get", path)
        return found

    def send(self, method: str, path: str, **body: Any) -> None:
        """A write with the key."""
        self.client.call(method, path, {"content-type": "application/json"}, body)

    def everything(self) -> list[Any]:
        """All that the schema makes, as the server tells it."""
        tables = [f"{TABLES}/{t['$id']}" for t in schema()["tables"]]
        buckets = [f"/storage/buckets/{b['$id']}" for b in schema()["buckets"]]
        return [self.get(path) for path in (f"/tablesdb/{database_id()}", *tables, *buckets, FUNCTION)]


@pytest.fixture
def empty(appwrite: Running) -> Iterator[Project]:
    """A project in which nothing of ours is."""
    with namespace(appwrite.endpoint, appwrite.project, appwrite.key) as names:
        yield Project(AppwriteClient(names.endpoint, appwrite.project, appwrite.key), appwrite.key)


@pytest.fixture
def made(empty: Project) -> Project:
    """A project with the whole schema."""
    SetUp(empty.client).run()
    return empty


# ---- from nothing, and again


def test_the_first_run_makes_all_and_the_second_changes_nothing_and_says_so(
    empty: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert empty.run() == 0
    first = capsys.readouterr().out.splitlines()
    before = empty.everything()
    assert {"made database video_metadata", "made column videos.status", "made index videos.by_due"} <= set(first)
    assert {"made bucket final_videos", "made function video_generation"} <= set(first)
    for wanted, there in zip(schema()["tables"], before[1:], strict=False):
        assert [c["key"] for c in there["columns"]] == [c["key"] for c in wanted["columns"]]
        assert {i["status"] for i in there["columns"] + there["indexes"]} <= {"available"}

    assert empty.run() == 0

    said = capsys.readouterr().out
    assert said.startswith("Nothing to do: ")
    assert "made" not in said.replace("are there as", "")
    assert empty.everything() == before


def test_the_script_runs_by_itself_from_any_folder(empty: Project, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/setup_db.py"), "--check"]

    ran = subprocess.run(
        command, cwd=tmp_path, env=empty.env(), capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 1, ran.stderr
    assert "missing: table videos" in ran.stdout


def test_nothing_that_was_recorded_is_lost_by_another_run(made: Project) -> None:
    row = {"rowId": "kept", "data": {"owner_id": "ada", "topic": "Volcanoes"}}
    made.send("post", f"{TABLES}/videos/rows", **row)
    made.send("post", f"{TABLES}/videos/columns/string", key="notes", size=20, required=False)

    assert SetUp(made.client).run() == []

    assert made.get(f"{TABLES}/videos/rows/kept")["topic"] == "Volcanoes"
    assert "notes" in [c["key"] for c in made.get(f"{TABLES}/videos")["columns"]]
    made.send("delete", f"{TABLES}/videos/rows/kept")


# ---- drift


def test_a_column_that_was_removed_by_hand_is_named_and_made_again(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made.run("--check") == 0
    assert capsys.readouterr().out.startswith("Nothing to do: ")
    made.send("delete", f"{TABLES}/videos/columns/due_at")
    broken = made.get(f"{TABLES}/videos")

    assert made.run("--check") == 1
    assert "missing: column videos.due_at" in capsys.readouterr().out.splitlines()
    assert made.run("--dry-run") == 0
    assert "to be made: column videos.due_at" in capsys.readouterr().out.splitlines()
    assert made.get(f"{TABLES}/videos") == broken
    assert made.run() == 0
    assert "made column videos.due_at" in capsys.readouterr().out.splitlines()
    assert made.run("--check") == 0


def test_a_column_of_another_type_or_size_is_named_and_left_as_it_is(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    table = f"{TABLES}/settings"
    made.send("delete", f"{table}/columns/value")
    made.send("post", f"{table}/columns/integer", key="value", required=False)
    made.send("delete", f"{TABLES}/claims/columns/purpose")
    made.send("post", f"{TABLES}/claims/columns/string", key="purpose", size=100, required=True)
    before = made.everything()

    assert made.run("--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert "differs: column settings.value is of type integer, not string" in said
    assert "differs: column claims.purpose has size 100, not 256" in said
    assert made.run() == 0
    assert "left as it is: column claims.purpose has size 100" in capsys.readouterr().out
    assert made.everything() == before


def test_a_table_or_bucket_that_somebody_opened_to_everybody_is_named(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    made.send("put", f"{TABLES}/videos", name="Videos", permissions=['read("any")'], rowSecurity=False)
    bucket = made.get("/storage/buckets/final_videos")
    body = {k: bucket[k] for k in ("name", "maximumFileSize", "allowedFileExtensions")}
    made.send("put", "/storage/buckets/final_videos", **body, fileSecurity=True, permissions=['read("users")'])

    assert made.run("--check") == 1

    said = capsys.readouterr().out
    assert 'differs: table videos grants read("any")' in said
    assert "differs: table videos has rowSecurity False, not True" in said
    assert 'differs: bucket final_videos grants read("users")' in said


def test_a_new_state_file_type_or_scope_of_the_schema_is_added_to_what_is_there(made: Project) -> None:
    newer = copy.deepcopy(schema())
    (status,) = (c for c in newer["tables"][0]["columns"] if c["key"] == "status")
    status["elements"].append("archived")
    newer["buckets"][0]["allowedFileExtensions"].append("webm")
    newer["functions"][0]["scopes"].append("users.read")
    newer["tables"][0]["columns"].append({"key": "note", "type": "string", "size": 9, "required": False})
    set_up = SetUp(made.client, schema=newer)

    told = set_up.run()

    assert sorted(told) == [
        "changed function video_generation",
        "made column videos.note",
        "widened bucket final_videos",
        "widened column videos.status",
    ]
    assert set_up.run() == []
    assert set_up.plan().differences == []
    assert SetUp(made.client).run() == []  # the older schema takes nothing of it back


# ---- variables


def test_variables_come_from_the_environment_and_secrets_are_marked_and_never_printed(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"SCENEWRIGHT_RENDER_URL": "https://renderer.example", "SCENEWRIGHT_RENDER_TOKEN": "a-secret-token"}

    assert made.run(**given) == 0
    assert made.get(FUNCTION)["vars"] == []
    assert made.run("--with-variables", **given) == 0

    said = capsys.readouterr()
    assert "made variable SCENEWRIGHT_RENDER_TOKEN" in said.out
    assert not any(value in said.out + said.err for value in (*given.values(), made.key))
    there = {v["key"]: v for v in made.get(FUNCTION)["vars"]}
    assert sorted(there) == sorted(given)  # the function's own endpoint, project and key come from Appwrite
    assert [there[name]["secret"] for name in given] == [False, True]
    assert there["SCENEWRIGHT_RENDER_URL"]["value"] == given["SCENEWRIGHT_RENDER_URL"]
    assert there["SCENEWRIGHT_RENDER_TOKEN"]["value"] == ""
    assert made.run("--with-variables", **given) == 0
    assert capsys.readouterr().out.startswith("Nothing to do: ")


def test_a_variable_that_became_empty_is_removed_only_when_asked_and_a_foreign_one_never(made: Project) -> None:
    assert made.run("--with-variables", SCENEWRIGHT_RENDER_URL="https://one.example", GEMINI_API_KEY="k") == 0
    made.send("post", f"{FUNCTION}/variables", variableId="unique()", key="SOMEBODY_ELSES", value="x")

    assert made.run() == 0
    assert {v["key"] for v in made.get(FUNCTION)["vars"]} >= {"SCENEWRIGHT_RENDER_URL", "GEMINI_API_KEY"}
    assert made.run("--with-variables", "--check", SCENEWRIGHT_RENDER_URL="https://two.example") == 1
    assert made.run("--with-variables", SCENEWRIGHT_RENDER_URL="https://two.example", GEMINI_API_KEY="") == 0

    values = {v["key"]: v["value"] for v in made.get(FUNCTION)["vars"]}
    assert sorted(values) == ["SCENEWRIGHT_RENDER_URL", "SOMEBODY_ELSES"]
    assert values["SCENEWRIGHT_RENDER_URL"] == "https://two.example"


def test_an_update_of_the_function_keeps_what_is_not_in_the_schema(made: Project) -> None:
    function = made.get(FUNCTION)
    kept = ("name", "runtime", "execute", "events", "enabled", "logging", "entrypoint", "commands", "scopes")
    body = {k: function[k] for k in kept} | {"timeout": 15, "name": "Ours", "enabled": False}
    body["scopes"] = [*function["scopes"], "users.read"]
    made.send("put", FUNCTION, **body)

    assert SetUp(made.client).run() == ["changed function video_generation"]

    now = made.get(FUNCTION)
    assert (now["name"], now["enabled"], now["timeout"]) == ("Ours", False, 900)
    assert "users.read" in now["scopes"]
    assert SetUp(made.client).plan().differences == ["function video_generation has enabled False, not True"]


# ---- where a server refuses or takes its time


class Frugal(AppwriteClient):
    """A server that takes no bucket for files above a limit, as small plans and fresh installations do."""

    largest = 50_000_000

    def call(self, method: str, path: str = "", headers: Any = None, params: Any = None, *rest: Any) -> Any:
        """Refuse what is larger in the server's own words, pass everything else on."""
        if (params or {}).get("maximumFileSize", 0) > self.largest and method in ("post", "put"):
            said = f"Invalid `maximumFileSize` param: Value must be a valid range between 1 and {self.largest:,}"
            raise AppwriteException(said, 400, "general_argument_invalid")
        return super().call(method, path, headers, params, *rest)


def test_a_bucket_takes_the_largest_files_the_server_allows_and_a_sentence_says_so(empty: Project) -> None:
    set_up = SetUp(Frugal(empty.client.endpoint, empty.client.project, empty.key))
    plan = set_up.plan()

    set_up.apply(plan)

    (note,) = plan.notes
    assert note.startswith("bucket final_videos takes files up to 50 MB, not 300 MB")
    assert empty.get("/storage/buckets/final_videos")["maximumFileSize"] == 50_000_000
    again = set_up.plan()
    assert (again.missing, again.differences, again.notes) == ([], [], [note])
    assert set_up.run() == []
    assert SetUp(empty.client).run() == ["enlarged bucket final_videos"]  # the server allows it now
    assert empty.get("/storage/buckets/final_videos")["maximumFileSize"] == 300_000_000


def test_a_film_is_refused_by_what_its_bucket_really_takes(made: Project) -> None:
    files = AppwriteFiles(made.client)
    choices = build_choices(Settings(), files)
    script = "\n\n".join(["The river begins as a small spring high up in the mountains, and it grows. " * 6] * 8)
    assert validate({"script": script}, choices).script
    bucket = made.get("/storage/buckets/final_videos")
    names = ("name", "fileSecurity", "allowedFileExtensions")
    made.send("put", "/storage/buckets/final_videos", **{k: bucket[k] for k in names}, maximumFileSize=50_000_000)

    with pytest.raises(InvalidInputError, match="over the 50 MB of the bucket final_videos") as raised:
        validate({"script": script}, choices)

    assert raised.value.code == "film_too_large"
    assert files.max_bytes("final_videos") == 50_000_000


def test_the_width_of_every_table_is_what_the_server_counts(made: Project) -> None:
    for table in schema()["tables"]:
        there = made.get(f"{TABLES}/{table['$id']}")
        assert there["bytesUsed"] == ROW_BYTES_BASE + sum(width(c) for c in table["columns"]), table["$id"]


def test_a_table_that_would_be_too_wide_is_refused_before_anything_is_made(empty: Project) -> None:
    wide = copy.deepcopy(schema())
    long = [{"key": f"c{n}", "type": "string", "size": 4000, "required": False} for n in range(5)]
    wide["tables"][-1]["columns"] += long

    with pytest.raises(InvalidInputError, match="table settings would take") as raised:
        SetUp(empty.client, schema=wide).run()

    assert raised.value.code == "row_too_wide"
    with pytest.raises(AppwriteException):
        empty.get(f"/tablesdb/{database_id()}")


class Leisurely(AppwriteClient):
    """A server that makes columns in the background; `left`: how many looks it takes until they are there."""

    left = 3
    status = "processing"

    def call(self, method: str, path: str = "", headers: Any = None, params: Any = None, *rest: Any) -> Any:
        """The real answer, with columns that are not ready yet."""
        answer = super().call(method, path, headers, params, *rest)
        if method == "get" and path == f"{TABLES}/videos" and self.left > 0:
            self.left -= 1
            for column in answer["columns"][-2:]:
                column["status"] = self.status
        return answer


def test_columns_are_waited_for_before_they_are_indexed(empty: Project) -> None:
    waited: list[float] = []
    slow = Leisurely(empty.client.endpoint, empty.client.project, empty.key)

    told = SetUp(slow, waited.append).run()

    assert "made index videos.by_due" in told
    assert len(waited) == 3
    assert all(0 < seconds <= 2 for seconds in waited)


@pytest.mark.parametrize("status", ["processing", "failed"])
def test_columns_that_never_become_ready_end_in_a_sentence(made: Project, status: str) -> None:
    stuck = Leisurely(made.client.endpoint, made.client.project, made.key)
    stuck.left, stuck.status = 10**6, status
    asked: list[float] = []

    with pytest.raises(UnavailableError) as raised:
        SetUp(stuck, asked.append).run()

    assert ("run this again later" if status == "processing" else "could not make") in raised.value.sentence
    assert 0 <= len(asked) <= 1000


# ---- what an operator gets wrong


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"APPWRITE_API_KEY": "standard_wrong"}, "does not take the key in APPWRITE_API_KEY"),
        ({"APPWRITE_PROJECT_ID": "elsewhere"}, "There is no project 'elsewhere'"),
        ({"APPWRITE_ENDPOINT": "http://127.0.0.1:9/v1"}, "Nothing answers at http://127.0.0.1:9/v1"),
        ({"APPWRITE_ENDPOINT": ""}, "Set APPWRITE_ENDPOINT, APPWRITE_PROJECT_ID and APPWRITE_API_KEY first."),
        ({"SCENEWRIGHT_WORKERS": "many"}, "SCENEWRIGHT_WORKERS must be a int"),
    ],
    ids=["key", "project", "endpoint", "nothing", "setting"],
)
def test_what_is_set_wrongly_is_one_clear_sentence_without_the_key(
    empty: Project, wrong: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], empty.env() | wrong) == 2

    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not any(key in said.err for key in (empty.key, "standard_wrong"))


def test_an_endpoint_without_its_version_is_one_clear_sentence(
    empty: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], empty.env(APPWRITE_ENDPOINT=empty.client.endpoint.removesuffix("/v1"))) == 2

    assert "APPWRITE_ENDPOINT must be its API's address, ending in /v1." in capsys.readouterr().err


def test_the_scopes_that_the_guide_names_are_enough_to_set_everything_up(
    empty: Project, make_key: Callable[..., str]
) -> None:
    guide = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    (row,) = (line for line in guide.splitlines() if line.startswith("| to set up |"))
    names = re.findall(r"`(\w+)`", row.split("(")[0])
    assert len(names) == 6
    key = make_key(*(f"{name}.{verb}" for name in names for verb in ("read", "write")))

    assert empty.run("--with-variables", APPWRITE_API_KEY=key, SCENEWRIGHT_RENDER_URL="https://one.example") == 0
    assert empty.run("--check", "--with-variables", SCENEWRIGHT_RENDER_URL="https://one.example") == 0


def test_a_key_that_lacks_a_scope_is_told_which(
    appwrite: Running, make_key: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    key = make_key("databases.read", "tables.read")

    assert main([], {"APPWRITE_ENDPOINT": appwrite.endpoint, "APPWRITE_PROJECT_ID": appwrite.project,
                     "APPWRITE_API_KEY": key}) == 2  # fmt: skip

    said = capsys.readouterr().err
    assert said == "The key in APPWRITE_API_KEY lacks a scope: it needs one of buckets.read.\n"

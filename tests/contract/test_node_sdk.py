"""The unmodified node-appwrite against the embedded server, as a server's program uses it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web_programs import WEB, finish, node_version, program
from tests.emulator.conftest import running

CODE = b"""import os

def main(context):
    said = f"{os.environ['GREETING']} {context.req.body} {context.req.query} {context.req.headers['x-tone']}"
    return context.res.text(said, 203)
"""

pytestmark = [
    pytest.mark.skipif(node_version() < 20, reason="needs Node 20 or newer"),
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="needs `make node-modules`"),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the program saw, by part."""
    code = tmp_path_factory.mktemp("code") / "code.tar.gz"
    pack(code)
    with running(tmp_path_factory.mktemp("node")) as server:
        at = {"endpoint": server.endpoint, "project": server.project, "key": server.key, "code": str(code)}
        with program("node_client.mjs", at) as process:
            return {line.pop("kind"): line for line in finish(process, "")}


def pack(archive: Path) -> None:
    """The function's code as it is uploaded."""
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo("main.py")
        entry.size = len(CODE)
        tar.addfile(entry, io.BytesIO(CODE))


def test_tables_are_made_with_columns_and_indexes(seen: dict[str, Any]) -> None:
    rows = seen["rows"]
    assert rows["columns"] == [
        ["text", "varchar", "available"], ["n", "integer", "available"], ["at", "datetime", "available"]
    ]  # fmt: skip
    assert rows["index"] == ["available", ["n"]]
    assert rows["gone"] == "404 database_not_found"


def test_rows_are_made_changed_found_and_deleted(seen: dict[str, Any]) -> None:
    rows = seen["rows"]
    assert rows["row"] == {
        "$id": "one", "$sequence": "1", "$tableId": "notes", "$databaseId": "node",
        "$permissions": ['read("any")', 'update("user:someone")'], "text": "a", "n": 1, "at": None,
    }  # fmt: skip
    assert (rows["changed"], rows["grown"], rows["placed"], rows["many"]) == ("b", 3, ["two", 5], 2)
    assert (rows["found"], rows["total"]) == ([9, 9, 5], 4)
    assert (rows["deleted"], rows["left"]) == (2, ["one"])


def test_refusals_of_rows_carry_their_type(seen: dict[str, Any]) -> None:
    assert seen["rows"]["refused"] == {
        "again": "409 row_already_exists",
        "tooLong": "400 row_invalid_structure",
        "tooMuch": "400 row_invalid_structure",
        "nowhere": "404 row_not_found",
        "query": "400 general_query_invalid",
        "column": "404 column_not_found",
    }


def test_a_large_file_goes_in_chunks_and_comes_back_the_same(seen: dict[str, Any]) -> None:
    files = seen["files"]
    assert (files["size"], files["chunks"]) == (11 * 1024 * 1024 + 7, 3)
    assert max(files["steps"]) == 3
    assert files["same"] is True


def test_a_small_file_is_shown_renamed_found_and_deleted(seen: dict[str, Any]) -> None:
    files = seen["files"]
    assert (files["small"], files["text"]) == ("5d41402abc4b2a76b9719d911017c592", "hello")
    assert (files["renamed"], files["listed"]) == ("b.txt", ["small"])
    assert files["deleted"][1] == "404 storage_file_not_found"


def test_a_file_token_opens_a_private_file_until_it_is_deleted(seen: dict[str, Any]) -> None:
    files = seen["files"]
    assert (files["opened"], files["closed"]) == (200, 404)
    assert files["token"] == {"for": "node:small", "used": True, "end": True}
    assert (files["tokens"], files["gone"]) == (1, "404 token_not_found")


def test_a_function_is_deployed_and_executed(seen: dict[str, Any]) -> None:
    functions = seen["functions"]
    assert functions["made"] == ["node", ["users"]]
    assert functions["before"] == "404 deployment_not_found"
    assert functions["deployment"] == "ready", functions["logs"]
    assert functions["execution"] == ["completed", 203, "hello to you {'loud': '1'} kind"]
    assert (functions["later"], functions["listed"], functions["has"]) == ("waiting", 2, True)
    assert functions["deleted"][1] == "404 function_not_found"


def test_a_user_is_kept_as_a_server_changes_it(seen: dict[str, Any]) -> None:
    shown = seen["people"]["shown"]
    assert (shown["name"], shown["email"], shown["phone"]) == ("Nora N.", "nora@example.test", "+49301234568")
    assert (shown["emailVerification"], shown["phoneVerification"]) == (True, True)
    assert (shown["labels"], shown["prefs"]) == (["editor"], {"theme": "dark"})
    assert seen["people"]["prefs"] == {"theme": "dark"}
    assert seen["people"]["hidden"] is False, "the password itself is not shown"
    assert seen["people"]["found"] is True


def test_refusals_of_users_carry_their_type(seen: dict[str, Any]) -> None:
    assert seen["people"]["refused"] == {
        "again": "409 user_already_exists",
        "password": "400 general_argument_invalid",
        "phone": "400 general_argument_invalid",
        "nobody": "404 user_not_found",
    }


def test_a_session_a_jwt_a_password_and_a_token_are_the_same_user(seen: dict[str, Any]) -> None:
    people = seen["people"]
    assert people["same"] is True
    assert people["old"] == "401 user_invalid_credentials"
    assert (people["sessions"], people["none"]) == (3, 0)
    assert people["after"] == "401 user_jwt_invalid"


def test_a_team_has_members_roles_and_preferences(seen: dict[str, Any]) -> None:
    teams = seen["teams"]
    assert teams["member"] == ["Nora N.", "Crew", True]
    assert (teams["raised"], teams["memberships"], teams["crew"]) == (["owner"], [True], 1)
    assert (teams["invited"], teams["total"], teams["renamed"]) == ("new@example.test", 2, "Ours")
    assert teams["prefs"] == {"colour": "blue"}
    assert teams["deleted"][2] == "404 team_not_found"
    assert teams["userDeleted"][1] == "404 user_not_found"

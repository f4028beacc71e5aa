"""The web SDK and a film in headless Chromium, in pages of another origin than the server's."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from appwrite.client import Client
from appwrite.services.storage import Storage
from appwrite.services.tables_db import TablesDB

from tests.waiting import renderer_ready, wait_for

from .conftest import RunningStack
from .web_programs import WEB, finish, node_version, program

REQUEST = {
    "script": "Rain falls on the hills and runs down to the sea.\n\nThe sun lifts it up again.",
    "resolution": 360,
}
NOTES = {"database": "page", "table": "notes", "bucket": "page_songs"}

pytestmark = [
    pytest.mark.skipif(node_version() < 20, reason="needs Node 20 or newer"),
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="needs `make node-modules`"),
    pytest.mark.skipif(
        not (shutil.which("chromium") or shutil.which("google-chrome")),
        reason="needs chromium (`make system-packages`)",
    ),
]

Seen = dict[str, dict[str, Any]]


def key_client(stack: RunningStack) -> Client:
    """A client with the key that may do everything."""
    return Client().set_endpoint(stack.endpoint).set_project(stack.project).set_key(stack.key)


def seen_by(name: str, at: dict[str, Any], home: Path, patch: pytest.MonkeyPatch) -> Seen:
    """What a program saw, by kind; the browser's own files stay in `home`."""
    patch.setenv("HOME", str(home))
    with program(name, at) as process:
        return {line.pop("kind"): line for line in finish(process, "")}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Changes of the environment that last for this module."""
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.fixture(scope="module")
def client(running_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Seen:
    """What two people saw who use the web SDK in their pages."""
    rows, files = TablesDB(key_client(running_stack)), Storage(key_client(running_stack))
    rows.create("page", "Page")
    columns = [{"key": "text", "type": "string", "size": 40}]
    granted = ['create("users")']
    rows.create_table("page", "notes", "Notes", permissions=granted, row_security=True, columns=columns)
    files.create_bucket("page_songs", "Songs", permissions=granted, file_security=True)
    at = {"endpoint": running_stack.endpoint, "project": running_stack.project, **NOTES}
    return seen_by("page_client.mjs", at, tmp_path_factory.mktemp("home"), patch)


@pytest.fixture(scope="module")
def film(running_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Seen:
    """What became of a film that a page has asked for."""
    wait_for(lambda: renderer_ready(running_stack.settings), "the render processes")
    at = {
        "endpoint": running_stack.endpoint, "project": running_stack.project, "key": running_stack.key,
        "request": REQUEST,
    }  # fmt: skip
    return seen_by("page_film.mjs", at, tmp_path_factory.mktemp("home"), patch)


# ---- the web SDK in a page


def test_a_page_signs_in_without_an_account_and_stays_signed_in_when_loaded_again(client: Seen) -> None:
    signed_in = client["anonymous"]

    assert signed_in["seen"] == signed_in["userId"] == client["reloaded"]["seen"]
    assert "a_session" not in signed_in["cookie"], "a script must not see the session's cookie"


def test_a_page_of_the_servers_own_host_is_known_by_its_cookie_alone(client: Seen) -> None:
    cookie = client["cookie"]

    assert cookie["seen"] == cookie["userId"]
    assert cookie["after"] == 401, "signing out takes the cookie away"


def test_a_page_signs_out_signs_up_and_signs_in_with_its_password(client: Seen) -> None:
    email = client["email"]

    assert email["gone"] == {"code": 401, "type": "general_unauthorized_scope"}
    assert email["wrong"] == {"code": 401, "type": "user_invalid_credentials"}
    assert email["made"] == email["session"] == email["seen"]["$id"]
    assert (email["seen"]["name"], email["seen"]["email"]) == ("Zoë", email["wanted"])
    assert email["seen"]["prefs"] == {"theme": "dark"}


def test_a_page_makes_changes_finds_and_deletes_rows(client: Seen) -> None:
    rows = client["rows"]

    assert (rows["changed"], rows["found"]) == ("two", [rows["id"]])
    assert rows["gone"] == {"code": 404, "type": "row_not_found"}


def test_a_page_hears_of_its_rows_with_the_ids_of_its_subscriptions(client: Seen) -> None:
    events = client["heard"]["events"]
    first, kept = client["rows"]["id"], client["rows"]["kept"]

    assert [event["name"] for event in events] == [
        f"tablesdb.page.tables.notes.rows.{row}.{action}"
        for row, action in ((first, "create"), (first, "update"), (first, "delete"), (kept, "create"))
    ]
    assert {len(event["subscriptions"]) for event in events} == {1}
    assert len({event["subscriptions"][0] for event in events}) == 1


def test_a_page_uploads_a_large_file_in_chunks(client: Seen, running_stack: RunningStack) -> None:
    file = client["file"]
    kept = Storage(key_client(running_stack)).get_file_download("page_songs", file["id"])

    assert (file["size"], file["chunks"]) == (11 * 1024 * 1024 + 5, 3)
    assert file["steps"][-1] == "3/3"
    assert len(file["steps"]) == 3
    assert hashlib.sha256(kept).hexdigest() == file["sha256"]


def test_another_persons_page_sees_and_hears_nothing_of_it(client: Seen) -> None:
    assert client["stranger"] == {
        "row": "404 row_not_found",
        "change": "401 user_unauthorized",
        "file": "404 storage_file_not_found",
        "listed": 0,
        "heard": [],
    }


# ---- a film


def test_a_page_without_cookies_plays_a_private_film_by_its_play_url(film: Seen) -> None:
    assert film["made"]["status"] == "completed", film["made"]["error"]
    played = film["played"]

    assert played["played"] >= 0.3
    assert (played["width"], played["height"]) == (360, 640)
    assert played["sought"] == pytest.approx(played["duration"] - 0.5, abs=0.2)
    assert played["end"] == pytest.approx(played["duration"])


def test_the_element_asks_for_parts_and_sends_no_cookie(film: Seen) -> None:
    requests = film["requests"]["seen"]

    assert requests
    assert {(each["status"], each["cookie"]) for each in requests} == {(206, "")}
    assert all(each["range"].startswith("bytes=") for each in requests)
    assert film["part"] == {"status": 206, "length": 100}


def test_without_the_token_only_the_owner_sees_the_film(film: Seen) -> None:
    refused = film["without token"]

    assert refused["viewer"] == {"error": 4}, "the element has no source it may play"
    assert refused["guest"] in (401, 404)
    assert refused["stranger"] in (401, 404)
    assert refused["owner"] == 200


def test_a_token_that_is_over_opens_nothing(film: Seen) -> None:
    expired = film["expired"]

    assert (expired["before"], expired["late"]) == (206, True)
    assert expired["after"] in (401, 404)
    assert expired["element"] == {"error": 4}
    assert expired["accessedAt"] != "", "the server remembers when a token was last used"


def test_a_deleted_token_opens_nothing(film: Seen) -> None:
    assert film["deleted"]["before"] == 206
    assert film["deleted"]["after"] in (401, 404)

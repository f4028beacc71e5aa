"""Rate limits: announced always, enforced where the server was started with `--rate-limits`, never for keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
from appwrite.services.tables_db import TablesDB
from appwrite.services.users import Users

from emulator.limits import LIMITS, Counters
from emulator.routes import ROUTES

from .conftest import Person, Running, running
from .replay import Player, lines

PASSWORD = "correct horse battery"
ROWS = "/tablesdb/limits/tables/notes/rows"


@dataclass(frozen=True)
class Limited:
    """A server that enforces its limits, with the table `notes` in which users may create rows."""

    server: Running

    def user(self) -> str:
        """A new user's session."""
        users = Users(self.server.client(key=self.server.key))
        return str(users.create_session(users.create("unique()").id).secret)

    def create(self, **headers: str) -> requests.Response:
        """Create a row."""
        return self.server.send("POST", ROWS, {"rowId": "unique()", "data": {"n": 1}}, **headers)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    """One server with limits for this module."""
    with running(tmp_path_factory.mktemp("limited"), "--project", "videos", "--rate-limits") as server:
        rows = TablesDB(server.client(key=server.key))
        rows.create("limits", "Limits")
        columns = [{"key": "n", "type": "integer"}]
        rows.create_table(
            "limits", "notes", "Notes", permissions=['create("users")'], row_security=True, columns=columns
        )
        yield Limited(server)


def left(answer: requests.Response) -> int:
    """What an answer says is left."""
    return int(answer.headers["x-ratelimit-remaining"])


def test_recorded_exchanges_with_limits_agree(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("recorded"), "--project", "videos", "--rate-limits") as server:
        player = Player(server.endpoint, {"key.all": server.key, "key.ro": ""})
        for group in ("account", "databases-schema"):
            for line in lines(group):
                player.play(line | {"wait_s": 0})
        found = {line["name"]: player.play(line) for line in lines("rate-limit")}
    assert len(found) == 6
    assert {name: differences for name, differences in found.items() if differences} == {}


def test_a_user_who_writes_too_often_is_refused_and_nobody_else_is(limited: Limited) -> None:
    busy, calm = limited.user(), limited.user()
    answers = [limited.create(x_appwrite_session=busy) for _ in range(120)]
    assert {answer.status_code for answer in answers} == {201}
    assert [left(answer) for answer in answers] == list(range(119, -1, -1))

    refused = limited.create(x_appwrite_session=busy)

    assert (refused.status_code, refused.json()["type"]) == (429, "general_rate_limit_exceeded")
    assert (refused.headers["x-ratelimit-limit"], left(refused)) == ("120", 0)
    assert limited.create(x_appwrite_session=calm).status_code == 201
    assert limited.create(x_appwrite_key=limited.server.key).status_code == 201
    row = f"{ROWS}/{answers[0].json()['$id']}"
    assert limited.server.send("GET", row, x_appwrite_session=busy).status_code == 200, "reading has no limit"
    changed = limited.server.send("PATCH", row, {"data": {"n": 2}}, x_appwrite_session=busy)
    assert (changed.status_code, left(changed)) == (200, 119), "another kind of write has another counter"


def test_keys_are_told_the_limit_and_never_refused(limited: Limited) -> None:
    answers = [limited.create(x_appwrite_key=limited.server.key) for _ in range(130)]
    assert {(answer.status_code, answer.headers["x-ratelimit-limit"]) for answer in answers} == {(201, "120")}


def test_a_right_password_lets_the_count_of_wrong_ones_begin_anew(limited: Limited) -> None:
    send = limited.server.send
    who = {"email": "limit@example.test", "password": PASSWORD}
    assert send("POST", "/account", {"userId": "unique()", **who}).status_code == 201

    def sign_in(**fields: str) -> requests.Response:
        return send("POST", "/account/sessions/email", {**who, **fields})

    assert [left(sign_in(password="not this one")) for _ in range(9)] == list(range(9, 0, -1))
    assert sign_in().status_code == 201
    assert [sign_in(password="not this one").status_code for _ in range(11)] == [401] * 10 + [429]
    assert sign_in(email="LIMIT@example.test").status_code == 429, "capital letters are no other address"
    assert sign_in(email="other@example.test").status_code == 401


def test_the_chunks_of_one_upload_do_not_count_against_each_other(limited: Limited) -> None:
    send = limited.server.send
    session = limited.user()
    for number in range(2):
        size = 5 * 1024 * 1024
        ranged = f"bytes {number * size}-{(number + 1) * size - 1}/{2 * size}"
        answer = send("POST", "/storage/buckets/nosuch/files", x_appwrite_session=session, content_range=ranged)
        assert (answer.status_code, left(answer)) == (404, 59)


def test_a_server_without_limits_announces_them_and_refuses_nobody(
    server: Running, person: Callable[..., Person]
) -> None:
    someone = person()
    for _ in range(130):
        answer = server.send("POST", "/account/jwts", {}, x_appwrite_session=someone.session)
        assert (answer.status_code, answer.headers["x-ratelimit-limit"], left(answer)) == (201, "120", 119)


def test_every_limit_belongs_to_a_route() -> None:
    assert set(LIMITS) <= {(method, path) for method, path, _ in ROUTES}


def test_a_window_that_is_over_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("emulator.limits.time.time", lambda: now[0])
    counters = Counters(enforced=True)
    assert [counters.take(("a",), 2, 60) for _ in range(3)] == [(1, 1060), (0, 1060), (-1, 1060)]
    now[0] = 1060.0
    assert counters.take(("a",), 2, 60) == (1, 1120)

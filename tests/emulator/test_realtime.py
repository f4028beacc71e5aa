"""Realtime: what happened reaches those who may know it, at once, and nobody else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
from appwrite.services.tables_db import TablesDB
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from bench.raw import Http, Listener

from .conftest import Person, Running, hear, hears_nothing, running

ROWS = "tablesdb.live.tables.note.rows"


@pytest.fixture(scope="module")
def live(admin: TablesDB) -> Iterator[TablesDB]:
    """A table `note` whose rows decide who reads them."""
    admin.create("live", "Live")
    admin.create_table(
        "live", "note", "Note", permissions=['create("users")'], row_security=True,
        columns=[{"key": "text", "type": "text"}, {"key": "n", "type": "integer"}],
    )  # fmt: skip
    yield admin
    admin.delete("live")


def tell(socket: ClientConnection, kind: str, data: object = None) -> dict[str, Any]:
    """Send a message and return the answer."""
    socket.send(json.dumps({"type": kind, "data": data}))
    return hear(socket)


def subscribe(socket: ClientConnection, *channels: str, queries: list[str] | None = None, name: str = "s") -> None:
    """Subscribe by message."""
    wanted = {"subscriptionId": name, "channels": list(channels), "queries": queries or []}
    answer = tell(socket, "subscribe", [wanted])
    assert (answer["type"], answer["data"]["to"], answer["data"]["success"]) == ("response", "subscribe", True)


def test_the_owner_hears_each_change_of_its_row_and_a_stranger_nothing(
    server: Running, live: TablesDB, person: Callable[..., Person]
) -> None:
    owner, stranger = person(), person()
    with (
        server.socket(x_appwrite_session=owner.session) as mine,
        server.socket(x_appwrite_session=stranger.session) as other,
        server.socket() as guest,
    ):
        assert hear(mine)["data"]["user"]["$id"] == owner.id
        assert hear(other)["data"]["user"]["$id"] == stranger.id
        assert hear(guest)["data"] == {"channels": [], "subscriptions": [], "user": None}
        for socket in (mine, other, guest):
            subscribe(socket, ROWS, "rows", "documents")
        row = owner.rows.create_row("live", "note", "unique()", {"n": 1})
        owner.rows.update_row("live", "note", row.id, {"n": 2})
        live.increment_row_column("live", "note", row.id, "n", 5)
        owner.rows.upsert_row("live", "note", row.id, {"text": "x"})
        owner.rows.delete_row("live", "note", row.id)
        heard = [hear(mine)["data"] for _ in range(5)]
        actions = [event["events"][0].rpartition(".")[2] for event in heard]
        assert actions == ["create", "update", "update", "upsert", "delete"]
        assert [event["payload"]["n"] for event in heard] == [1, 2, 7, None, None]
        assert all(event["subscriptions"] == ["s"] for event in heard)
        assert heard[0]["payload"]["$updatedAt"] < heard[1]["payload"]["$updatedAt"]
        assert hears_nothing(other)
        assert hears_nothing(guest)


def test_an_event_has_every_name_and_channel_of_a_row(
    server: Running, live: TablesDB, person: Callable[..., Person]
) -> None:
    owner = person()
    with server.socket(x_appwrite_session=owner.session) as mine:
        hear(mine)
        subscribe(mine, ROWS)
        owner.rows.create_row("live", "note", "r1", {"n": 1})
        event = hear(mine)["data"]
        assert len(event["events"]) == len(set(event["events"])) == 64
        assert event["events"][0] == f"{ROWS}.r1.create"
        assert len(event["channels"]) == len(set(event["channels"])) == 16
        assert {"rows", "documents.create", f"{ROWS}.r1", "databases.live.tables.note.rows.r1"} <= set(
            event["channels"]
        )


@pytest.mark.parametrize("subscribed_first", [True, False])
def test_authentication_may_come_before_or_after_the_subscription(
    server: Running, live: TablesDB, person: Callable[..., Person], subscribed_first: bool
) -> None:
    owner = person()
    with server.socket() as socket:
        hear(socket)
        if subscribed_first:
            subscribe(socket, ROWS)
        answer = tell(socket, "authentication", {"session": owner.session})
        assert (answer["data"]["to"], answer["data"]["user"]["$id"]) == ("authentication", owner.id)
        if not subscribed_first:
            subscribe(socket, ROWS)
        owner.rows.create_row("live", "note", "unique()", {"n": 1})
        assert hear(socket)["data"]["payload"]["n"] == 1


def test_channels_in_the_address_are_a_subscription_too(
    server: Running, live: TablesDB, person: Callable[..., Person]
) -> None:
    owner = person()
    token = server.send("POST", "/account/jwts", {}, x_appwrite_session=owner.session).json()["jwt"]
    with server.socket(f"&channels[]=account&channels[]={ROWS}&jwt={token}") as socket:
        connected = hear(socket)["data"]
        assert connected["channels"] == ["account", ROWS, f"account.{owner.id}"]
        owner.rows.create_row("live", "note", "unique()", {"n": 3})
        assert hear(socket)["data"]["subscriptions"] == connected["subscriptions"]
        owner.account.update_prefs({"a": 1})
        assert f"users.{owner.id}.update.prefs" in hear(socket)["data"]["events"]


def test_a_filtered_subscription_hears_what_matches(
    server: Running, live: TablesDB, person: Callable[..., Person]
) -> None:
    owner = person()
    with server.socket(x_appwrite_session=owner.session) as socket:
        hear(socket)
        subscribe(socket, ROWS, queries=['{"method":"greaterThan","attribute":"n","values":[5]}'], name="high")
        subscribe(socket, ROWS, queries=['{"method":"equal","attribute":"n","values":[9,"1"]}'], name="nine")
        for n in (1, 7, 9):
            owner.rows.create_row("live", "note", "unique()", {"n": n})
        heard = [(event["payload"]["n"], set(event["subscriptions"])) for event in
                 (hear(socket)["data"] for _ in range(2))]  # fmt: skip
        assert heard == [(7, {"high"}), (9, {"high", "nine"})]
        assert hears_nothing(socket)


def test_after_unsubscribing_nothing_comes(server: Running, live: TablesDB, person: Callable[..., Person]) -> None:
    owner = person()
    with server.socket(x_appwrite_session=owner.session) as socket:
        hear(socket)
        subscribe(socket, ROWS, "rows")
        subscribe(socket, "rows", name="kept")
        ended = tell(socket, "unsubscribe", [{"subscriptionId": "s"}, {"subscriptionId": "never"}])
        assert [each["removed"] for each in ended["data"]["subscriptions"]] == [True, False]
        owner.rows.create_row("live", "note", "unique()", {"n": 1})
        assert hear(socket)["data"]["subscriptions"] == ["kept"]


def test_an_api_key_reads_nothing_here(server: Running, live: TablesDB) -> None:
    with server.socket(x_appwrite_key=server.key) as socket:
        assert hear(socket)["data"]["user"] is None
        subscribe(socket, ROWS)
        live.create_row("live", "note", "unique()", {"n": 1})
        live.create_row("live", "note", "unique()", {"n": 2}, permissions=['read("any")'])
        assert hear(socket)["data"]["payload"]["n"] == 2


def test_a_revoked_permission_ends_the_events(server: Running, live: TablesDB, person: Callable[..., Person]) -> None:
    owner = person()
    row = owner.rows.create_row("live", "note", "unique()", {"n": 1})
    with server.socket(x_appwrite_session=owner.session) as socket:
        hear(socket)
        subscribe(socket, f"{ROWS}.{row.id}")
        live.update_row("live", "note", row.id, {"n": 2}, permissions=[])
        live.update_row("live", "note", row.id, {"n": 3})
        assert hears_nothing(socket)


def test_a_refused_write_is_no_event(server: Running, live: TablesDB, person: Callable[..., Person]) -> None:
    owner = person()
    row = owner.rows.create_row("live", "note", "unique()", {"n": 1})
    with server.socket(x_appwrite_session=owner.session) as socket:
        hear(socket)
        subscribe(socket, ROWS)
        path = f"/tablesdb/live/tables/note/rows/{row.id}"
        assert server.send("PATCH", path, {"data": {"n": "x"}}, x_appwrite_session=owner.session).status_code == 400
        stale = {"x_appwrite_session": owner.session, "x_appwrite_timestamp": "2020-01-01T00:00:00.000+00:00"}
        assert server.send("PATCH", path, {"data": {"n": 2}}, **stale).status_code == 409
        assert hears_nothing(socket)


@pytest.mark.parametrize(
    "message",
    [
        "not json", "[]", "5", "{}", '{"type":"frob"}', '{"type":"subscribe"}', '{"type":"subscribe","data":{}}',
        '{"type":"subscribe","data":[{"channels":"x"}]}', '{"type":"subscribe","data":[{"channels":[1]}]}',
        '{"type":"subscribe","data":[{"channels":["rows"],"queries":["nonsense"]}]}',
        '{"type":"subscribe","data":[{"channels":["rows"],"queries":["{\\"method\\":\\"limit\\",\\"values\\":[1]}"]}]}',
        '{"type":"unsubscribe","data":[{}]}', '{"type":"authentication","data":{"session":"AAAA"}}',
        '{"type":"authentication","data":{"session":5}}', "[" * 5000,
    ],
)  # fmt: skip
def test_a_malformed_message_is_answered_and_the_socket_goes_on(server: Running, message: str) -> None:
    with server.socket() as socket:
        hear(socket)
        socket.send(message)
        answer = hear(socket)
        assert answer["type"] == "error"
        assert answer["data"]["code"] in (1003, 401, 0)
        assert tell(socket, "ping") == {"type": "pong"}


@pytest.mark.parametrize(("query", "origin"), [("", "http://evil.example"), ("x", "")])
def test_a_foreign_page_or_project_is_told_and_cut_off(server: Running, query: str, origin: str) -> None:
    with server.socket(query, **({"origin": origin} if origin else {})) as socket:
        assert hear(socket)["data"]["code"] == 1008
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_a_frame_over_64_kb_closes_the_socket_and_the_server_goes_on(server: Running) -> None:
    with server.socket() as socket:
        hear(socket)
        socket.send(json.dumps({"type": "ping", "pad": "x" * 70_000}))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)
    assert server.send("GET", "/ping").text == "Pong!"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[tuple[Running, Http]]:
    """A server of its own with one row that everybody may read, and a client that writes it fast."""
    with running(tmp_path) as server:
        writer = Http(server.endpoint, {"x-appwrite-project": server.project, "x-appwrite-key": server.key})
        writer.call("POST", "/tablesdb", {"databaseId": "live", "name": "Live"})
        columns = [{"key": "text", "type": "mediumtext"}, {"key": "n", "type": "integer"}]
        writer.call(
            "POST",
            "/tablesdb/live/tables",
            {"tableId": "note", "name": "Note", "rowSecurity": True, "columns": columns},
        )
        row = {"rowId": "board", "data": {"n": 0}, "permissions": ['read("any")']}
        writer.call("POST", "/tablesdb/live/tables/note/rows", row)
        yield server, writer
        writer.close()


def paces(writer: Http, updates: int, text: str) -> list[float]:
    """Seconds of each of so many updates."""
    took = []
    for n in range(updates):
        request = writer.request("PATCH", "/tablesdb/live/tables/note/rows/board", {"data": {"n": n, "text": text}})
        began = time.perf_counter()
        writer.send(request)
        assert writer.answer()[0] == 200
        took.append(time.perf_counter() - began)
    return took


def test_clients_that_stop_reading_are_cut_off_and_slow_nobody(board: tuple[Running, Http]) -> None:
    server, writer = board
    text = "x" * 40_000
    eager = Listener(server.endpoint, server.project, ROWS)
    heard: list[int] = []
    reading = threading.Thread(target=lambda: heard.extend(json.loads(eager.next())["data"]["payload"]["n"]
                                                           for _ in range(2500)))  # fmt: skip
    reading.start()
    alone = median(paces(writer, 500, text))
    before = psutil.Process(server.process.pid).memory_info().rss
    lazy = [Listener(server.endpoint, server.project, ROWS) for _ in range(3)]
    beside_lazy = median(paces(writer, 2000, text))
    grown = psutil.Process(server.process.pid).memory_info().rss - before
    reading.join(60)
    assert heard == [*range(500), *range(2000)], "who reads misses nothing"
    assert beside_lazy < 3 * alone + 0.002, "no wait for those who do not read"
    assert grown < 40 * 2**20, "what waited for them was given up: without a bound it would be 80 MB"
    for each in lazy:
        frames = 0
        with pytest.raises(ConnectionError):
            while each.next():
                frames += 1
        assert 0 < frames < 2000, "the rest was dropped and the connection closed"
        each.close()
    eager.close()


def test_with_limits_a_socket_may_say_so_much_a_minute_and_an_address_connect_so_often(tmp_path: Path) -> None:
    with running(tmp_path, "--rate-limits") as server:
        with server.socket() as socket:
            hear(socket)
            answers = [tell(socket, "ping") for _ in range(33)]
            assert answers[:32] == [{"type": "pong"}] * 32
            assert (answers[32]["type"], answers[32]["data"]["code"]) == ("error", 1013)
        codes = []
        while 1013 not in codes:
            with server.socket() as socket:
                codes.append(hear(socket)["data"].get("code", 0))
        assert len(codes) == 128


def test_a_browsers_cookie_signs_a_socket_in(server: Running, person: Callable[..., Person]) -> None:
    owner = person()
    with server.socket(cookie=f"a_session_{server.project}={owner.session}") as socket:
        assert hear(socket)["data"]["user"]["$id"] == owner.id


def test_a_message_in_bytes_or_in_pieces_is_a_message(server: Running) -> None:
    with server.socket() as socket:
        hear(socket)
        socket.send(b'{"type":"ping"}')
        assert hear(socket) == {"type": "pong"}
        socket.send(iter(['{"type":', '"ping"}']))
        assert hear(socket) == {"type": "pong"}

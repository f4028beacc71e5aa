"""Who sees and does what with every table and bucket of appwrite.json: rows, files, events, by role; nothing leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import pytest
import requests
from appwrite.services.users import Users
from websockets.sync.client import ClientConnection

from core.adapters.appwrite_client import AppwriteClient
from scripts.setup_db import SetUp

from .conftest import ROOT, Running, hear, running

SCHEMA = json.loads((ROOT / "appwrite.json").read_text(encoding="utf-8"))
TABLES = {table["$id"]: table for table in SCHEMA["tables"]}
BUCKETS = {bucket["$id"]: bucket for bucket in SCHEMA["buckets"]}
DATABASE = SCHEMA["tablesDB"][0]["$id"]

Role = Literal["owner", "other", "guest", "key", "reading key", "key without scope"]
ROLES: tuple[Role, ...] = ("owner", "other", "guest", "key", "reading key", "key without scope")
KEY_SCOPES = {
    "key": "rows.read,rows.write,files.read,files.write,tokens.read,tokens.write",
    "reading key": "rows.read,files.read,tokens.read",
    "key without scope": "users.read,databases.read,tables.read,buckets.read",
}
Kind = Literal["the product's", "Console-made", "the owner's own"]
ROW_KINDS: tuple[Kind, ...] = ("the product's", "Console-made")
Answer = tuple[int, str]  # status, error type

READ, EMPTY = (200, ""), (200, "nothing")
NO_PERMISSION, NO_SCOPE = (401, "user_unauthorized"), (401, "general_unauthorized_scope")


@dataclass(frozen=True)
class World:
    """A server with the product's schema, and how each role shows who it is."""

    server: Running
    headers: dict[str, dict[str, str]]
    users: dict[str, str]

    def granted(self, kind: Kind) -> list[str]:
        """The permissions of a row or file of this kind."""
        actions = {"the product's": ("read",), "Console-made": (), "the owner's own": ("read", "update", "delete")}
        return [f'{action}("user:{self.users["owner"]}")' for action in actions[kind]]

    def send(self, role: str, method: str, path: str, body: object = None) -> requests.Response:
        """A request of this role."""
        return self.server.send(method, path, body, **self.headers[role])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server for the matrix."""
    with running(tmp_path_factory.mktemp("matrix")) as server:
        SetUp(AppwriteClient(server.endpoint, server.project, server.key)).run()
        headers: dict[str, dict[str, str]] = {"guest": {}, "everything": {"x_appwrite_key": server.key}}
        made = Users(server.client(key=server.key))
        users = {name: str(made.create("unique()").id) for name in ("owner", "other")}
        for name, user_id in users.items():
            headers[name] = {"x_appwrite_session": str(made.create_session(user_id).secret)}
        for name, scopes in KEY_SCOPES.items():
            command = [sys.executable, "-m", "emulator", "key", "--data", str(server.data), "--scopes", scopes]
            key = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            headers[name] = {"x_appwrite_key": key}
        yield World(server, headers, users)


def told(answer: requests.Response) -> Answer:
    """Status and error type."""
    failed = answer.status_code >= 400
    return answer.status_code, str(answer.json()["type"]) if failed else ""


def found(answer: requests.Response, wanted: str) -> Answer:
    """What a list told: its error, `EMPTY`, or that it holds what is looked for."""
    if answer.status_code != 200:
        return told(answer)
    listed = next(value for key, value in answer.json().items() if key != "total")
    assert (answer.json()["total"] > 0) == bool(listed), "a count of what may not be seen"
    return READ if wanted in [each["$id"] for each in listed] else EMPTY


# ---- rows


@dataclass(frozen=True)
class Words:
    """What the two families call the same things."""

    rows: str
    row_id: str
    not_found: str
    no_number: str


FAMILIES = {
    "tablesdb": Words(f"/tablesdb/{DATABASE}/tables/%s/rows", "rowId", "row_not_found", "column_type_invalid"),
    "databases": Words(
        f"/databases/{DATABASE}/collections/%s/documents", "documentId", "document_not_found", "attribute_type_invalid"
    ),
}


def data_of(table: str) -> dict[str, str]:
    """Values for the required columns, or for one where none is."""
    columns = TABLES[table]["columns"]
    values = {"string": "x", "datetime": "2026-01-01T00:00:00.000+00:00"}
    required = {c["key"]: values[c["type"]] for c in columns if c["required"]}
    texts = [c["key"] for c in columns if c["type"] == "string" and c.get("format") is None]
    return required or {texts[0]: "x"}


def expected_of_row(role: Role, kind: Kind, words: Words) -> dict[str, Answer]:
    """What each attempt must be told; users are given nothing but the reading of what is theirs."""
    if role == "key":
        return {
            "get": READ, "list": READ, "update": READ, "upsert": READ, "create": (201, ""),
            "increment": (400, words.no_number),
            "delete": (204, ""),
        }  # fmt: skip
    writes = ("update", "upsert", "create", "increment", "delete")
    if role == "key without scope":
        return dict.fromkeys(("get", "list", *writes), NO_SCOPE)
    if role == "reading key":
        return {"get": READ, "list": READ, **dict.fromkeys(writes, NO_SCOPE)}
    sees = role == "owner" and kind != "Console-made"
    reading = {"get": READ, "list": READ} if sees else {"get": (404, words.not_found), "list": EMPTY}
    return {**reading, **dict.fromkeys(writes, NO_PERMISSION)}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ROW_KINDS)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_for_who_may_have_it(world: World, family: str, table: str, kind: Kind, role: Role) -> None:
    words, data = FAMILIES[family], data_of(table)
    rows = words.rows % table
    body = {words.row_id: "unique()", "data": data, "permissions": world.granted(kind)}
    made = world.send("everything", "POST", rows, body)
    assert made.status_code == 201, made.text
    row_id, key = made.json()["$id"], next(iter(data))
    row = f"{rows}/{row_id}"

    seen = {
        "get": told(world.send(role, "GET", row)),
        "list": found(world.send(role, "GET", f"{rows}?queries[0]={_newest()}"), row_id),
        "update": told(world.send(role, "PATCH", row, {"data": {key: "changed"}})),
        "upsert": told(world.send(role, "PUT", row, {"data": {**data, key: "replaced"}})),
        "create": told(world.send(role, "POST", rows, {words.row_id: "unique()", "data": data})),
        "increment": told(world.send(role, "PATCH", f"{row}/{key}/increment", {})),
    }
    kept = world.send("everything", "GET", row).json()
    seen["delete"] = told(world.send(role, "DELETE", row))

    expected = expected_of_row(role, kind, words)
    if role in ("owner", "other", "guest"):  # whether the permission or the column is looked at first is no leak
        assert seen.pop("increment")[0] in (400, 401, 404)
        expected.pop("increment")
    assert seen == expected
    if role != "key":
        assert kept == made.json(), "a refused write has changed the row"
        assert world.send("everything", "GET", row).status_code == 200


def _newest() -> str:
    return json.dumps({"method": "orderDesc", "attribute": "$sequence"})


@pytest.mark.parametrize("role", ["owner", "other", "guest", "reading key", "key without scope"])
@pytest.mark.parametrize("table", TABLES)
def test_many_rows_at_once_are_for_keys_with_the_scope_alone(world: World, table: str, role: Role) -> None:
    rows = FAMILIES["tablesdb"].rows % table
    body = {"rowId": "unique()", "data": data_of(table), "permissions": world.granted("the owner's own")}
    row = world.send("everything", "POST", rows, body).json()
    attempts = {"POST": {"rows": [{"$id": "unique()", **data_of(table)}]}, "PUT": {"rows": [row]},
                "PATCH": {"data": data_of(table)}, "DELETE": {}}  # fmt: skip
    for method, sent in attempts.items():
        assert world.send(role, method, rows, sent).status_code in (401, 404), method
    assert world.send("everything", "GET", f"{rows}/{row['$id']}").json() == row


# ---- files


def expected_of_file(role: Role, kind: Kind, bucket: str) -> dict[str, Answer]:
    """What each attempt must be told; only `uploads` takes files of users."""
    reads, changes, tokens = ("get", "view", "download", "list"), ("update", "delete"), ("tokens", "token")
    if role == "key":
        made = {"create": (201, ""), "token": (201, ""), "tokens": READ, "update": READ, "delete": (204, "")}
        return {**dict.fromkeys(reads, READ), **made}
    if role == "key without scope":
        return dict.fromkeys((*reads, *changes, *tokens, "create"), NO_SCOPE)
    if role == "reading key":
        refused = dict.fromkeys((*changes, "token", "create"), NO_SCOPE)
        return {**dict.fromkeys((*reads, "tokens"), READ), **refused}
    sees, owns = role == "owner" and kind != "Console-made", role == "owner" and kind == "the owner's own"
    told_of = dict.fromkeys(reads, READ) if sees else {
        **dict.fromkeys(reads, (404, "storage_file_not_found")), "list": EMPTY
    }  # fmt: skip
    may = {"update": READ, "delete": (204, "")} if owns else dict.fromkeys(changes, NO_PERMISSION)
    takes = role != "guest" and 'create("users")' in BUCKETS[bucket]["$permissions"]
    return {**told_of, **may, **dict.fromkeys(tokens, NO_SCOPE), "create": (201, "") if takes else NO_PERMISSION}


def upload(world: World, role: str, bucket: str, permissions: list[str] | None = None) -> requests.Response:
    """A small file of a kind the bucket takes."""
    name = f"a.{BUCKETS[bucket]['allowedFileExtensions'][0]}"
    fields = {"fileId": "unique()", **{f"permissions[{i}]": each for i, each in enumerate(permissions or [])}}
    headers = {name.replace("_", "-"): value for name, value in world.headers[role].items()}
    headers["x-appwrite-project"] = world.server.project
    url = f"{world.server.endpoint}/storage/buckets/{bucket}/files"
    return requests.post(url, data=fields, files={"file": (name, b"secret")}, headers=headers, timeout=30)


FILES = [(bucket, kind) for bucket in BUCKETS for kind in ROW_KINDS] + [("uploads", "the owner's own")]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("bucket", "kind"), FILES)
def test_a_file_is_for_who_may_have_it(world: World, bucket: str, kind: Kind, role: Role) -> None:
    made = upload(world, "everything", bucket, world.granted(kind))
    assert made.status_code == 201, made.text
    files, tokens = f"/storage/buckets/{bucket}/files", f"/tokens/buckets/{bucket}/files"
    file_id = made.json()["$id"]
    file = f"{files}/{file_id}"

    contents = {name: world.send(role, "GET", f"{file}/{name}") for name in ("view", "download", "preview")}
    seen = {
        "get": told(world.send(role, "GET", file)),
        "list": found(world.send(role, "GET", files), file_id),
        "view": told(contents["view"]),
        "download": told(contents["download"]),
        "tokens": told(world.send(role, "GET", f"{tokens}/{file_id}")),
        "token": told(world.send(role, "POST", f"{tokens}/{file_id}", {})),
        "create": told(upload(world, role, bucket)),
        "update": told(world.send(role, "PUT", file, {"name": "changed.bin"})),
    }
    kept = world.send("everything", "GET", file).json()
    seen["delete"] = told(world.send(role, "DELETE", file))

    expected = expected_of_file(role, kind, bucket)
    assert seen == expected
    if expected["get"] != READ:
        assert all(b"secret" not in answer.content for answer in contents.values())
        assert contents["preview"].status_code in (401, 404)
    if expected["update"] != READ:
        assert kept == made.json(), "a refused write has changed the file"
        assert world.send("everything", "GET", f"{file}/view").content == b"secret"


# ---- events


@pytest.fixture(scope="module")
def listeners(world: World) -> Iterator[dict[str, ClientConnection]]:
    """A socket of every role that listens to whatever there is."""
    channels = ["rows", "documents", "files", "tables", "account", "teams", "executions", "console"]
    channels += [f"account.{user}" for user in world.users.values()]
    for table in TABLES:
        channels += [f"tablesdb.{DATABASE}.tables.{table}.rows", f"databases.{DATABASE}.tables.{table}.rows"]
        channels += [f"databases.{DATABASE}.collections.{table}.documents", f"rows.create.{table}"]
    channels += [f"buckets.{bucket}.files" for bucket in BUCKETS]
    with ExitStack() as stack:
        sockets: dict[str, ClientConnection] = {
            role: stack.enter_context(world.server.socket(**world.headers[role])) for role in ROLES
        }
        for socket in sockets.values():
            assert hear(socket)["type"] == "connected"
            socket.send(json.dumps({"type": "subscribe", "data": [{"channels": channels}]}))
            assert hear(socket)["type"] == "response"
        yield sockets


def heard(sockets: dict[str, ClientConnection]) -> dict[str, list[str]]:
    """What each role has heard since it was last asked: the first name of every event."""
    names: dict[str, list[str]] = {}
    for role, socket in sockets.items():
        socket.send('{"type":"ping"}')
        names[role] = []
        while (frame := hear(socket))["type"] != "pong":
            names[role].append(frame["data"]["events"][0])
    return names


def only_owner(names: list[str]) -> dict[str, list[str]]:
    """That the owner has heard these and nobody else anything."""
    return {role: names if role == "owner" else [] for role in ROLES}


@pytest.mark.parametrize("table", TABLES)
def test_the_events_of_a_row_reach_its_readers_alone(
    world: World, listeners: dict[str, ClientConnection], table: str
) -> None:
    rows, data = FAMILIES["tablesdb"].rows % table, data_of(table)
    key = next(iter(data))
    heard(listeners)
    for kind in ROW_KINDS:
        body = {"rowId": "unique()", "data": data, "permissions": world.granted(kind)}
        row_id = world.send("everything", "POST", rows, body).json()["$id"]
        world.send("everything", "PATCH", f"{rows}/{row_id}", {"data": {key: "y"}})
        world.send("everything", "PUT", f"{rows}/{row_id}", {"data": data})
        world.send("everything", "PATCH", rows, {"data": {key: "z"}, "queries": [_only(row_id)]})
        world.send("everything", "DELETE", f"{rows}/{row_id}")

        name = f"tablesdb.{DATABASE}.tables.{table}.rows.{row_id}"
        actions = ("create", "update", "upsert", "update", "delete") if kind == "the product's" else ()
        assert heard(listeners) == only_owner([f"{name}.{action}" for action in actions])


@pytest.mark.parametrize("table", TABLES)
def test_who_may_no_longer_read_a_row_hears_no_more_of_it(
    world: World, listeners: dict[str, ClientConnection], table: str
) -> None:
    rows, data = FAMILIES["tablesdb"].rows % table, data_of(table)
    key = next(iter(data))
    body = {"rowId": "unique()", "data": data, "permissions": world.granted("the product's")}
    row = f"{rows}/{world.send('everything', 'POST', rows, body).json()['$id']}"
    heard(listeners)

    world.send("everything", "PATCH", row, {"permissions": [f'read("user:{world.users["other"]}")']})
    world.send("everything", "PATCH", row, {"data": {key: "y"}})

    assert {role: len(names) for role, names in heard(listeners).items()} == {
        role: 2 if role == "other" else 0 for role in ROLES
    }
    world.send("everything", "DELETE", row)
    heard(listeners)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_the_events_of_a_file_reach_its_readers_alone(
    world: World, listeners: dict[str, ClientConnection], bucket: str
) -> None:
    heard(listeners)
    for kind in ROW_KINDS:
        file_id = upload(world, "everything", bucket, world.granted(kind)).json()["$id"]
        file = f"/storage/buckets/{bucket}/files/{file_id}"
        world.send("everything", "PUT", file, {"name": "b.bin"})
        world.send("everything", "DELETE", file)

        actions = ("create", "update", "delete") if kind == "the product's" else ()
        assert heard(listeners) == only_owner([f"buckets.{bucket}.files.{file_id}.{action}" for action in actions])


def test_the_events_of_an_account_reach_its_user_alone(world: World, listeners: dict[str, ClientConnection]) -> None:
    heard(listeners)
    world.send("owner", "PATCH", "/account/prefs", {"prefs": {"theme": "dark"}})
    world.send("owner", "PATCH", "/account/name", {"name": "Somebody"})

    name = f"users.{world.users['owner']}.update"
    assert heard(listeners) == only_owner([name, name])


def _only(row_id: str) -> str:
    return json.dumps({"method": "equal", "attribute": "$id", "values": [row_id]})

"""Who may do what to which row: permissions of tables and rows, roles, keys and their scopes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from appwrite.exception import AppwriteException
from appwrite.services.account import Account
from appwrite.services.tables_db import TablesDB
from appwrite.services.users import Users

from emulator.permissions import allows, checked, parse, roles
from emulator.routes import ROUTES

from .conftest import ROOT, Person, Running

COLUMN = [{"key": "text", "type": "string", "size": 40, "required": True}]


@pytest.fixture(scope="module")
def vault(admin: TablesDB) -> Iterator[TablesDB]:
    """Tables: `private` (rows alone decide), `open` (the table alone decides), `shut` (nobody but keys)."""
    admin.create("vault", "Vault")
    admin.create_table("vault", "private", "P", permissions=['create("users")'], row_security=True, columns=COLUMN)
    admin.create_table("vault", "open", "O", permissions=['read("any")', 'create("users")'], columns=COLUMN)
    admin.create_table("vault", "shut", "S", permissions=[], row_security=False, columns=COLUMN)
    yield admin
    admin.delete("vault")


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
    """Status and type of a refused call."""
    with pytest.raises(AppwriteException) as refused:
        call(*arguments, **named)
    return int(refused.value.code), str(refused.value.type)


def test_a_stranger_can_neither_read_nor_find_nor_change_nor_delete_the_row(
    vault: TablesDB, person: Callable[..., Person], server: Running
) -> None:
    owner, stranger = person(), person()
    guest = TablesDB(server.client())
    row = owner.rows.create_row("vault", "private", "unique()", {"text": "mine"})
    assert row.permissions == [f'{action}("user:{owner.id}")' for action in ("read", "update", "delete")]
    for rows in (stranger.rows, guest):
        assert refusal(rows.get_row, "vault", "private", row.id) == (404, "row_not_found")
        assert rows.list_rows("vault", "private").total == 0
        assert refusal(rows.update_row, "vault", "private", row.id, {"text": "x"}) == (401, "user_unauthorized")
        assert refusal(rows.delete_row, "vault", "private", row.id) == (401, "user_unauthorized")
        assert refusal(rows.upsert_row, "vault", "private", row.id, {"text": "x"})[0] == 401
    assert owner.rows.get_row("vault", "private", row.id).data == {"text": "mine"}


def test_a_row_made_with_a_key_and_no_permissions_is_seen_by_keys_alone(
    vault: TablesDB, person: Callable[..., Person]
) -> None:
    row = vault.create_row("vault", "private", "unique()", {"text": "internal"})
    assert row.permissions == []
    assert refusal(person().rows.get_row, "vault", "private", row.id) == (404, "row_not_found")


def test_read_alone_lets_nobody_write(vault: TablesDB, person: Callable[..., Person]) -> None:
    reader = person()
    row = vault.create_row("vault", "private", "unique()", {"text": "look"}, permissions=[f'read("user:{reader.id}")'])
    assert reader.rows.get_row("vault", "private", row.id).data == {"text": "look"}
    assert refusal(reader.rows.update_row, "vault", "private", row.id, {"text": "x"}) == (401, "user_unauthorized")
    assert refusal(reader.rows.delete_row, "vault", "private", row.id) == (401, "user_unauthorized")


def test_taking_the_permission_away_takes_the_row_away(vault: TablesDB, person: Callable[..., Person]) -> None:
    reader = person()
    granted = [f'read("user:{reader.id}")']
    row = vault.create_row("vault", "private", "unique()", {"text": "brief"}, permissions=granted)
    assert reader.rows.list_rows("vault", "private").total == 1
    vault.update_row("vault", "private", row.id, permissions=[])
    assert reader.rows.list_rows("vault", "private").total == 0
    assert refusal(reader.rows.get_row, "vault", "private", row.id) == (404, "row_not_found")


def test_a_guest_may_not_create_where_users_may(vault: TablesDB, server: Running) -> None:
    guest = TablesDB(server.client())
    assert refusal(guest.create_row, "vault", "private", "unique()", {"text": "x"}) == (401, "user_unauthorized")


def test_nobody_grants_roles_it_does_not_hold(vault: TablesDB, person: Callable[..., Person]) -> None:
    maker, other = person(), person()
    for permission in (f'read("user:{other.id}")', 'read("label:vip")', 'update("guests")'):
        answer = refusal(maker.rows.create_row, "vault", "private", "unique()", {"text": "x"}, permissions=[permission])
        assert answer == (401, "user_unauthorized")
    row = maker.rows.create_row("vault", "private", "unique()", {"text": "x"}, permissions=['read("any")'])
    assert other.rows.get_row("vault", "private", row.id).id == row.id


def test_without_row_security_the_table_alone_decides(vault: TablesDB, person: Callable[..., Person]) -> None:
    maker, reader = person(), person()
    row = maker.rows.create_row("vault", "open", "unique()", {"text": "all"})
    assert reader.rows.get_row("vault", "open", row.id).data == {"text": "all"}
    assert refusal(maker.rows.update_row, "vault", "open", row.id, {"text": "x"}) == (401, "user_unauthorized")
    assert refusal(maker.rows.list_rows, "vault", "shut") == (401, "user_unauthorized")
    assert refusal(maker.rows.create_row, "vault", "shut", "unique()", {"text": "x"})[0] == 401


def test_a_label_opens_what_it_was_given_for(vault: TablesDB, person: Callable[..., Person], server: Running) -> None:
    row = vault.create_row("vault", "private", "unique()", {"text": "vip"}, permissions=['read("label:vip")'])
    guest = person()
    assert refusal(guest.rows.get_row, "vault", "private", row.id)[0] == 404
    Users(server.client(key=server.key)).update_labels(guest.id, ["vip"])
    assert guest.rows.get_row("vault", "private", row.id).id == row.id


def test_users_may_not_touch_schemas_or_users(vault: TablesDB, person: Callable[..., Person], server: Running) -> None:
    someone = person()
    assert refusal(someone.rows.create, "mine", "Mine") == (401, "general_unauthorized_scope")
    assert refusal(someone.rows.list_columns, "vault", "private") == (401, "general_unauthorized_scope")
    assert refusal(Users(server.client(session=someone.session)).list)[0] == 401


def test_a_key_does_what_its_scopes_say_and_nothing_else(vault: TablesDB, server: Running) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "emulator", "key", "--data", str(server.data), "--scopes", "documents.read"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = TablesDB(server.client(key=made.stdout.strip()))
    assert rows.list_rows("vault", "private").total >= 0
    for call in (
        lambda: rows.create_row("vault", "private", "unique()", {"text": "x"}),
        lambda: rows.get_table("vault", "private"),
        lambda: rows.create("x", "x"),
    ):
        assert refusal(call) == (401, "general_unauthorized_scope")


def test_an_unknown_key_is_refused(server: Running) -> None:
    for key in ("standard_0", "ephemeral_0", "ephemeral_a.b.c", "dynamic_", "anything"):
        assert refusal(TablesDB(server.client(key=key)).list) == (401, "user_unauthorized")


def test_a_key_and_a_session_together_are_refused(person: Callable[..., Person], server: Running) -> None:
    client = server.client(key=server.key, session=person().session)
    assert refusal(Account(client).get) == (403, "user_api_key_and_session_set")


@pytest.mark.parametrize(
    "permission",
    [
        "read(any)",
        'read("any\n")',
        'read("any")\n',
        'read("")',
        'read("user:")',
        'see("any")',
        'read("team:a/b/c")',
        "",
        5,
        'create("any")',
    ],
)
def test_a_permission_that_is_none_is_refused(vault: TablesDB, server: Running, permission: object) -> None:
    answer = server.send(
        "POST",
        "/tablesdb/vault/tables/private/rows",
        {"rowId": "unique()", "data": {"text": "x"}, "permissions": [permission]},
        x_appwrite_key=server.key,
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


def test_write_stands_for_the_writing_actions() -> None:
    assert checked(['write("any")', 'read("any")'], ("read", "update", "delete")) == [
        'update("any")', 'delete("any")', 'read("any")'
    ]  # fmt: skip
    assert parse('read("users/verified")') == ("read", "users/verified")
    assert roles(['read("any")', 'read("user:a")', 'update("user:b")'], "read") == {"any", "user:a"}
    assert not allows(['update("user:b")'], "read", frozenset({"user:b"}))


PUBLIC = {("GET", "/ping"), ("GET", "/health/version")}


def test_every_route_asks_for_a_scope_before_it_does_or_tells_anything(server: Running) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "emulator", "key", "--data", str(server.data), "--scopes", "locale.read"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    asked = {
        (method, path): server.send(method, re.sub(r"\{\w+\}", "nothing", path), {}, x_appwrite_key=made.stdout.strip())
        for method, path, _ in ROUTES
    }
    assert len(asked) > 150
    without = {route for route, answer in asked.items() if b"general_unauthorized_scope" not in answer.content}
    assert without == PUBLIC

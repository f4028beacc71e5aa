"""Transactions through the official client: seen by their own reads alone, and done all at once or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from appwrite.exception import AppwriteException
from appwrite.operator import Operator
from appwrite.query import Query
from appwrite.services.tables_db import TablesDB
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.operations import EVENTS

from .conftest import Person, Running, hear, hears_nothing, running

AT = ("bank", "account")


@pytest.fixture(scope="module")
def bank(admin: TablesDB) -> Iterator[TablesDB]:
    """A table `account` that anyone signed in may add to."""
    admin.create("bank", "Bank")
    admin.create_table(
        *AT, "Account", permissions=['create("users")'], row_security=True,
        columns=[
            {"key": "name", "type": "varchar", "size": 20, "required": True},
            {"key": "balance", "type": "integer", "default": 0},
        ],
        indexes=[{"key": "by_name", "type": "unique", "attributes": ["name"]}],
    )  # fmt: skip
    yield admin
    admin.delete("bank")


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    """Status and type of a refused call."""
    with pytest.raises(AppwriteException) as refused:
        call(*arguments, **named)
    return int(refused.value.code), str(refused.value.type)


def balance(bank: TablesDB, row_id: str, **named: Any) -> Any:
    """The balance of a row."""
    return bank.get_row(*AT, row_id, **named).data["balance"]


def operation(action: str, row_id: str | None = None, data: Any = None) -> dict[str, Any]:
    """An operation on the table as the list of operations wants it."""
    place = {"action": action, "databaseId": "bank", "tableId": "account"}
    return {**place, **({"rowId": row_id} if row_id else {}), **({} if data is None else {"data": data})}


def test_what_waits_is_seen_inside_and_becomes_real_at_the_commit(bank: TablesDB) -> None:
    bank.create_row(*AT, "a1", {"name": "a1", "balance": 10})
    bank.create_row(*AT, "a2", {"name": "a2", "balance": 20})
    tx = bank.create_transaction().id
    bank.update_row(*AT, "a1", {"balance": 5}, transaction_id=tx)
    bank.create_row(*AT, "a3", {"name": "a3"}, transaction_id=tx)
    bank.increment_row_column(*AT, "a3", "balance", 5, transaction_id=tx)
    bank.delete_row(*AT, "a2", transaction_id=tx)

    inside = bank.list_rows(*AT, [Query.starts_with("name", "a")], transaction_id=tx)
    assert {row.id: row.data["balance"] for row in inside.rows} == {"a1": 5, "a3": 5}
    outside = bank.list_rows(*AT, [Query.starts_with("name", "a")])
    assert {row.id: row.data["balance"] for row in outside.rows} == {"a1": 10, "a2": 20}
    assert balance(bank, "a3", transaction_id=tx) == 5
    assert refusal(bank.get_row, *AT, "a2", transaction_id=tx) == (404, "row_not_found")

    committed = bank.update_transaction(tx, commit=True)
    assert (committed.status, committed.operations) == ("committed", 4)
    after = bank.list_rows(*AT, [Query.starts_with("name", "a")])
    assert {row.id: row.data["balance"] for row in after.rows} == {"a1": 5, "a3": 5}


def test_every_kind_of_operation_can_wait_in_one_list(bank: TablesDB) -> None:
    for n in range(4):
        bank.create_row(*AT, f"b{n}", {"name": f"b{n}", "balance": 10})
    tx = bank.create_transaction(ttl=60).id
    by_name = Query.equal("name", ["c1"])
    added = bank.create_operations(
        tx,
        [
            operation("create", "b9", {"name": "b9", "$permissions": ['read("any")']}),
            operation("update", "b0", {"balance": Operator.multiply(2)}),
            operation("upsert", "b8", {"name": "b8"}),
            operation("increment", "b1", {"column": "balance", "value": 3}),
            operation("decrement", "b2", {"column": "balance", "value": 3, "min": 0}),
            operation("delete", "b3"),
            operation("bulkCreate", data=[{"$id": "c1", "name": "c1"}, {"$id": "c2", "name": "c2"}]),
            operation("bulkUpsert", data=[{"$id": "c2", "name": "c2", "balance": 2}]),
            operation("bulkUpdate", data={"queries": [by_name], "data": {"balance": 7}}),
            operation("bulkDelete", data={"queries": [Query.equal("name", ["c2"])]}),
        ],
    )
    assert (added.status, added.operations) == ("pending", 10)
    assert refusal(bank.get_row, *AT, "b9") == (404, "row_not_found")
    bank.update_transaction(tx, commit=True)
    rows = bank.list_rows(*AT, [Query.or_queries([Query.starts_with("name", "b"), Query.starts_with("name", "c")])])
    assert {row.id: row.data["balance"] for row in rows.rows} == {
        "b0": 20, "b1": 13, "b2": 7, "b8": 0, "b9": 0, "c1": 7
    }  # fmt: skip
    assert bank.get_row(*AT, "b9").permissions == ['read("any")']


def test_one_operation_that_fails_undoes_them_all(bank: TablesDB) -> None:
    bank.create_row(*AT, "d0", {"name": "d0"})
    tx = bank.create_transaction().id
    bank.create_operations(
        tx, [operation("create", "d1", {"name": "d1"}), operation("update", "d0", {"balance": "much"})]
    )
    assert refusal(bank.update_transaction, tx, commit=True) == (400, "row_invalid_structure")
    assert refusal(bank.get_row, *AT, "d1") == (404, "row_not_found")
    assert bank.get_transaction(tx).status == "failed"
    assert refusal(bank.update_transaction, tx, commit=True) == (400, "transaction_not_ready")


@pytest.mark.parametrize("change", ["update", "delete", "create", "unique"])
def test_a_row_changed_meanwhile_is_a_conflict(bank: TablesDB, change: str) -> None:
    name = f"e-{change}"
    bank.create_row(*AT, name, {"name": name})
    tx = bank.create_transaction().id
    if change == "create":
        bank.create_row(*AT, f"{name}2", {"name": f"{name}2"}, transaction_id=tx)
        bank.create_row(*AT, f"{name}2", {"name": f"{name}3"})
    elif change == "unique":
        bank.create_row(*AT, f"{name}2", {"name": f"{name}2"}, transaction_id=tx)
        bank.create_row(*AT, f"{name}3", {"name": f"{name}2"})
    else:
        bank.update_row(*AT, name, {"balance": 1}, transaction_id=tx)
        bank.update_row(*AT, name, {"balance": 2}) if change == "update" else bank.delete_row(*AT, name)
    assert refusal(bank.update_transaction, tx, commit=True) == (409, "transaction_conflict")
    if change == "update":
        assert balance(bank, name) == 2


def test_counters_add_up_whoever_counts_meanwhile(bank: TablesDB) -> None:
    bank.create_row(*AT, "f0", {"name": "f0", "balance": 1})
    tx = bank.create_transaction().id
    bank.increment_row_column(*AT, "f0", "balance", 10, transaction_id=tx)
    bank.increment_row_column(*AT, "f0", "balance", 100)
    bank.update_transaction(tx, commit=True)
    assert balance(bank, "f0") == 111


def test_what_is_rolled_back_never_was(bank: TablesDB) -> None:
    tx = bank.create_transaction().id
    bank.create_row(*AT, "g0", {"name": "g0"}, transaction_id=tx)
    assert bank.update_transaction(tx, rollback=True).status == "failed"
    assert refusal(bank.get_row, *AT, "g0") == (404, "row_not_found")
    assert refusal(bank.create_row, *AT, "g0", {"name": "g0"}, transaction_id=tx) == (400, "transaction_not_ready")
    bank.delete_transaction(tx)
    assert refusal(bank.get_transaction, tx) == (404, "transaction_not_found")


def test_a_write_that_does_not_fit_is_refused_before_it_waits(bank: TablesDB) -> None:
    tx = bank.create_transaction().id
    assert refusal(bank.create_row, *AT, "h0", {}, transaction_id=tx)[0] == 400
    assert refusal(bank.update_row, *AT, "nosuch", {"balance": 1}, transaction_id=tx) == (404, "row_not_found")
    assert bank.get_transaction(tx).operations == 0


def test_a_transaction_is_its_users_alone(bank: TablesDB, server: Running, person: Callable[..., Person]) -> None:
    alice, bob = person(), person()
    bank.create_row(*AT, "i0", {"name": "i0"}, permissions=[f'read("user:{bob.id}")'])
    tx = alice.rows.create_transaction().id
    assert refusal(bob.rows.get_transaction, tx) == (404, "transaction_not_found")
    assert refusal(bob.rows.update_transaction, tx, commit=True) == (404, "transaction_not_found")
    assert bob.rows.list_transactions().total == 0
    assert [each.id for each in alice.rows.list_transactions().transactions] == [tx]
    assert refusal(TablesDB(server.client()).create_transaction) == (401, "user_unauthorized")
    assert refusal(alice.rows.create_operations, tx, [operation("update", "i0", {"balance": 1})]) == (
        401, "user_unauthorized"
    )  # fmt: skip
    bulk = [operation("bulkDelete", data={"queries": []})]
    assert refusal(alice.rows.create_operations, tx, bulk) == (401, "general_unauthorized_scope")
    mine = alice.rows.create_row(*AT, "unique()", {"name": "i1"}, transaction_id=tx)
    alice.rows.update_transaction(tx, commit=True)
    assert alice.rows.get_row(*AT, mine.id).permissions == mine.permissions
    assert refusal(bob.rows.get_row, *AT, mine.id) == (404, "row_not_found")


def test_events_are_told_at_the_commit(bank: TablesDB, server: Running, person: Callable[..., Person]) -> None:
    reader = person()
    path = "&channels[]=databases.bank.tables.account.rows"
    with server.socket(path, x_appwrite_session=reader.session) as socket:
        hear(socket)
        tx = bank.create_transaction().id
        bank.create_row(*AT, "j0", {"name": "j0"}, [f'read("user:{reader.id}")'], transaction_id=tx)
        bank.increment_row_column(*AT, "j0", "balance", transaction_id=tx)
        assert hears_nothing(socket)
        bank.update_transaction(tx, commit=True)
        heard = [hear(socket)["data"] for _ in range(2)]
        assert [each["payload"]["balance"] for each in heard] == [0, 1]
        assert [each["events"][0].rpartition(".")[2] for each in heard] == ["create", "update"]


def test_a_transaction_holds_100_operations(bank: TablesDB) -> None:
    tx = bank.create_transaction().id
    many = [operation("create", f"k{n}", {"name": f"k{n}"}) for n in range(100)]
    bank.create_operations(tx, many)
    assert refusal(bank.create_row, *AT, "k100", {"name": "k100"}, transaction_id=tx) == (
        400, "transaction_limit_exceeded"
    )  # fmt: skip
    bank.update_transaction(tx, commit=True)
    assert bank.list_rows(*AT, [Query.starts_with("name", "k"), Query.limit(1)]).total == 100


@pytest.mark.parametrize(
    "operations",
    [
        None,
        [],
        ["create"],
        [{"action": "drop"}],
        [{"action": ["create"]}],
        [{"action": "create"}],
        [operation("create", "../x", {"name": "x"})],
        [operation("create", "x", "name")],
        [operation("increment", "x", {"value": 1})],
        [operation("increment", "x", {"column": "balance", "value": "1"})],
        [operation("bulkCreate", data="x")],
        [operation("bulkCreate", data=[5])],
        [operation("bulkUpdate", data=[])],
        [operation("bulkDelete", data={"queries": "x"})],
    ],
)
def test_operations_that_make_no_sense_are_refused(server: Running, bank: TablesDB, operations: Any) -> None:
    tx = bank.create_transaction().id
    path = f"/tablesdb/transactions/{tx}/operations"
    answer = server.send("POST", path, {"operations": operations}, x_appwrite_key=server.key)
    assert answer.status_code == 400
    assert answer.json()["type"] in ("general_argument_invalid", "row_missing_data")
    assert bank.get_transaction(tx).operations == 0


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
DATA = VALUE | st.dictionaries(
    st.sampled_from(["name", "balance", "$id", "$permissions", "column", "value", "min", "max", "data", "queries"]),
    VALUE,
)
OPERATION = st.fixed_dictionaries(
    {"action": st.sampled_from(sorted(EVENTS)) | VALUE, "databaseId": st.just("bank"), "tableId": st.just("account")},
    optional={"rowId": st.sampled_from(["x", "y", "unique()"]) | VALUE, "data": DATA | st.lists(DATA, max_size=2)},
)


@settings(max_examples=150, deadline=None)
@given(operations=st.lists(OPERATION, max_size=3))
def test_whatever_is_to_wait_is_answered_and_read_and_committed_or_refused(
    server: Running, bank: TablesDB, operations: list[Any]
) -> None:
    key = {"x_appwrite_key": server.key}
    tx = server.send("POST", "/tablesdb/transactions", {}, **key).json()["$id"]
    path = f"/tablesdb/transactions/{tx}"
    added = server.send("POST", f"{path}/operations", {"operations": operations}, **key)
    seen = server.send("GET", f"/tablesdb/bank/tables/account/rows?transactionId={tx}", **key)
    committed = server.send("PATCH", path, {"commit": True}, **key)
    assert (added.status_code, seen.status_code) in ((201, 200), (400, 200))
    assert committed.status_code in (200, 400, 404, 409)


@pytest.mark.parametrize("body", [{"ttl": 59}, {"ttl": 3601}, {"ttl": "60"}, {"ttl": True}])
def test_a_time_to_live_out_of_range_is_refused(server: Running, body: dict[str, Any]) -> None:
    answer = server.send("POST", "/databases/transactions", body, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


def test_a_commit_that_is_also_a_rollback_or_neither_is_refused(bank: TablesDB) -> None:
    tx = bank.create_transaction().id
    assert refusal(bank.update_transaction, tx) == (400, "general_bad_request")
    assert refusal(bank.update_transaction, tx, commit=True, rollback=True) == (400, "general_bad_request")


def test_what_waits_outlives_a_restart_and_ends_with_its_time(tmp_path: Any) -> None:
    with running(tmp_path) as first:
        rows = TablesDB(first.client(key=first.key))
        rows.create("d", "D")
        rows.create_table("d", "t", "T", columns=[{"key": "n", "type": "integer"}])
        kept, late = rows.create_transaction().id, rows.create_transaction().id
        rows.create_row("d", "t", "r", {"n": 1}, transaction_id=kept)
    store = sqlite3.connect(next(tmp_path.glob("*.sqlite")))
    store.execute("UPDATE transactions SET expires_at = '2026-01-01T00:00:00.000+00:00' WHERE id = ?", (late,))
    store.commit()
    store.close()
    with running(tmp_path) as second:
        rows = TablesDB(second.client(key=second.key))
        rows.update_transaction(kept, commit=True)
        assert rows.get_row("d", "t", "r").data == {"n": 1}
        gone = (410, "transaction_expired")
        assert refusal(rows.update_transaction, late, commit=True) == gone
        assert refusal(rows.get_row, "d", "t", "r", transaction_id=late) == gone
        assert refusal(rows.delete_row, "d", "t", "r", transaction_id=late) == gone

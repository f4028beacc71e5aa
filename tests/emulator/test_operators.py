"""Operators through the official client: each changes the stored value as its name says, or is refused whole."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from appwrite.exception import AppwriteException
from appwrite.operator import Condition, Operator
from appwrite.services.tables_db import TablesDB

AT = ("stock", "item")


@pytest.fixture(scope="module")
def stock(admin: TablesDB) -> Iterator[TablesDB]:
    """A table with a column for every kind of operator."""
    admin.create("stock", "Stock")
    columns = [
        {"key": "n", "type": "integer", "min": -1000, "max": 1000},
        {"key": "share", "type": "float"},
        {"key": "name", "type": "varchar", "size": 20},
        {"key": "tags", "type": "varchar", "size": 9, "array": True},
        {"key": "sizes", "type": "integer", "array": True},
        {"key": "sold", "type": "boolean"},
        {"key": "at", "type": "datetime"},
    ]
    admin.create_table(*AT, "Item", columns=columns)
    yield admin
    admin.delete("stock")


BEFORE: dict[str, Any] = {
    "n": 7, "share": 2.5, "name": "red fox", "tags": ["a", "b", "a"], "sizes": [3, 1, 2], "sold": False,
    "at": "2026-02-27T12:00:00.000+00:00",
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "operator", "after"),
    [
        ("n", Operator.increment(), 8),
        ("n", Operator.increment(5, 10), 10),
        ("n", Operator.decrement(2), 5),
        ("n", Operator.decrement(20, 0), 0),
        ("n", Operator.multiply(3), 21),
        ("n", Operator.multiply(3, 20), 20),
        ("n", Operator.divide(2), 4),
        ("n", Operator.divide(7, 3), 3),
        ("n", Operator.modulo(4), 3),
        ("n", Operator.power(3), 343),
        ("n", Operator.power(3, 100), 100),
        ("share", Operator.increment(0.25), 2.75),
        ("share", Operator.divide(2), 1.25),
        ("share", Operator.power(2), 6.25),
        ("tags", Operator.array_append(["c"]), ["a", "b", "a", "c"]),
        ("tags", Operator.array_prepend(["c", "d"]), ["c", "d", "a", "b", "a"]),
        ("tags", Operator.array_insert(1, "x"), ["a", "x", "b", "a"]),
        ("tags", Operator.array_remove("a"), ["b"]),
        ("tags", Operator.array_unique(), ["a", "b"]),
        ("tags", Operator.array_intersect(["a", "z"]), ["a", "a"]),
        ("tags", Operator.array_diff(["a"]), ["b"]),
        ("sizes", Operator.array_filter(Condition.GREATER_THAN, 1), [3, 2]),
        ("tags", Operator.array_filter(Condition.NOT_EQUAL, "b"), ["a", "a"]),
        ("name", Operator.string_concat("!"), "red fox!"),
        ("name", Operator.string_replace("fox", "cat"), "red cat"),
        ("sold", Operator.toggle(), True),
        ("at", Operator.date_add_days(2), "2026-03-01T12:00:00.000+00:00"),
        ("at", Operator.date_sub_days(27), "2026-01-31T12:00:00.000+00:00"),
    ],
)
def test_an_operator_changes_the_stored_value(stock: TablesDB, column: str, operator: str, after: Any) -> None:
    row_id = stock.create_row(*AT, "unique()", BEFORE).id
    assert stock.update_row(*AT, row_id, {column: operator}).data == {**BEFORE, column: after}
    assert stock.get_row(*AT, row_id).data == {**BEFORE, column: after}


def test_the_time_can_be_set_to_now(stock: TablesDB) -> None:
    row_id = stock.create_row(*AT, "unique()", BEFORE).id
    written = stock.update_row(*AT, row_id, {"at": Operator.date_set_now()}).data["at"]
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(written)
    assert abs(age) < dt.timedelta(minutes=5)


def test_an_upsert_applies_operators_to_the_row_that_is_there_or_to_nothing(stock: TablesDB) -> None:
    change = {"n": Operator.increment(2), "tags": Operator.array_append(["z"]), "name": Operator.string_concat("x")}
    assert stock.upsert_row(*AT, "put", change).data["n"] == 2
    again = stock.upsert_row(*AT, "put", change).data
    assert (again["n"], again["tags"], again["name"]) == (4, ["z", "z"], "xx")


def test_many_rows_take_one_operator(stock: TablesDB) -> None:
    stock.create_rows(*AT, [{"$id": f"m{n}", "n": n, "name": "many"} for n in range(3)])
    query = '{"method":"equal","attribute":"name","values":["many"]}'
    changed = stock.update_rows(*AT, {"n": Operator.multiply(10)}, [query])
    assert [row.data["n"] for row in changed.rows] == [0, 10, 20]


@pytest.mark.parametrize(
    "change",
    [
        {"name": Operator.increment()},
        {"n": Operator.toggle()},
        {"n": Operator.array_append([1])},
        {"n": Operator.multiply(1000)},
        {"n": '{"method":"divide","values":[0]}'},
        {"n": '{"method":"power","values":[1e300]}'},
        {"n": '{"method":"increment","values":["1"]}'},
        {"n": '{"method":"multiply","values":[]}'},
        {"share": '{"method":"power","values":[99999999999]}'},
        {"name": Operator.string_concat("x" * 30)},
        {"name": '{"method":"stringConcat","values":[5]}'},
        {"tags": Operator.array_append(["longer than nine"])},
        {"tags": Operator.array_insert(9, "x")},
        {"sizes": '{"method":"arrayFilter","values":["greaterThan","x"]}'},
        {"sizes": '{"method":"arrayFilter","values":[["equal"],1]}'},
        {"at": Operator.date_add_days(10**15)},
        {"at": '{"method":"dateAddDays","values":["1"]}'},
        {"n": '{"method":"drop","values":[]}'},
    ],
)
def test_an_operator_that_does_not_fit_changes_nothing(stock: TablesDB, change: dict[str, str]) -> None:
    row_id = stock.create_row(*AT, "unique()", BEFORE).id
    with pytest.raises(AppwriteException) as refused:
        stock.update_row(*AT, row_id, {"sold": True, **change})
    assert (refused.value.code, refused.value.type) == (400, "row_invalid_structure")
    assert stock.get_row(*AT, row_id).data == BEFORE


def test_a_text_is_not_blown_up_beyond_what_can_be_sent(stock: TablesDB) -> None:
    stock.create_longtext_column(*AT, "body", False)
    row_id = stock.create_row(*AT, "unique()", {"body": "x" * 100_000}).id
    with pytest.raises(AppwriteException) as refused:
        stock.update_row(*AT, row_id, {"body": Operator.string_replace("x", "y" * 100_000)})
    assert refused.value.type == "row_invalid_structure"

"""Databases, tables, columns and indexes through the official client, one by one and inline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from appwrite.enums.tables_db_index_type import TablesDBIndexType
from appwrite.exception import AppwriteException
from appwrite.query import Query
from appwrite.services.tables_db import TablesDB

from .conftest import Running, running


@pytest.fixture
def shelf(admin: TablesDB) -> Iterator[TablesDB]:
    """An empty table `book` in a database `shelf`."""
    admin.create("shelf", "Shelf")
    admin.create_table("shelf", "book", "Book", row_security=True)
    yield admin
    admin.delete("shelf")


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    """Status and type of a refused call."""
    with pytest.raises(AppwriteException) as refused:
        call(*arguments, **named)
    return int(refused.value.code), str(refused.value.type)


def test_columns_made_one_by_one_hold_what_they_are_made_for(shelf: TablesDB) -> None:
    at = ("shelf", "book")
    shelf.create_varchar_column(*at, "title", 40, True)
    shelf.create_longtext_column(*at, "body", False)
    shelf.create_integer_column(*at, "pages", False, min=1, max=9000, default=100)
    shelf.create_float_column(*at, "price", False, min=0)
    shelf.create_boolean_column(*at, "lent", False, default=False)
    shelf.create_datetime_column(*at, "due", False)
    shelf.create_email_column(*at, "mail", False)
    shelf.create_url_column(*at, "link", False)
    shelf.create_ip_column(*at, "ip", False)
    shelf.create_enum_column(*at, "state", ["new", "old"], False, default="new")
    shelf.create_varchar_column(*at, "tags", 10, False, array=True)
    columns = shelf.list_columns(*at).columns
    assert [column.status.value for column in columns] == ["available"] * 11
    row = shelf.create_row(*at, "b1", {"title": "Bible", "body": "x" * 100_000, "tags": ["old"], "ip": "::1"})
    assert (row.data["pages"], row.data["lent"], row.data["state"]) == (100, False, "new")
    assert len(shelf.get_row(*at, "b1").data["body"]) == 100_000


def test_a_column_added_later_is_empty_in_older_rows(shelf: TablesDB) -> None:
    shelf.create_integer_column("shelf", "book", "a", False)
    shelf.create_row("shelf", "book", "b1", {"a": 1})
    shelf.create_varchar_column("shelf", "book", "b", 9, False, default="new")
    assert shelf.get_row("shelf", "book", "b1").data == {"a": 1, "b": None}
    assert shelf.create_row("shelf", "book", "b2", {"a": 2}).data == {"a": 2, "b": "new"}


def test_a_column_can_be_renamed_widened_and_deleted_with_its_index(shelf: TablesDB) -> None:
    at = ("shelf", "book")
    shelf.create_varchar_column(*at, "name", 5, False)
    shelf.create_index(*at, "by_name", TablesDBIndexType.KEY, ["name"])
    shelf.create_row(*at, "b1", {"name": "abcde"})
    shelf.update_varchar_column(*at, "name", False, None, size=9, new_key="title")
    shelf.update_row(*at, "b1", {"title": "abcdefghi"})
    assert shelf.get_row(*at, "b1").data == {"title": "abcdefghi"}
    assert shelf.get_index(*at, "by_name").columns == ["title"]
    shelf.delete_column(*at, "title")
    assert shelf.get_row(*at, "b1").data == {}
    assert shelf.list_indexes(*at).total == 0


def test_lists_are_searched_filtered_and_paged_as_rows_are(server: Running, shelf: TablesDB) -> None:
    for n in range(30):
        shelf.create_integer_column("shelf", "book", f"n{n:02d}", False)
    shelf.create_boolean_column("shelf", "book", "lent", False)
    shelf.create_table("shelf", "cd", "Compact disc", enabled=False)

    def columns(*queries: str, **named: Any) -> tuple[int, list[str]]:
        listed = shelf.list_columns("shelf", "book", list(queries), **named)
        return int(listed.total), [column.key for column in listed.columns]

    assert columns() == (31, [f"n{n:02d}" for n in range(25)])
    assert columns(Query.limit(2), Query.offset(29)) == (31, ["n29", "lent"])
    assert columns(Query.limit(1), Query.cursor_after("n03")) == (31, ["n04"])
    assert columns(Query.equal("type", "boolean")) == (1, ["lent"])
    assert columns(Query.starts_with("key", "n2"), Query.order_desc("key"), Query.limit(1)) == (10, ["n29"])
    assert columns(Query.limit(1), total=False) == (0, ["n00"])
    assert [table.id for table in shelf.list_tables("shelf", search="compact").tables] == ["cd"]
    assert [table.id for table in shelf.list_tables("shelf", [Query.equal("enabled", True)]).tables] == ["book"]
    assert [table.id for table in shelf.list_tables("shelf", [Query.order_desc("$createdAt")]).tables] == ["cd", "book"]
    assert refusal(shelf.list_tables, "shelf", [Query.equal("nosuch", 1)]) == (400, "general_query_invalid")
    assert refusal(shelf.list_tables, "shelf", [Query.cursor_after("nosuch")]) == (400, "general_cursor_not_found")


def test_a_unique_index_over_equal_rows_is_refused(shelf: TablesDB) -> None:
    at = ("shelf", "book")
    shelf.create_integer_column(*at, "n", False)
    shelf.create_rows(*at, [{"$id": "b1", "n": 1}, {"$id": "b2", "n": 1}])
    assert refusal(shelf.create_index, *at, "u", TablesDBIndexType.UNIQUE, ["n"])[0] == 400
    assert shelf.list_indexes(*at).total == 0
    shelf.update_row(*at, "b2", {"n": 2})
    shelf.create_index(*at, "u", TablesDBIndexType.UNIQUE, ["n"])
    assert refusal(shelf.update_row, *at, "b2", {"n": 1})[0] == 409


@pytest.mark.parametrize(
    ("key", "fields", "type_"),
    [
        ("$id", {"size": 9}, "general_argument_invalid"),
        ("a b", {"size": 9}, "general_argument_invalid"),
        ("x" * 37, {"size": 9}, "general_argument_invalid"),
        ("t", {"size": 0}, "general_argument_invalid"),
        ("t", {"size": "9"}, "general_argument_invalid"),
        ("t", {"size": 9, "required": True, "default": "x"}, "column_default_unsupported"),
        ("t", {"size": 9, "default": "longer than nine"}, "column_value_invalid"),
        ("TAKEN", {"size": 9}, "column_already_exists"),
    ],
)
def test_a_column_that_makes_no_sense_is_refused(
    server: Running, shelf: TablesDB, key: str, fields: dict[str, Any], type_: str
) -> None:
    shelf.create_integer_column("shelf", "book", "taken", False)
    body = {"key": key, "required": False, **fields}
    answer = server.send("POST", "/tablesdb/shelf/tables/book/columns/string", body, x_appwrite_key=server.key)
    assert answer.json()["type"] == type_
    assert shelf.list_columns("shelf", "book").total == 1


def test_a_row_too_wide_for_a_real_server_is_refused_here_too(shelf: TablesDB) -> None:
    at = ("shelf", "book")
    shelf.create_varchar_column(*at, "a", 10_000, False)
    answer = refusal(shelf.create_varchar_column, *at, "b", 10_000, False)
    assert answer == (400, "column_limit_exceeded")
    shelf.create_text_column(*at, "b", False)
    table = shelf.get_table(*at)
    assert table.bytesused == 1067 + 40_002 + 20
    assert table.bytesmax == 65_535


def test_a_column_is_widened_and_narrowed_as_far_as_the_row_and_its_values_allow(shelf: TablesDB) -> None:
    at = ("shelf", "book")
    shelf.create_varchar_column(*at, "wide", 12_000, False)
    shelf.create_varchar_column(*at, "name", 10, False)
    shelf.create_varchar_column(*at, "tags", 10, False, array=True)
    shelf.create_row(*at, "b1", {"name": "abcde", "tags": ["x", "abcdef"]})
    assert refusal(shelf.update_varchar_column, *at, "name", False, None, size=5_000) == (400, "column_limit_exceeded")
    assert refusal(shelf.update_varchar_column, *at, "name", False, None, size=4) == (400, "column_invalid_resize")
    assert refusal(shelf.update_varchar_column, *at, "tags", False, None, size=5) == (400, "column_invalid_resize")
    shelf.update_varchar_column(*at, "name", False, None, size=5)
    shelf.update_varchar_column(*at, "tags", False, None, size=6)
    shelf.update_varchar_column(*at, "wide", False, None, new_key="Wide")
    assert [column.key for column in shelf.list_columns(*at).columns] == ["Wide", "name", "tags"]
    assert refusal(shelf.update_varchar_column, *at, "name", False, None, new_key="wide")[0] == 409
    assert shelf.get_row(*at, "b1").data == {"Wide": None, "name": "abcde", "tags": ["x", "abcdef"]}


def test_columns_of_every_other_kind_keep_what_they_are_given(shelf: TablesDB) -> None:
    at = ("shelf", "book")
    shelf.create_text_column(*at, "text", False)
    shelf.create_mediumtext_column(*at, "medium", False)
    shelf.create_big_int_column(*at, "big", False)
    shelf.create_point_column(*at, "point", False, default=[1, 2])
    shelf.create_line_column(*at, "line", False)
    shelf.create_polygon_column(*at, "polygon", False)
    types = {column.key: column.type for column in shelf.list_columns(*at).columns}
    assert types == {
        "text": "text", "medium": "mediumtext", "big": "bigint",
        "point": "point", "line": "linestring", "polygon": "polygon",
    }  # fmt: skip
    data = {"text": "t", "medium": "m" * 70_000, "big": 2**62, "line": [[0, 0], [1, 1.5]]}
    shapes = {"polygon": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    shelf.create_row(*at, "b1", {**data, **shapes})
    assert shelf.get_row(*at, "b1").data == {**data, **shapes, "point": [1, 2]}
    assert refusal(shelf.update_row, *at, "b1", {"line": [[0, 0], [1]]}) == (400, "row_invalid_structure")
    assert refusal(shelf.update_row, *at, "b1", {"point": [10**400, 0]}) == (400, "row_invalid_structure")


def test_a_relationship_is_refused_by_name(server: Running, shelf: TablesDB) -> None:
    body = {"relatedTableId": "book", "type": "oneToOne", "key": "twin"}
    one = server.send("POST", "/tablesdb/shelf/tables/book/columns/relationship", body, x_appwrite_key=server.key)
    inline = {"tableId": "cd", "name": "CD", "columns": [{**body, "type": "relationship"}]}
    other = server.send("POST", "/tablesdb/shelf/tables", inline, x_appwrite_key=server.key)
    for answer in (one, other):
        assert (answer.status_code, answer.json()["type"]) == (501, "general_not_implemented")
        assert "relationship" in answer.json()["message"].lower()


def test_a_table_with_bad_columns_inline_is_not_made_at_all(shelf: TablesDB) -> None:
    columns = [{"key": "a", "type": "integer"}, {"key": "a", "type": "integer"}]
    assert refusal(shelf.create_table, "shelf", "half", "Half", columns=columns)[0] == 409
    assert refusal(shelf.get_table, "shelf", "half") == (404, "table_not_found")


def test_a_disabled_table_is_served_to_keys_alone(server: Running, shelf: TablesDB) -> None:
    shelf.create_integer_column("shelf", "book", "n", False)
    shelf.update_table("shelf", "book", "Book", permissions=['read("any")'], enabled=False)
    assert shelf.list_rows("shelf", "book").total == 0
    assert refusal(TablesDB(server.client()).list_rows, "shelf", "book") == (404, "table_not_found")


def test_deleting_a_database_deletes_its_rows(admin: TablesDB) -> None:
    for _ in range(2):
        admin.create("brief", "Brief")
        admin.create_table("brief", "t", "T", columns=[{"key": "n", "type": "integer"}])
        assert admin.list_rows("brief", "t").total == 0
        admin.create_row("brief", "t", "r", {"n": 1})
        admin.delete("brief")
    assert refusal(admin.get, "brief") == (404, "database_not_found")


def test_schemas_outlive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        tables = TablesDB(first.client(key=first.key))
        tables.create("d", "D")
        tables.create_table(
            "d", "t", "T", permissions=['read("any")'], row_security=True,
            columns=[{"key": "s", "type": "enum", "elements": ["a", "b"], "default": "a"}],
            indexes=[{"key": "i", "type": "unique", "attributes": ["s"], "orders": ["DESC"]}],
        )  # fmt: skip
        before = tables.get_table("d", "t").to_dict()
    with running(tmp_path) as second:
        assert TablesDB(second.client(key=second.key)).get_table("d", "t").to_dict() == before

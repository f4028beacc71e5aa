"""appwrite.json keeps to what both generations of the Appwrite CLI read: 12, and 25 or newer with its strict schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.schema import PATH

FILE: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
COLUMNS = [column for table in FILE["tables"] for column in table["columns"]]
INDEXES = [index for table in FILE["tables"] for index in table["indexes"]]

# What the strict schema takes and version 12 understands; another key makes the newer one refuse the whole file.
KEYS: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "file": ([FILE], {"projectId", "projectName", "functions", "tablesDB", "tables", "buckets"}),
    "function": (
        FILE["functions"],
        {
            *("path", "$id", "execute", "name", "enabled", "logging", "runtime", "scopes", "events", "schedule"),
            *("timeout", "entrypoint", "commands", "ignore"),
        },
    ),
    "database": (FILE["tablesDB"], {"$id", "name", "enabled"}),
    "table": (
        FILE["tables"],
        {"$id", "$permissions", "databaseId", "name", "enabled", "rowSecurity", "columns", "indexes"},
    ),
    "column": (
        COLUMNS,
        {"key", "type", "required", "array", "size", "default", "min", "max", "format", "elements", "encrypt"},
    ),
    "index": (INDEXES, {"key", "type", "columns", "orders"}),
    "bucket": (
        FILE["buckets"],
        {
            *("$id", "$permissions", "fileSecurity", "name", "enabled", "maximumFileSize", "allowedFileExtensions"),
            *("compression", "encryption", "antivirus"),
        },
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_no_key_is_there_that_one_generation_refuses(kind: str) -> None:
    entries, known = KEYS[kind]

    assert entries
    assert {key for entry in entries for key in entry} <= known


def test_ignore_is_one_text_of_lines() -> None:
    (function,) = FILE["functions"]

    assert isinstance(function["ignore"], str)
    assert len(function["ignore"].splitlines()) > 3


def test_columns_are_of_kinds_that_both_know() -> None:
    assert {column["type"] for column in COLUMNS} <= {"string", "integer", "double", "boolean", "datetime"}
    assert {column.get("format", "") for column in COLUMNS} <= {"", "enum", "email", "url", "ip"}


def test_a_required_column_has_no_default() -> None:
    assert [column["key"] for column in COLUMNS if column["required"] and column["default"] is not None] == []


def test_bounds_are_whole_numbers_of_64_bits() -> None:
    """The strict schema reads them so, of doubles too; and what is not said comes back changed from the server."""
    numbers = [column for column in COLUMNS if column["type"] in ("integer", "double")]
    bounds = [column[name] for column in numbers for name in ("min", "max")]

    assert all(isinstance(bound, int) and abs(bound) < 2**63 for bound in bounds)


def test_texts_say_that_they_are_not_encrypted() -> None:
    """A server says it of each; where the file does not, version 12 takes the column for another one and deletes it."""
    texts = [column for column in COLUMNS if column["type"] == "string" and "format" not in column]

    assert texts
    assert all(column["encrypt"] is False for column in texts)

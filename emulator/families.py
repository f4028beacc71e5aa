"""The two names of one product: `/tablesdb` speaks of tables and rows, `/databases` of collections and documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from emulator.errors import AppwriteError

Kind = Literal["table", "row", "column", "index"]


@dataclass(frozen=True)
class Family:
    """The words of one path family. `path` is its first segment, `type` what a database created there becomes."""

    path: str
    type: str
    table: str
    row: str
    column: str
    index_error: str

    @property
    def security(self) -> str:
        """The field that says whether rows have permissions of their own."""
        return f"{self.row}Security"

    def scopes(self, kind: Literal["table", "row", "column"], verb: str) -> tuple[str, str]:
        """The two scopes either of which suffices."""
        return {
            "table": (f"tables.{verb}", f"collections.{verb}"),
            "row": (f"rows.{verb}", f"documents.{verb}"),
            "column": (f"columns.{verb}", f"attributes.{verb}"),
        }[kind]

    def error_type(self, kind: Kind, suffix: str) -> str:
        """Appwrite's error type, such as `row_not_found` or `attribute_already_exists`."""
        words = {"table": self.table, "row": self.row, "column": self.column, "index": self.index_error}
        return f"{words[kind]}_{suffix}"

    def not_found(self, kind: Kind, name: str) -> AppwriteError:
        """The 404 of a table, row, column or index."""
        word = kind if kind == "index" else {"table": self.table, "row": self.row, "column": self.column}[kind]
        by = "ID" if kind in ("table", "row") else "key"
        return AppwriteError(
            self.error_type(kind, "not_found"), f"{word.capitalize()} with the requested {by} '{name}' was not found."
        )

    def already_exists(self, kind: Kind, name: str) -> AppwriteError:
        """The 409 of a second table, row, column or index of one name."""
        word = kind if kind == "index" else {"table": self.table, "row": self.row, "column": self.column}[kind]
        return AppwriteError(
            self.error_type(kind, "already_exists"), f"{word.capitalize()} '{name}' already exists. Choose another one."
        )

    def invalid_row(self, reason: str) -> AppwriteError:
        """The 400 of data that does not fit the columns."""
        return AppwriteError(self.error_type("row", "invalid_structure"), f"Invalid document structure: {reason}")


TABLES = Family("tablesdb", "tablesdb", "table", "row", "column", "column_index")
LEGACY = Family("databases", "legacy", "collection", "document", "attribute", "index")


def family_of(request: Request) -> Family:
    """The family a request's path belongs to."""
    return LEGACY if request.scope["path"].startswith("/v1/databases") else TABLES


def both(path: str) -> tuple[str, str]:
    """A `/tablesdb` path and its twin below `/databases`; names in braces stay."""
    twin = path.replace("/tablesdb", "/databases").replace("/tables", "/collections")
    return path, twin.replace("/rows", "/documents").replace("/columns", "/attributes")

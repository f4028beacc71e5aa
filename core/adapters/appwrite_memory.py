"""What the deployment has learnt of errors in written programs, as rows of their own that no client may read."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from appwrite.query import Query

from core.adapters.appwrite_client import JSON_HEADERS, AppwriteClient, iso
from core.engine_ports import Lesson
from core.errors import ConflictError, NotFoundError
from core.identity import digest
from core.schema import MEMORY, database_id


class AppwriteMemory:
    """Implements engine_ports.Memory on TablesDB: a row per pattern of errors, its id the pattern's hash."""

    def __init__(self, client: AppwriteClient) -> None:
        self._client = client
        self._path = f"/tablesdb/{database_id()}/tables/{MEMORY}/rows"

    def recall(self, error: str) -> Lesson | None:
        """See engine_ports.Memory."""
        row = self._row(_hash(error))
        return _lesson(row) if row else None

    def most_used(self, count: int) -> Sequence[Lesson]:
        """See engine_ports.Memory."""
        queries = [Query.order_desc("uses"), Query.limit(count)]
        answer: dict[str, Any] = self._client.ask("get", self._path, MEMORY, {"queries": queries})
        return [_lesson(row) for row in answer["rows"]]

    def learn(self, lesson: Lesson) -> None:
        """See engine_ports.Memory. Of two who learn the same at once, one counts."""
        row_id = _hash(lesson.error)
        data = {
            "hash": row_id,
            "error": lesson.error,
            "original": lesson.original,
            "fix": lesson.fix,
            "uses": lesson.uses,
            "last_used": iso(datetime.now(UTC)),
            "writer": secrets.token_hex(8),
        }
        known = self._row(row_id)
        with contextlib.suppress(ConflictError):
            if known is None:
                body = {"rowId": row_id, "data": data, "permissions": []}
                self._client.ask("post", self._path, MEMORY, body)
            else:
                headers = {**JSON_HEADERS, "x-appwrite-timestamp": known["$updatedAt"]}
                body = {"data": data | {"uses": int(known["uses"] or 0) + 1}}
                self._client.ask("patch", f"{self._path}/{row_id}", MEMORY, body, headers)

    def _row(self, row_id: str) -> dict[str, Any] | None:
        with contextlib.suppress(NotFoundError):
            row: dict[str, Any] = self._client.ask("get", f"{self._path}/{row_id}", MEMORY)
            return row
        return None


def _hash(error: str) -> str:
    return digest("lesson", error)[:36]


def _lesson(row: dict[str, Any]) -> Lesson:
    return Lesson(row["error"] or "", row["original"] or "", row["fix"] or "", int(row["uses"] or 0))

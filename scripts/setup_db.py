"""Make the schema of appwrite.json real on any endpoint: again and again, adding what is missing, dropping nothing.

Run: APPWRITE_ENDPOINT=... APPWRITE_PROJECT_ID=... APPWRITE_API_KEY=... python scripts/setup_db.py [--with-variables]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appwrite.exception import AppwriteException

from core.adapters.appwrite_client import AppwriteClient
from core.schema import schema
from core.settings import Settings

_JSON = {"content-type": "application/json", "accept": "application/json"}
_POLL_SECONDS, _POLLS = 0.5, 120  # real servers make columns in the background
_OWN_VARIABLES = frozenset(
    {"APPWRITE_ENDPOINT", "APPWRITE_PROJECT_ID", "APPWRITE_API_KEY"}
)  # the function is given these
_COLUMN_ROUTES = {"double": "float"}  # the route's name where it is not the type's
_COLUMN_FIELDS = ("key", "size", "required", "default", "array", "elements", "min", "max")


@dataclass
class SetUp:
    """One run over one project; `made` tells what was missing."""

    client: AppwriteClient
    sleep: Callable[[float], None] = time.sleep
    made: list[str] = field(default_factory=list)

    def run(self, variables: dict[str, str] | None = None) -> list[str]:
        """Create what is missing; returns the names of what was created or brought up to date."""
        for database in schema()["tablesDB"]:
            self._ensure(
                f"/tablesdb/{database['$id']}",
                "/tablesdb",
                {"databaseId": database["$id"], "name": database["name"], "enabled": True},
                f"database {database['$id']}",
            )
        for table in schema()["tables"]:
            self._table(table)
        for bucket in schema()["buckets"]:
            body = {k: v for k, v in bucket.items() if not k.startswith("$")}
            body |= {"bucketId": bucket["$id"], "permissions": bucket["$permissions"]}
            self._ensure(f"/storage/buckets/{bucket['$id']}", "/storage/buckets", body, f"bucket {bucket['$id']}")
        for function in schema()["functions"]:
            self._function(function, variables or {})
        return self.made

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.call("get", path)
        except AppwriteException as error:
            if error.code == 404:
                return None
            raise
        return found

    def _post(self, path: str, body: dict[str, Any], what: str) -> None:
        try:
            self.client.call("post", path, dict(_JSON), body)
        except AppwriteException as error:
            if error.code != 409:  # somebody made it at the same moment
                raise
        self.made.append(what)

    def _ensure(self, path: str, parent: str, body: dict[str, Any], what: str) -> None:
        if self._get(path) is None:
            self._post(parent, body, what)

    def _table(self, table: dict[str, Any]) -> None:
        parent = f"/tablesdb/{table['databaseId']}/tables"
        path = f"{parent}/{table['$id']}"
        body = {
            "tableId": table["$id"],
            "name": table["name"],
            "permissions": table["$permissions"],
            "rowSecurity": table["rowSecurity"],
        }
        self._ensure(path, parent, body, f"table {table['$id']}")
        there = {c["key"] for c in (self._get(path) or {})["columns"]}
        for column in table["columns"]:
            if column["key"] not in there:
                kind = column.get("format") or column["type"]
                sent = {k: column[k] for k in _COLUMN_FIELDS if column.get(k) is not None}
                route = f"{path}/columns/{_COLUMN_ROUTES.get(kind, kind)}"
                self._post(route, sent, f"column {table['$id']}.{column['key']}")
        self._wait(path, "columns")
        there = {i["key"] for i in (self._get(path) or {})["indexes"]}
        for index in table["indexes"]:
            if index["key"] not in there:
                self._post(f"{path}/indexes", dict(index), f"index {table['$id']}.{index['key']}")
        self._wait(path, "indexes")

    def _wait(self, path: str, kind: str) -> None:
        """Wait until all columns or indexes can be used."""
        for _ in range(_POLLS):
            items = (self._get(path) or {})[kind]
            broken = [i["key"] for i in items if i["status"] in ("failed", "stuck")]
            if broken:
                raise SystemExit(f"Appwrite could not make {kind} {', '.join(broken)} of {path}.")
            if all(i["status"] == "available" for i in items):
                return
            self.sleep(_POLL_SECONDS)
        raise SystemExit(f"The {kind} of {path} are still not available; run this again later.")

    def _function(self, function: dict[str, Any], variables: dict[str, str]) -> None:
        path = f"/functions/{function['$id']}"
        names = (
            "name",
            "execute",
            "events",
            "schedule",
            "timeout",
            "enabled",
            "logging",
            "entrypoint",
            "commands",
            "scopes",
        )
        body = {k: function[k] for k in names}
        there = self._get(path)
        if there is None:
            create = {"functionId": function["$id"], "runtime": function["runtime"], **body}
            self._post("/functions", create, f"function {function['$id']}")
        elif any(there.get(k) != v for k, v in body.items()):
            self.client.call("put", path, dict(_JSON), body)
            self.made.append(f"function {function['$id']} brought up to date")
        self._variables(path, variables)

    def _variables(self, path: str, wanted: dict[str, str]) -> None:
        secret = {f.metadata["env"] for f in fields(Settings) if f.metadata["secret"]}
        there = {v["key"]: v for v in (self._get(f"{path}/variables") or {"variables": []})["variables"]}
        for key, value in sorted(wanted.items()):
            body: dict[str, Any] = {"key": key, "value": value, "secret": key in secret}
            if key not in there:
                body["variableId"] = key.lower().replace("_", "-")[:36]
                self._post(f"{path}/variables", body, f"variable {key}")
            elif there[key]["value"] != value:
                # the value of a secret cannot be read back: it is written again
                self.client.call("put", f"{path}/variables/{there[key]['$id']}", dict(_JSON), body)
                if key not in secret:
                    self.made.append(f"variable {key} brought up to date")


def function_variables(env: dict[str, str]) -> dict[str, str]:
    """The settings in the environment that the function needs as its variables."""
    known = {f.metadata["env"] for f in fields(Settings)} - _OWN_VARIABLES
    return {name: env[name] for name in sorted(known) if env.get(name)}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--with-variables", action="store_true", help="also set the function's variables from the environment"
    )
    arguments = parser.parse_args()
    settings = Settings.from_env()
    if not settings.endpoint or not settings.api_key:
        print("Set APPWRITE_ENDPOINT, APPWRITE_PROJECT_ID and APPWRITE_API_KEY first.", file=sys.stderr)
        return 2
    client = AppwriteClient(settings.endpoint, settings.project_id, settings.api_key, seconds=settings.request_seconds)
    variables = function_variables(dict(os.environ)) if arguments.with_variables else None
    try:
        made = SetUp(client).run(variables)
    except AppwriteException as error:
        print(f"Appwrite refused ({error.code} {error.type}): {error.message}", file=sys.stderr)
        return 1
    print("\n".join(f"made {what}" for what in made) or "Everything is there; nothing was changed.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

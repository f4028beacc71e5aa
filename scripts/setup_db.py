"""Make the schema of appwrite.json real on any endpoint: again and again, adding what is missing, dropping nothing.

Run: APPWRITE_ENDPOINT=... APPWRITE_PROJECT_ID=... APPWRITE_API_KEY=... python scripts/setup_db.py [--check | --dry-run]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appwrite.exception import AppwriteException

from core.adapters.appwrite_client import AppwriteClient
from core.errors import InvalidInputError, ScenewrightError, UnavailableError
from core.schema import schema
from core.settings import Settings
from scripts.schema_plan import Body, Change, Plan, paths, plan, plan_variables, smaller_bucket, table_path

_JSON = {"content-type": "application/json", "accept": "application/json"}
_POLL_SECONDS, _POLLS = 0.5, 240  # real servers make columns in the background
_KNOWN = frozenset(f.metadata["env"] for f in fields(Settings))
_SECRET = frozenset(f.metadata["env"] for f in fields(Settings) if f.metadata["secret"])
_OWN = frozenset({"APPWRITE_ENDPOINT", "APPWRITE_PROJECT_ID", "APPWRITE_API_KEY"})  # the function is given these


@dataclass
class SetUp:
    """One run over one project. `sleep` waits between two looks at what a server makes in the background."""

    client: AppwriteClient
    sleep: Callable[[float], None] = time.sleep
    schema: Body = field(default_factory=schema)

    def plan(self, variables: dict[str, str] | None = None) -> Plan:
        """What is missing and what differs, found by reading alone; `variables`: the function's, None: leave them.

        Raises:
            AppwriteException: the server refused, or did not answer (code 0).
            InvalidInputError: the columns do not fit the server's rows, or no Appwrite answers there.
        """
        found = {path: self._get(path) for path in paths(self.schema)}
        made = plan(self.schema, found)
        if variables is not None:
            for function in self.schema["functions"]:
                there = found[f"/functions/{function['$id']}"]
                made.changes += plan_variables(function["$id"], variables, _KNOWN - _OWN, _SECRET, there)
        return made

    def run(self, variables: dict[str, str] | None = None) -> list[str]:
        """Add what is missing; returns a line for everything that was changed."""
        return self.apply(self.plan(variables))

    def apply(self, made: Plan) -> list[str]:
        """Do what a plan says; returns a line for everything that was changed.

        Raises:
            AppwriteException: the server refused.
            UnavailableError: columns or indexes are still not ready; what was made so far stays.
        """
        told: list[str] = []
        settled: set[str] = set()  # tables whose columns can be indexed
        for change in made.changes:
            if change.path.endswith("/indexes") and change.table not in settled:
                self._wait(change.table)
                settled.add(change.table)
            if self._send(change, made) and change.verb != "renewed":
                told.append(f"{change.verb} {change.what}")
        for table in self.schema["tables"]:
            self._wait(table_path(table))
        return told

    def _get(self, path: str) -> Body | None:
        try:
            found = self.client.call("get", path)
        except AppwriteException as error:
            if error.code == 404 and str(error.type).endswith("_not_found") and error.type not in _NOT_HERE:
                return None
            raise
        if not isinstance(found, dict):
            raise InvalidInputError(_no_appwrite(self.client.endpoint), code="no_appwrite", field="APPWRITE_ENDPOINT")
        return found

    def _send(self, change: Change, made: Plan) -> bool:
        """Send it, whether it changed anything; where sizes are to be tried, until the server takes one."""
        asked = change.sizes[0] if change.sizes else 0
        for size in change.sizes or (0,):
            body = change.body | ({"maximumFileSize": size} if size else {})
            try:
                self.client.call(change.method, change.path, dict(_JSON), body)
            except AppwriteException as error:
                if error.code == 409 and change.method == "post":  # somebody made it at the same moment
                    return True
                if error.code == 400 and size and (size != change.sizes[-1] or change.verb == "enlarged"):
                    continue
                raise
            if change.verb == "enlarged":
                made.notes = [note for note in made.notes if not note.startswith(f"{change.what} ")]
            if size < asked:
                made.notes.append(smaller_bucket(change.what.split()[-1], size, asked))
            return True
        return False

    def _wait(self, path: str) -> None:
        """Wait until all columns and indexes of a table can be used."""
        for _ in range(_POLLS):
            table = self._get(path) or {"columns": [], "indexes": []}
            items = [*table["columns"], *table["indexes"]]
            broken = [i["key"] for i in items if i["status"] in ("failed", "stuck")]
            if broken:
                raise UnavailableError(
                    f"Appwrite could not make {', '.join(broken)} of {path}: delete them in the Console, "
                    "then run this again.",
                    code="schema_failed",
                )
            if all(i["status"] == "available" for i in items):
                return
            self.sleep(_POLL_SECONDS)
        raise UnavailableError(f"Columns or indexes of {path} are still not available; run this again later.")

    def __str__(self) -> str:
        """What the schema holds, in words."""
        tables = self.schema["tables"]
        columns, indexes = (sum(len(t[kind]) for t in tables) for kind in ("columns", "indexes"))
        return (
            f"{len(tables)} tables with {columns} columns and {indexes} indexes, "
            f"{len(self.schema['buckets'])} buckets and the function"
        )


def function_variables(env: dict[str, str]) -> dict[str, str]:
    """The settings in the environment that the function needs as its variables."""
    return {name: env[name] for name in sorted(_KNOWN - _OWN) if env.get(name)}


# ---- what a person reads

_NOT_HERE = ("project_not_found", "general_route_not_found")


def _no_appwrite(endpoint: str) -> str:
    return (
        f"No Appwrite (1.8 or newer) answers at {endpoint}: APPWRITE_ENDPOINT must be its API's address, ending in /v1."
    )


def explain(error: AppwriteException, settings: Settings) -> str:
    """One sentence on why the server refused, and what to do; shows no key."""
    said = str(error.message)
    if error.code == 0:
        return f"Nothing answers at {settings.endpoint} ({said}): check APPWRITE_ENDPOINT and the network."
    if error.type == "project_not_found":
        return f"There is no project {settings.project_id!r} at {settings.endpoint}: check APPWRITE_PROJECT_ID."
    if error.type == "general_unauthorized_scope" and "role: guests" not in said:
        scopes = ", ".join(re.findall(r'"([a-z.]+)"', said)) or said
        return f"The key in APPWRITE_API_KEY lacks a scope: it needs one of {scopes}."
    if error.code in (401, 403):
        return f"The project {settings.project_id!r} does not take the key in APPWRITE_API_KEY ({error.type})."
    if error.code == 404 and error.type in (None, "general_route_not_found"):
        return _no_appwrite(settings.endpoint)
    return f"Appwrite refused ({error.code} {error.type}): {said}"


def report(made: Plan, verb: str) -> list[str]:
    """The lines of a plan that is not carried out; values of variables are not among them."""
    lines = [f"{verb} {c.what}" if c.verb == "made" else f"to be {c.verb}: {c.what}" for c in made.missing]
    return lines + [f"differs: {line}" for line in made.differences] + [f"note: {line}" for line in made.notes]


def act(set_up: SetUp, arguments: argparse.Namespace, variables: dict[str, str] | None) -> int:
    """Check, rehearse or do it; the exit status."""
    made = set_up.plan(variables)
    nothing = f"Nothing to do: {set_up} are there as appwrite.json says."
    if arguments.check or arguments.dry_run:
        lines = report(made, "missing:" if arguments.check else "to be made:")
        complete = not made.missing and not made.differences
        print("\n".join([*lines, *([nothing] if complete else [])]))
        return 0 if complete or arguments.dry_run else 1
    told = set_up.apply(made)
    told += [f"differs, and was left as it is: {line}" for line in made.differences]
    told = told or [nothing]
    renewed = sum(change.verb == "renewed" for change in made.changes)
    if renewed:
        told.append(f"Secrets cannot be read back: {renewed} were written again.")
    print("\n".join(told + [f"note: {line}" for line in made.notes]))
    return 0


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="change nothing; print what is missing or differs, exit 1")
    how.add_argument("--dry-run", action="store_true", help="change nothing; print what would be done")
    parser.add_argument(
        "--with-variables",
        action="store_true",
        help="also the function's variables, from the environment; those that are empty there are removed",
    )
    return parser.parse_args(words)


def main(words: list[str] | None = None, env: dict[str, str] | None = None) -> int:
    """Command line: 0 done or complete, 1 incomplete (--check), 2 it could not be done."""
    arguments = parse(words)
    values: Any = os.environ if env is None else env
    try:
        settings = Settings.from_env(values)
        if not settings.endpoint or not settings.api_key:
            raise InvalidInputError("Set APPWRITE_ENDPOINT, APPWRITE_PROJECT_ID and APPWRITE_API_KEY first.")
        at = (settings.endpoint, settings.project_id, settings.api_key)
        set_up = SetUp(AppwriteClient(*at, seconds=settings.request_seconds))
        return act(set_up, arguments, function_variables(dict(values)) if arguments.with_variables else None)
    except AppwriteException as error:
        print(explain(error, settings), file=sys.stderr)
    except ScenewrightError as error:
        print(error.sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())

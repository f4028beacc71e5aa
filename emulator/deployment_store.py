"""Deployments as records: what was uploaded for a function, how its build went, and which one is active."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from emulator import clock
from emulator.database import Database
from emulator.errors import AppwriteError
from emulator.listing import View
from emulator.programs import Deployment

TABLES = """
CREATE TABLE IF NOT EXISTS deployments (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, function_id TEXT NOT NULL, type TEXT NOT NULL,
    entrypoint TEXT NOT NULL, commands TEXT NOT NULL,
    activate INTEGER NOT NULL, -- becomes the active one when it is built
    active INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'waiting', source_size INTEGER NOT NULL, build_size INTEGER NOT NULL DEFAULT 0,
    build_logs TEXT NOT NULL DEFAULT '', build_duration INTEGER NOT NULL DEFAULT 0,
    chunks_total INTEGER NOT NULL, complete INTEGER NOT NULL DEFAULT 0,
    blob TEXT NOT NULL, -- the archive
    folder TEXT NOT NULL DEFAULT '', environment TEXT NOT NULL DEFAULT '', -- what the build made of it
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, UNIQUE (function_id, id)
);
CREATE UNIQUE INDEX IF NOT EXISTS deployments_active ON deployments (function_id) WHERE active;
CREATE TABLE IF NOT EXISTS deployment_chunks (
    deployment_sequence INTEGER NOT NULL, number INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (deployment_sequence, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS environments (key TEXT PRIMARY KEY, folder TEXT NOT NULL) WITHOUT ROWID;
"""

VIEW = View(
    "deployments",
    {
        "buildSize": ("build_size", "integer"), "sourceSize": ("source_size", "integer"),
        "totalSize": ("source_size + build_size", "integer"), "buildDuration": ("build_duration", "integer"),
        "status": ("status", "string"), "activate": ("activate", "boolean"), "type": ("type", "string"),
    },
    search=("id", "entrypoint"),
)  # fmt: skip
_PROVIDER = ("RepositoryName", "RepositoryOwner", "RepositoryUrl", "CommitHash", "CommitAuthorUrl", "CommitAuthor",
             "CommitMessage", "CommitUrl", "Branch", "BranchUrl")  # fmt: skip


def archives(data: Path) -> Path:
    """The folder of uploaded archives."""
    return data / "deployments"


def folders(data: Path) -> Path:
    """The folder that holds a folder of unpacked code per built deployment."""
    return data / "builds"


def environments(data: Path) -> Path:
    """The folder that holds the virtual environments."""
    return data / "environments"


def seek(db: Database, function_id: str, deployment_id: str) -> sqlite3.Row | None:
    """The deployment's row, or None."""
    return db.one("SELECT * FROM deployments WHERE function_id = ? AND id = ?", (function_id, deployment_id))


def find(db: Database, function_id: str, deployment_id: str) -> sqlite3.Row:
    """The deployment's row. Raises deployment_not_found."""
    row = seek(db, function_id, deployment_id)
    if row is None:
        raise AppwriteError("deployment_not_found", "Deployment with the requested ID could not be found.")
    return row


def active(db: Database, function_id: str) -> sqlite3.Row | None:
    """The deployment that executions run."""
    return db.one("SELECT * FROM deployments WHERE function_id = ? AND active", (function_id,))


def latest(db: Database, function_id: str) -> sqlite3.Row | None:
    """The deployment that was uploaded last."""
    return db.one("SELECT * FROM deployments WHERE function_id = ? ORDER BY sequence DESC LIMIT 1", (function_id,))


def code_of(row: sqlite3.Row, data: Path) -> Deployment:
    """A built deployment as what can run."""
    data = data.resolve()  # children have a working directory of their own
    python = environments(data) / row["environment"] / "bin" / "python"
    return Deployment(row["id"], folders(data) / row["folder"], row["entrypoint"], str(python), kind=row["type"])


def update(db: Database, sequence: int, **columns: Any) -> None:
    """Changes columns of a deployment; nothing where it was deleted meanwhile."""
    with db.transaction() as connection:
        assignments = ", ".join(f"{name} = :{name}" for name in columns)
        sql = f"UPDATE deployments SET {assignments}, updated_at = :now WHERE sequence = :sequence"
        connection.execute(sql, {**columns, "now": clock.now_text(), "sequence": sequence})


def make_active(db: Database, row: sqlite3.Row) -> None:
    """From now on executions run this deployment."""
    with db.transaction() as connection:
        connection.execute("UPDATE deployments SET active = 0 WHERE function_id = ?", (row["function_id"],))
        connection.execute("UPDATE deployments SET active = 1 WHERE sequence = ?", (row["sequence"],))


def forget(db: Database, row: sqlite3.Row) -> None:
    """Removes the records of a deployment."""
    with db.transaction() as connection:
        connection.execute("DELETE FROM deployment_chunks WHERE deployment_sequence = ?", (row["sequence"],))
        connection.execute("DELETE FROM deployments WHERE sequence = ?", (row["sequence"],))


def shape(row: sqlite3.Row) -> dict[str, Any]:
    """The answer's body."""
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"], "type": row["type"],
        "resourceId": row["function_id"], "resourceType": "functions", "entrypoint": row["entrypoint"],
        "sourceSize": row["source_size"], "buildSize": row["build_size"],
        "totalSize": row["source_size"] + row["build_size"], "buildId": "", "activate": bool(row["activate"]),
        "screenshotLight": "", "screenshotDark": "", "status": row["status"], "buildLogs": row["build_logs"],
        "buildDuration": row["build_duration"], **{f"provider{name}": "" for name in _PROVIDER},
    }  # fmt: skip

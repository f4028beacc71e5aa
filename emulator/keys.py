"""API keys and the signed tokens of one project."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import jwt

from emulator import clock
from emulator.database import Database, pack, unpack
from emulator.errors import AppwriteError
from emulator.wire import unique_id

TABLES = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS api_keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, secret TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, created_at TEXT NOT NULL
);
"""

# as a real server lists them for its keys
ALL_SCOPES = frozenset(
    {f"{name}.read" for name in ("locale", "avatars", "health", "assistant")}
    | {
        f"{name}.{verb}"
        for name in (
            *("project", "keys", "platforms", "mocks", "policies", "project.policies", "templates", "oauth2", "users"),
            *("sessions", "teams", "databases", "tables", "columns", "indexes", "rows", "collections", "attributes"),
            *("documents", "buckets", "files", "tokens", "functions", "executions", "execution", "sites", "log"),
            *("providers", "topics", "subscribers", "targets", "messages", "rules", "webhooks", "migrations"),
            *("schedules", "vcs", "insights", "reports", "presences"),
        )
        for verb in ("read", "write")
    }
)


class Keys:
    """API keys and signed tokens of one project; the signing secret lies in the store and never leaves it."""

    def __init__(self, db: Database, project_id: str) -> None:
        self._db = db
        self._project_id = project_id
        db.declare(TABLES)
        with db.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO secrets VALUES ('jwt', ?)", (secrets.token_hex(32),))
        row = db.one("SELECT value FROM secrets WHERE name = 'jwt'")
        assert row is not None
        self._secret: str = row["value"]

    def create(self, name: str, scopes: frozenset[str]) -> str:
        """Make a standard API key and return its secret."""
        secret = "standard_" + secrets.token_hex(128)
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)",
                (unique_id(), name, secret, pack(sorted(scopes)), clock.now_text()),
            )
        return secret

    def owner_key(self) -> str:
        """The key with all scopes, made at the first start and the same ever after."""
        row = self._db.one("SELECT secret FROM api_keys WHERE name = 'owner'")
        return str(row["secret"]) if row is not None else self.create("owner", ALL_SCOPES)

    def scopes_of(self, secret: str) -> frozenset[str]:
        """What a key may do. Raises user_unauthorized for one that is unknown or over."""
        if secret.startswith(("ephemeral_", "dynamic_")):
            try:
                claims = self.verify(secret.partition("_")[2])
            except jwt.InvalidTokenError:
                raise _unknown_key() from None
            if claims.get("projectId") != self._project_id:
                raise _unknown_key()
            return frozenset(claims.get("scopes", ()))
        row = self._db.one("SELECT scopes, name FROM api_keys WHERE secret = ?", (secret,))
        if row is None:
            raise _unknown_key()
        return ALL_SCOPES if row["name"] == "owner" else frozenset(unpack(row["scopes"]))

    def make_ephemeral_key(self, scopes: frozenset[str], seconds: int) -> str:
        """A key that dies by itself: `ephemeral_<jwt>`."""
        return "ephemeral_" + self.sign({"projectId": self._project_id, "scopes": sorted(scopes)}, seconds)

    def sign(self, claims: Mapping[str, Any], seconds: float) -> str:
        """A JWT (HS256) of these claims that is valid for so long."""
        return jwt.encode({**claims, "exp": int(time.time() + seconds)}, self._secret, algorithm="HS256")

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a JWT of ours. Raises jwt.InvalidTokenError."""
        claims: dict[str, Any] = jwt.decode(token, self._secret, algorithms=["HS256"])
        return claims


def _unknown_key() -> AppwriteError:
    return AppwriteError("user_unauthorized", "The current user is not authorized to perform the requested action.")

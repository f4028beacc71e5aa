"""Who is calling: API keys, user JWTs and sessions become a `Caller` with roles and scopes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import sqlite3
from dataclasses import dataclass
from typing import Literal, cast

import jwt
from starlette.requests import HTTPConnection, Request

from emulator import clock, origins
from emulator.database import Database, pack, unpack
from emulator.errors import AppwriteError
from emulator.foreign import read_json
from emulator.keys import ALL_SCOPES, Keys
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS users (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '',
    email TEXT UNIQUE, phone TEXT UNIQUE, password TEXT, password_changed_at TEXT NOT NULL DEFAULT '',
    email_verified INTEGER NOT NULL DEFAULT 0, phone_verified INTEGER NOT NULL DEFAULT 0,
    active INTEGER NOT NULL DEFAULT 1, labels TEXT NOT NULL DEFAULT '[]', prefs TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, accessed_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL REFERENCES users (id),
    secret_hash TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, provider_uid TEXT NOT NULL, ip TEXT NOT NULL,
    expire TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_by_user ON sessions (user_id);
CREATE TABLE IF NOT EXISTS memberships (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, team_id TEXT NOT NULL, user_id TEXT NOT NULL,
    roles TEXT NOT NULL, confirmed INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    UNIQUE (team_id, user_id)
);
CREATE INDEX IF NOT EXISTS memberships_by_user ON memberships (user_id);
"""

CONSOLE = "console"  # the project whose users operate the server

_EVERYBODY = frozenset(
    {"public", "home", "sessions.write", "locale.read", "avatars.read", "execution.write", "executions.write"}
    | {f"{name}.{verb}" for name in ("documents", "rows", "files") for verb in ("read", "write")}
)
_SCOPES = {
    "guest": _EVERYBODY,
    "user": _EVERYBODY | {"account", "teams.read", "teams.write", "execution.read", "executions.read"},
}
_ROLE_NAME = {"guest": "guests", "user": "users", "key": "applications"}


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    `kind` key: `scopes` decide what it may do and row and file permissions do not apply; user and guest: `roles`
    are matched with permissions. `session_id` is "" where there is none.
    """

    kind: Literal["key", "user", "guest"]
    roles: frozenset[str]
    scopes: frozenset[str]
    identity: str
    user_id: str = ""
    session_id: str = ""

    @property
    def is_key(self) -> bool:
        """Whether permissions are bypassed."""
        return self.kind == "key"

    def require_scope(self, *any_of: str) -> None:
        """Raises general_unauthorized_scope where the caller holds none of these scopes."""
        if self.scopes.isdisjoint(any_of):
            wanted = json.dumps(any_of, separators=(",", ":"))
            raise AppwriteError(
                "general_unauthorized_scope",
                f"{self.identity} (role: {_ROLE_NAME[self.kind]}) missing scopes ({wanted})",
            )


GUEST = Caller("guest", frozenset({"any", "guests"}), _SCOPES["guest"], "User")


async def authenticate(request: Request) -> Caller:
    """The caller of an HTTP request.

    Raises project_not_found, user_api_key_and_session_set, user_jwt_invalid, user_unauthorized (unknown key),
    user_blocked, general_unknown_origin.
    """
    found = request.scope.get("caller")  # a limited route has asked before its handler does
    if found is None:
        found = request.scope["caller"] = identify(request)
    return cast("Caller", found)


def identify(connection: HTTPConnection) -> Caller:
    """The caller of an HTTP request or of a socket's handshake; raises as `authenticate` does."""
    server = server_of(connection)
    headers = connection.headers
    project = project_of(connection)
    if project != server.project_id:
        raise AppwriteError("project_not_found", f"Project with the requested ID '{project}' could not be found.")
    if headers.get("x-appwrite-mode") == "admin":
        origins.require_known(headers.get("origin", ""))
        return caller_of_operator(server, session_value(connection, CONSOLE)) or GUEST
    key = headers.get("x-appwrite-key", "")
    session = session_value(connection, project)
    if key:
        scopes = server.keys.scopes_of(key)
        if session and caller_of_session(server.db, session) is not None:
            raise AppwriteError("user_api_key_and_session_set", "API key and session used in same request.")
        return Caller("key", frozenset(), scopes, f"app.{project}@service.localhost")
    origins.require_known(headers.get("origin", ""))
    token = headers.get("x-appwrite-jwt", "")
    if token:
        return caller_of_jwt(server.db, server.keys, token)
    return (caller_of_session(server.db, session) if session else None) or GUEST


def project_of(connection: HTTPConnection) -> str:
    """The project a client names; who names none means the console, as on a real server."""
    return connection.headers.get("x-appwrite-project") or connection.query_params.get("project") or CONSOLE


def session_value(connection: HTTPConnection, project: str) -> str:
    """The session a client sent: as cookie, header or fallback cookie; "" for none."""
    name = f"a_session_{project}"
    found = connection.cookies.get(name) or connection.cookies.get(f"{name}_legacy")
    if found:
        return found
    headers = connection.headers
    if header := headers.get("x-appwrite-session"):
        return header
    try:
        fallback = read_json(headers.get("x-fallback-cookies") or "{}")
    except ValueError:
        return ""
    value = fallback.get(name, "") if isinstance(fallback, dict) else ""
    return value if isinstance(value, str) else ""


def encode_session(user_id: str, secret: str) -> str:
    """What a client keeps of a session: base64 of `{"id","secret"}`."""
    return base64.b64encode(pack({"id": user_id, "secret": secret}).encode()).decode()


def hash_secret(secret: str) -> str:
    """How a session's or token's secret is kept; it is random and long, so one round is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def caller_of_session(db: Database, value: str) -> Caller | None:
    """The user of an encoded session, or None where it is not (or no longer) one. Raises user_blocked."""
    try:
        decoded = read_json(base64.b64decode(value + "=" * (-len(value) % 4)))
        user_id, secret = decoded["id"], decoded["secret"]
    except (ValueError, binascii.Error, TypeError, KeyError):
        return None
    if not isinstance(user_id, str) or not isinstance(secret, str):
        return None
    row = db.one(
        "SELECT users.*, sessions.id AS session_id FROM sessions JOIN users ON users.id = sessions.user_id"
        " WHERE sessions.secret_hash = ? AND sessions.user_id = ? AND sessions.expire > ?",
        (hash_secret(secret), user_id, clock.now_text()),
    )
    return None if row is None else _user_caller(db, row, row["session_id"])


def caller_of_operator(server: Server, value: str) -> Caller | None:
    """An operator at work in the project, who may do everything; None without a session of the console."""
    operator = caller_of_session(server.console.db, value) if server.console is not None and value else None
    return None if operator is None else Caller("key", frozenset(), ALL_SCOPES, operator.identity)


def caller_of_jwt(db: Database, keys: Keys, token: str) -> Caller:
    """The user of a JWT made by this server; a JWT of a session dies with it. Raises user_jwt_invalid."""
    try:
        claims = keys.verify(token)
    except jwt.ExpiredSignatureError:
        raise _bad_jwt("Expired") from None
    except jwt.InvalidTokenError:
        raise _bad_jwt("Incomplete or wrongly signed") from None
    user_id, session_id = claims.get("userId", ""), claims.get("sessionId", "")
    row = db.one("SELECT * FROM users WHERE id = ?", (user_id,))
    if row is None:
        raise _bad_jwt("Its user does not exist")
    alive = "SELECT 1 FROM sessions WHERE id = ? AND user_id = ? AND expire > ?"
    if session_id and db.one(alive, (session_id, user_id, clock.now_text())) is None:
        raise _bad_jwt("Its session is over")
    return _user_caller(db, row, session_id)


def user_roles(db: Database, user: sqlite3.Row) -> frozenset[str]:
    """Every role a user holds, from its row in `users`."""
    user_id = user["id"]
    verified = "verified" if user["email_verified"] or user["phone_verified"] else "unverified"
    held = {"any", "users", f"users/{verified}", f"user:{user_id}", f"user:{user_id}/{verified}"}
    held.update(f"label:{label}" for label in unpack(user["labels"]))
    for member in db.all("SELECT id, team_id, roles FROM memberships WHERE user_id = ? AND confirmed", (user_id,)):
        held.update((f"team:{member['team_id']}", f"member:{member['id']}"))
        held.update(f"team:{member['team_id']}/{role}" for role in unpack(member["roles"]))
    return frozenset(held)


def _user_caller(db: Database, row: sqlite3.Row, session_id: str) -> Caller:
    if not row["active"]:
        raise AppwriteError("user_blocked", "The current user has been blocked.")
    identity = row["email"] or "User"
    return Caller("user", user_roles(db, row), _SCOPES["user"], identity, row["id"], session_id)


def _bad_jwt(reason: str) -> AppwriteError:
    return AppwriteError("user_jwt_invalid", f"Failed to verify JWT. Invalid token: {reason}")

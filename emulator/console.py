"""The project `console`: operators of this server sign in to it, and the official command line asks it for facts."""

from __future__ import annotations

import ipaddress
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import account, accounts, clock, proxy, unserved, wire
from emulator.auth import CONSOLE, TABLES, Caller, authenticate
from emulator.database import Database
from emulator.errors import AppwriteError
from emulator.events import Bus
from emulator.keys import Keys
from emulator.listing import View, page
from emulator.schema import Schema
from emulator.server import Server, server_of

_PROJECTS_TABLE = """
CREATE TABLE IF NOT EXISTS projects (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""
_PROJECTS = View("projects", {"name": ("name", "string")})
_PASSWORD_BYTES = 18
_SERVICES = (
    *("account", "avatars", "databases", "tablesdb", "locale", "health", "project", "storage", "teams", "users"),
    *("vcs", "sites", "functions", "proxy", "graphql", "migrations", "messaging", "advisor"),
)
_SERVED = frozenset(
    {"account", "databases", "tablesdb", "health", "storage", "teams", "users", "functions", "proxy", "project"}
)
_SIGN_INS = ("email-password", "magic-url", "email-otp", "anonymous", "invites", "jwt", "phone")
_SERVED_SIGN_INS = frozenset({"email-password", "anonymous", "invites", "jwt"})


def open_console(data_dir: Path, project_id: str) -> Server:
    """The console of a data folder: a server of its own, whose users are the operators, with a list of one project."""
    folder = data_dir / CONSOLE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(folder / "emulator.sqlite")
    for tables in (TABLES, accounts.TABLES, _PROJECTS_TABLE):
        db.declare(tables)
    now = clock.now_text()
    with db.transaction() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO projects (id, name, created_at, updated_at) VALUES (?, ?, ?, ?)",
            (project_id, project_id, now, now),
        )
    return Server(db, Bus(), Keys(db, CONSOLE), Schema(db), CONSOLE, folder)


def make_operator(db: Database, email: str) -> str:
    """Make an operator, or give an existing one a new password and end its sessions; returns the password.

    Raises general_argument_invalid.
    """
    address = accounts.checked_email(email)
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    hashed = accounts.hash_password(password)
    known = db.one("SELECT id FROM users WHERE email = ?", (address,))
    if known is None:
        accounts.create_user(db, wire.unique_id(), email=address, password=hashed, seen=False)
        return password
    with db.transaction() as connection:
        connection.execute("DELETE FROM sessions WHERE user_id = ?", (known["id"],))
        accounts.change_user(db, known["id"], password=hashed, password_changed_at=clock.now_text())
    return password


async def sign_in(request: Request) -> Response:
    """POST /account/sessions/email: only for programs of this machine, because an operator may do everything."""
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
        raise AppwriteError("general_access_forbidden", "Operators sign in on the server's own machine only.")
    return await account.create_email_session(request)


async def sign_up(request: Request) -> Response:  # noqa: ARG001 - every handler takes the request
    """POST /account: nobody becomes an operator over the network."""
    sentence = "Operators of this server are made by its command `python -m emulator operator`."
    raise AppwriteError("user_console_count_exceeded", sentence)


async def variables(request: Request) -> Response:
    """GET /console/variables: what the command line builds names from."""
    await _operator(request)
    return wire.reply(
        {
            "_APP_DOMAIN_TARGET_CNAME": proxy.HOST,
            "_APP_DOMAIN_TARGET_A": "127.0.0.1",
            "_APP_DOMAIN_TARGET_AAAA": "::1",
            "_APP_DOMAIN_TARGET_CAA": "",
            "_APP_DOMAIN_FUNCTIONS": proxy.FUNCTIONS_DOMAIN,
            "_APP_DOMAIN_SITES": "",
            "_APP_DOMAIN_ENABLED": False,
            "_APP_DOMAINS_NAMESERVERS": "",
            "_APP_STORAGE_LIMIT": 5_000_000_000,
            "_APP_COMPUTE_SIZE_LIMIT": 30_000_000,
            "_APP_COMPUTE_BUILD_TIMEOUT": 900,
            "_APP_USAGE_STATS": "disabled",
            "_APP_VCS_ENABLED": False,
            "_APP_ASSISTANT_ENABLED": False,
            "_APP_OPTIONS_FORCE_HTTPS": "disabled",
        }
    )


async def list_projects(request: Request) -> Response:
    """GET /projects: the one project of this server."""
    await _operator(request)
    total, rows = page(request, server_of(request).db, _PROJECTS)
    return wire.reply({"total": total, "projects": [_shape(row, request) for row in rows]})


async def get_project(request: Request) -> Response:
    """GET /projects/{projectId}."""
    await _operator(request)
    return wire.reply(_shape(_find(request), request))


async def update_project(request: Request) -> Response:
    """PATCH /projects/{projectId}: its name is all that can change."""
    await _operator(request)
    old = _find(request)
    name = wire.text(await wire.json_body(request), "name", longest=128)
    with server_of(request).db.transaction() as connection:
        connection.execute(
            "UPDATE projects SET name = ?, updated_at = ? WHERE id = ?",
            (name, clock.after(old["updated_at"]), old["id"]),
        )
    return wire.reply(_shape(_find(request), request))


async def _operator(request: Request) -> Caller:
    caller = await authenticate(request)
    caller.require_scope("account")
    return caller


def _find(request: Request) -> Any:
    row = server_of(request).db.one("SELECT * FROM projects WHERE id = ?", (request.path_params["projectId"],))
    if row is None:
        raise AppwriteError("project_not_found", "Project with the requested ID could not be found.")
    return row


def _shape(row: Any, request: Request) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"], "name": row["name"],
        "teamId": "", "region": "default", "devKeys": [],
        "smtpEnabled": False, "smtpSenderName": "", "smtpSenderEmail": "", "smtpReplyToName": "",
        "smtpReplyToEmail": "", "smtpHost": "", "smtpPort": 0, "smtpUsername": "", "smtpPassword": "",
        "smtpSecure": "", "pingCount": 0, "pingedAt": "", "labels": [], "status": "active",
    }  # fmt: skip
    if wire.response_format(request) < (1, 9):
        return {**shown, **_switches()}
    return {
        **shown,
        "authMethods": [{"$id": name, "enabled": name in _SERVED_SIGN_INS} for name in _SIGN_INS],
        "services": [{"$id": name, "enabled": name in _SERVED} for name in _SERVICES],
        "protocols": [{"$id": name, "enabled": name != "graphql"} for name in ("rest", "graphql", "websocket")],
        "blocks": [],
        "consoleAccessedAt": row["updated_at"],
    }


def _switches() -> dict[str, Any]:
    """What is on and off, in the words that clients older than 1.9 know."""
    services = {f"serviceStatusFor{name.capitalize()}": name in _SERVED for name in _SERVICES}
    return {
        **services,
        "authEmailPassword": True, "authAnonymous": True, "authInvites": True, "authJWT": True,
        "authUsersAuthMagicURL": False, "authEmailOtp": False, "authPhone": False,
        "authDuration": accounts.SESSION_SECONDS, "authLimit": 0, "authSessionsLimit": 0, "authPasswordHistory": 0,
        "authPasswordDictionary": False, "authPersonalDataCheck": False, "authSessionAlerts": False,
        "authMockNumbers": [],
    }  # fmt: skip


ROUTES: list[tuple[str, str, wire.Handler]] = [
    ("POST", "/account", sign_up),
    ("GET", "/account", account.get),
    ("GET", "/account/prefs", account.get_prefs),
    ("PATCH", "/account/prefs", account.update_prefs),
    ("POST", "/account/sessions/email", sign_in),
    ("GET", "/account/sessions", account.list_sessions),
    ("GET", "/account/sessions/{session}", account.get_session),
    ("DELETE", "/account/sessions", account.delete_sessions),
    ("DELETE", "/account/sessions/{session}", account.delete_session),
    ("GET", "/console/variables", variables),
    ("GET", "/projects", list_projects),
    ("GET", "/projects/{projectId}", get_project),
    ("PATCH", "/projects/{projectId}", update_project),
    ("POST", "/projects", unserved.refuse),
    ("DELETE", "/projects/{projectId}", unserved.refuse),
    ("PATCH", "/projects/{projectId}/service", unserved.refuse),
    ("PATCH", "/projects/{projectId}/auth/{setting}", unserved.refuse),
    ("POST", "/projects/{projectId}/jwts", unserved.refuse),
    ("GET", "/console/resources", unserved.refuse),
    ("GET", "/console/scopes/{kind}", unserved.refuse),
]

"""The routes of /users: what a server with a key does with users."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import accounts, clock, permissions, teams, wire
from emulator.account import jwt_seconds
from emulator.auth import authenticate
from emulator.database import pack
from emulator.errors import AppwriteError, invalid_argument
from emulator.events import session_event, user_event
from emulator.listing import View, page
from emulator.server import Server, server_of

_USERS = View(
    "users",
    {
        "name": ("name", "string"), "email": ("email", "string"), "phone": ("phone", "string"),
        "status": ("active", "boolean"), "passwordUpdate": ("password_changed_at", "string"),
        "registration": ("created_at", "datetime"), "accessedAt": ("accessed_at", "string"),
        "emailVerification": ("email_verified", "boolean"), "phoneVerification": ("phone_verified", "boolean"),
    },
    ("id", "name", "email", "phone"),
)  # fmt: skip


async def create(request: Request) -> Response:
    """POST /users"""
    server, body = await _begin(request, "users.write")
    user_id = wire.new_id(body, "userId")
    email = accounts.checked_email(body["email"]) if body.get("email") else None
    phone = accounts.checked_phone(body["phone"]) if body.get("phone") else None
    hashed = await _hashed(body["password"]) if body.get("password") else None
    name = wire.text(body, "name", longest=128, default="", shortest=0)
    user = accounts.create_user(server.db, user_id, name=name, email=email, phone=phone, password=hashed, seen=False)
    server.bus.publish(user_event(user_id, "create", payload=accounts.show_user(user)))
    return wire.reply(accounts.show_user(user, for_server=True), 201)


async def list_users(request: Request) -> Response:
    """GET /users"""
    server, _ = await _begin(request, "users.read")
    total, rows = page(request, server.db, _USERS)
    return wire.reply({"total": total, "users": [accounts.show_user(row, for_server=True) for row in rows]})


async def get(request: Request) -> Response:
    """GET /users/{user}"""
    server, _ = await _begin(request, "users.read")
    return wire.reply(accounts.show_user(accounts.find_user(server.db, request.path_params["user"]), for_server=True))


async def delete(request: Request) -> Response:
    """DELETE /users/{user}"""
    server, _ = await _begin(request, "users.write")
    user = accounts.find_user(server.db, request.path_params["user"])
    accounts.delete_user(server.db, user["id"])
    server.bus.publish(user_event(user["id"], "delete", payload=accounts.show_user(user)))
    return wire.no_content()


async def update_labels(request: Request) -> Response:
    """PUT /users/{user}/labels: replaces them all."""
    server, body = await _begin(request, "users.write")
    labels = body.get("labels")
    if not isinstance(labels, list) or not all(
        isinstance(label, str) and permissions.role_is_valid(f"label:{label}") for label in labels
    ):
        raise invalid_argument("labels", "Value must be a list of texts of letters and digits, at most 36 each")
    return _change(request, server, "labels", labels=pack(list(dict.fromkeys(labels))))


async def update_prefs(request: Request) -> Response:
    """PATCH /users/{user}/prefs: replaces them all."""
    server, body = await _begin(request, "users.write")
    stored = accounts.as_json(body.get("prefs"), "prefs")
    user = accounts.change_user(server.db, request.path_params["user"], prefs=stored)
    shown = accounts.show_user(user)
    server.bus.publish(user_event(user["id"], "update", "prefs", payload=shown))
    return wire.reply(shown["prefs"])


async def get_prefs(request: Request) -> Response:
    """GET /users/{user}/prefs"""
    server, _ = await _begin(request, "users.read")
    return wire.reply(accounts.show_user(accounts.find_user(server.db, request.path_params["user"]))["prefs"])


async def update_email(request: Request) -> Response:
    """PATCH /users/{user}/email: "" takes it away."""
    server, body = await _begin(request, "users.write")
    email = None if body.get("email") == "" else accounts.checked_email(body.get("email"))
    return _change(request, server, "email", email=email, email_verified=0)


async def update_phone(request: Request) -> Response:
    """PATCH /users/{user}/phone: "" takes it away."""
    server, body = await _begin(request, "users.write")
    number = body.get("number")
    phone = None if number == "" else accounts.checked_phone(number)
    return _change(request, server, "phone", phone=phone, phone_verified=0)


async def update_password(request: Request) -> Response:
    """PATCH /users/{user}/password: "" takes it away."""
    server, body = await _begin(request, "users.write")
    hashed = None if body.get("password") == "" else await _hashed(body.get("password"))
    return _change(request, server, "password", password=hashed, password_changed_at=clock.now_text())


async def update_name(request: Request) -> Response:
    """PATCH /users/{user}/name"""
    server, body = await _begin(request, "users.write")
    return _change(request, server, "name", name=wire.text(body, "name", longest=128, shortest=0))


async def update_status(request: Request) -> Response:
    """PATCH /users/{user}/status: false blocks the user."""
    server, body = await _begin(request, "users.write")
    return _change(request, server, "status", active=int(wire.flag(body.get("status"), "status")))


async def update_email_verification(request: Request) -> Response:
    """PATCH /users/{user}/verification"""
    server, body = await _begin(request, "users.write")
    verified = wire.flag(body.get("emailVerification"), "emailVerification")
    return _change(request, server, "verification", email_verified=int(verified))


async def update_phone_verification(request: Request) -> Response:
    """PATCH /users/{user}/verification/phone"""
    server, body = await _begin(request, "users.write")
    verified = wire.flag(body.get("phoneVerification"), "phoneVerification")
    return _change(request, server, "verification", phone_verified=int(verified))


async def list_memberships(request: Request) -> Response:
    """GET /users/{user}/memberships"""
    server, _ = await _begin(request, "users.read")
    user = accounts.find_user(server.db, request.path_params["user"])
    return teams.show_memberships(request, server, "user_id = ?", user["id"])


async def create_session(request: Request) -> Response:
    """POST /users/{user}/sessions: a session with its secret, for a server to hand on."""
    server, _ = await _begin(request, "users.write", "sessions.write")
    user = accounts.find_user(server.db, request.path_params["user"])
    ip = request.client.host if request.client else ""
    session, value = accounts.create_session(server.db, user["id"], "server", "", ip)
    shown = accounts.show_session(session, "")
    server.bus.publish(session_event(user["id"], session["id"], action="create", payload=shown))
    return wire.reply({**shown, "secret": value}, 201)


async def list_sessions(request: Request) -> Response:
    """GET /users/{user}/sessions"""
    server, _ = await _begin(request, "users.read", "sessions.read")
    user = accounts.find_user(server.db, request.path_params["user"])
    rows = server.db.all("SELECT * FROM sessions WHERE user_id = ? ORDER BY sequence", (user["id"],))
    return wire.reply({"total": len(rows), "sessions": [accounts.show_session(row, "") for row in rows]})


async def delete_sessions(request: Request) -> Response:
    """DELETE /users/{user}/sessions: sign a user out everywhere."""
    server, _ = await _begin(request, "users.write", "sessions.write")
    user = accounts.find_user(server.db, request.path_params["user"])
    return _end(server, server.db.all("SELECT * FROM sessions WHERE user_id = ?", (user["id"],)))


async def delete_session(request: Request) -> Response:
    """DELETE /users/{user}/sessions/{session}"""
    server, _ = await _begin(request, "users.write", "sessions.write")
    user = accounts.find_user(server.db, request.path_params["user"])
    return _end(server, [accounts.find_session(server.db, user["id"], request.path_params["session"])])


async def create_token(request: Request) -> Response:
    """POST /users/{user}/tokens: a secret the user exchanges for a session."""
    server, body = await _begin(request, "users.write")
    user = accounts.find_user(server.db, request.path_params["user"])
    length = _whole(body.get("length", 6), "length", 4, 128)
    seconds = _whole(body.get("expire", 900), "expire", 60, accounts.SESSION_SECONDS)
    return wire.reply(accounts.create_token(server.db, user["id"], length, seconds), 201)


async def create_jwt(request: Request) -> Response:
    """POST /users/{user}/jwts"""
    server, body = await _begin(request, "users.write")
    user = accounts.find_user(server.db, request.path_params["user"])
    session_id = str(body.get("sessionId") or "")
    if session_id == "recent":
        row = server.db.one("SELECT id FROM sessions WHERE user_id = ? ORDER BY sequence DESC", (user["id"],))
        session_id = row["id"] if row is not None else ""
    elif session_id:
        accounts.find_session(server.db, user["id"], session_id)
    claims = {"userId": user["id"], "sessionId": session_id}
    return wire.reply({"jwt": server.keys.sign(claims, jwt_seconds(body))}, 201)


async def _hashed(password: object) -> str:
    return await asyncio.to_thread(accounts.hash_password, accounts.checked_password(password))


def _end(server: Server, sessions: list[sqlite3.Row]) -> Response:
    with server.db.transaction() as connection:
        connection.executemany("DELETE FROM sessions WHERE id = ?", [(session["id"],) for session in sessions])
    for session in sessions:
        shown = accounts.show_session(session, "")
        server.bus.publish(session_event(session["user_id"], session["id"], action="delete", payload=shown))
    return wire.no_content()


def _change(request: Request, server: Server, what: str, **fields: Any) -> Response:
    user = accounts.change_user(server.db, request.path_params["user"], **fields)
    server.bus.publish(user_event(user["id"], "update", what, payload=accounts.show_user(user)))
    return wire.reply(accounts.show_user(user, for_server=True))


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid_argument(name, f"Value must be a valid range between {least:,} and {most:,}")
    return value


async def _begin(request: Request, *scopes: str) -> tuple[Server, wire.Body]:
    caller = await authenticate(request)
    caller.require_scope(*scopes)
    if not caller.is_key:
        raise AppwriteError("user_unauthorized", "This needs an API key.")
    return server_of(request), await wire.json_body(request)

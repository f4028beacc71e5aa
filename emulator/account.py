"""The routes of /account: what a user does with itself, from signing up to leaving."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from email.utils import formatdate
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import accounts, wire
from emulator.auth import Caller, authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.events import session_event, user_event
from emulator.server import Server, server_of

JWT_SECONDS = 900


async def create(request: Request) -> Response:
    """POST /account: sign up with email and password."""
    caller = await authenticate(request)
    caller.require_scope("sessions.write")
    server, body = server_of(request), await wire.json_body(request)
    user_id = wire.new_id(body, "userId")
    email, password = _credentials(body)
    name = wire.text(body, "name", longest=128, default="", shortest=0)
    hashed = await asyncio.to_thread(accounts.hash_password, password)
    user = accounts.create_user(server.db, user_id, name=name, email=email, password=hashed, seen=True)
    return wire.reply(_changed(server, user, "create"), 201)


async def create_email_session(request: Request) -> Response:
    """POST /account/sessions/email"""
    caller = await _newcomer(request)
    server, body = server_of(request), await wire.json_body(request)
    email, password = _credentials(body)
    user = server.db.one("SELECT * FROM users WHERE email = ?", (email,))
    kept = user["password"] if user is not None else None
    if kept is None or not await asyncio.to_thread(accounts.password_fits, password, kept):
        raise _bad_credentials()
    assert user is not None
    if not user["active"]:
        raise AppwriteError("user_blocked", "The current user has been blocked.")
    return _begin_session(request, caller, user["id"], "email", email)


async def create_anonymous_session(request: Request) -> Response:
    """POST /account/sessions/anonymous: a new user without a name, signed in at once."""
    caller = await _newcomer(request)
    if caller.is_key:
        raise AppwriteError("user_anonymous_console_prohibited", "Anonymous sessions are for clients, not for keys.")
    server = server_of(request)
    user = accounts.create_user(server.db, wire.unique_id(), seen=True)
    _changed(server, user, "create")
    return _begin_session(request, caller, user["id"], "anonymous", "")


async def create_token_session(request: Request) -> Response:
    """POST /account/sessions/token: exchange a token a server has made."""
    caller = await _newcomer(request)
    server, body = server_of(request), await wire.json_body(request)
    user_id = wire.existing_id(body.get("userId"), "userId")
    accounts.spend_token(server.db, user_id, wire.text(body, "secret", longest=256))
    return _begin_session(request, caller, accounts.find_user(server.db, user_id)["id"], "token", "")


async def get(request: Request) -> Response:
    """GET /account"""
    _, _, user = await _myself(request)
    return wire.reply(accounts.show_user(user))


async def get_prefs(request: Request) -> Response:
    """GET /account/prefs"""
    _, _, user = await _myself(request)
    return wire.reply(accounts.show_user(user)["prefs"])


async def update_prefs(request: Request) -> Response:
    """PATCH /account/prefs: replaces them all."""
    server, caller, _ = await _myself(request)
    body = await wire.json_body(request)
    user = accounts.change_user(server.db, caller.user_id, prefs=accounts.as_json(body.get("prefs"), "prefs"))
    return wire.reply(_changed(server, user, "update", "prefs"))


async def update_name(request: Request) -> Response:
    """PATCH /account/name"""
    server, caller, _ = await _myself(request)
    name = wire.text(await wire.json_body(request), "name", longest=128, shortest=0)
    user = accounts.change_user(server.db, caller.user_id, name=name)
    return wire.reply(_changed(server, user, "update", "name"))


async def update_email(request: Request) -> Response:
    """PATCH /account/email: needs the password; an anonymous user gets both and so becomes a lasting one."""
    server, caller, user = await _myself(request)
    email, password = _credentials(await wire.json_body(request))
    fields: dict[str, Any] = {"email": email, "email_verified": 0}
    if user["password"] is None:
        fields["password"] = await asyncio.to_thread(accounts.hash_password, password)
        fields["password_changed_at"] = user["updated_at"]
    elif not await asyncio.to_thread(accounts.password_fits, password, user["password"]):
        raise _bad_credentials()
    user = accounts.change_user(server.db, caller.user_id, **fields)
    return wire.reply(_changed(server, user, "update", "email"))


async def update_phone(request: Request) -> Response:
    """PATCH /account/phone: needs the password."""
    server, caller, user = await _myself(request)
    body = await wire.json_body(request)
    phone, password = accounts.checked_phone(body.get("phone")), accounts.checked_password(body.get("password"))
    kept = user["password"]
    if kept is None or not await asyncio.to_thread(accounts.password_fits, password, kept):
        raise _bad_credentials()
    user = accounts.change_user(server.db, caller.user_id, phone=phone, phone_verified=0)
    return wire.reply(_changed(server, user, "update", "phone"))


async def block(request: Request) -> Response:
    """PATCH /account/status: the user blocks itself; only a server can undo it."""
    server, caller, _ = await _myself(request)
    user = accounts.change_user(server.db, caller.user_id, active=0)
    response = wire.reply(_changed(server, user, "update", "status"))
    _forget_session(response, server.project_id)
    return response


async def update_password(request: Request) -> Response:
    """PATCH /account/password: needs the old one where there is one."""
    server, caller, user = await _myself(request)
    body = await wire.json_body(request)
    password, old = accounts.checked_password(body.get("password")), body.get("oldPassword") or ""
    if user["password"] is not None and not (
        isinstance(old, str) and await asyncio.to_thread(accounts.password_fits, old, user["password"])
    ):
        raise _bad_credentials()
    hashed = await asyncio.to_thread(accounts.hash_password, password)
    user = accounts.change_user(server.db, caller.user_id, password=hashed, password_changed_at=user["updated_at"])
    return wire.reply(_changed(server, user, "update", "password"))


async def create_jwt(request: Request) -> Response:
    """POST /account/jwts"""
    server, caller, _ = await _myself(request)
    body = await wire.json_body(request)
    seconds = jwt_seconds(body)
    claims = {"userId": caller.user_id, "sessionId": caller.session_id}
    return wire.reply({"jwt": server.keys.sign(claims, seconds)}, 201)


def jwt_seconds(body: wire.Body) -> int:
    """The `duration` of a JWT in seconds, at most an hour."""
    seconds = body.get("duration", JWT_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= 3600:
        raise invalid_argument("duration", "Value must be a valid range between 0 and 3,600")
    return seconds


async def list_sessions(request: Request) -> Response:
    """GET /account/sessions"""
    server, caller, _ = await _myself(request)
    rows = server.db.all("SELECT * FROM sessions WHERE user_id = ? ORDER BY sequence", (caller.user_id,))
    shown = [accounts.show_session(row, caller.session_id) for row in rows]
    return wire.reply({"total": len(shown), "sessions": shown})


async def get_session(request: Request) -> Response:
    """GET /account/sessions/{session}; `current` is the one that asks."""
    server, caller, _ = await _myself(request)
    return wire.reply(accounts.show_session(_session(request, server, caller), caller.session_id))


async def extend_session(request: Request) -> Response:
    """PATCH /account/sessions/{session}: its time begins anew."""
    server, caller, _ = await _myself(request)
    session = accounts.extend_session(server.db, _session(request, server, caller))
    return wire.reply(accounts.show_session(session, caller.session_id))


async def delete_session(request: Request) -> Response:
    """DELETE /account/sessions/{session}"""
    server, caller, user = await _myself(request)
    session = _session(request, server, caller)
    return _end_sessions(server, caller, user, [session])


async def delete_sessions(request: Request) -> Response:
    """DELETE /account/sessions: sign out everywhere."""
    server, caller, user = await _myself(request)
    rows = server.db.all("SELECT * FROM sessions WHERE user_id = ?", (caller.user_id,))
    return _end_sessions(server, caller, user, rows)


def _end_sessions(server: Server, caller: Caller, user: sqlite3.Row, sessions: list[sqlite3.Row]) -> Response:
    with server.db.transaction() as connection:
        connection.executemany("DELETE FROM sessions WHERE id = ?", [(session["id"],) for session in sessions])
    response = wire.no_content()
    for session in sessions:
        shown = accounts.show_session(session, caller.session_id)
        server.bus.publish(session_event(user["id"], session["id"], action="delete", payload=shown))
        if session["id"] == caller.session_id:
            _forget_session(response, server.project_id)
    return response


def _begin_session(request: Request, caller: Caller, user_id: str, provider: str, uid: str) -> Response:
    """Sign in: cookies and fallback cookies for a browser, the secret in the body for a server."""
    server = server_of(request)
    ip = request.client.host if request.client else ""
    session, value = accounts.create_session(server.db, user_id, provider, uid, ip)
    shown = accounts.show_session(session, session["id"])
    server.bus.publish(session_event(user_id, session["id"], action="create", payload=shown))
    response = wire.reply({**shown, "secret": value if caller.is_key else ""}, 201)
    _set_cookies(response, server.project_id, value, accounts.SESSION_SECONDS)
    name = f"a_session_{server.project_id}"
    response.headers["x-fallback-cookies"] = wire.encode({name: value}).decode()
    return response


def _forget_session(response: Response, project: str) -> None:
    """Let the browser that asked drop its session."""
    _set_cookies(response, project, "", 0)
    response.headers["x-fallback-cookies"] = "{}"


def _set_cookies(response: Response, project: str, value: str, seconds: int) -> None:
    """Two cookies: browsers refuse SameSite=None without TLS, and take the plain one then."""
    expires = formatdate(time.time() + seconds if seconds else 0, usegmt=True)
    for name, suffix in ((f"a_session_{project}_legacy", ""), (f"a_session_{project}", "; SameSite=None")):
        cookie = f"{name}={value}; expires={expires}; Max-Age={seconds}; path=/; HttpOnly{suffix}"
        response.raw_headers.append((b"set-cookie", cookie.encode("latin-1")))


async def _newcomer(request: Request) -> Caller:
    """Someone who may sign in. Raises user_session_already_exists for one who is."""
    caller = await authenticate(request)
    caller.require_scope("sessions.write")
    if caller.kind == "user":
        raise AppwriteError(
            "user_session_already_exists", "Creation of a session is prohibited when a session is active."
        )
    return caller


async def _myself(request: Request) -> tuple[Server, Caller, sqlite3.Row]:
    caller = await authenticate(request)
    caller.require_scope("account")
    server = server_of(request)
    return server, caller, accounts.find_user(server.db, caller.user_id)


def _session(request: Request, server: Server, caller: Caller) -> sqlite3.Row:
    session_id = request.path_params["session"]
    if session_id == "current":
        session_id = caller.session_id
    return accounts.find_session(server.db, caller.user_id, session_id)


def _changed(server: Server, user: sqlite3.Row, *path: str) -> dict[str, Any]:
    """Tell the listeners; returns the user as shown."""
    shown = accounts.show_user(user)
    server.bus.publish(user_event(user["id"], *path, payload=shown))
    return shown


def _credentials(body: wire.Body) -> tuple[str, str]:
    for name in ("email", "password"):
        if body.get(name) is None:
            raise wire.missing(name)
    return accounts.checked_email(body["email"]), accounts.checked_password(body["password"])


def _bad_credentials() -> AppwriteError:
    return AppwriteError("user_invalid_credentials", "Invalid credentials. Please check the email and password.")

"""Teams and memberships: the roles `team:ID`, `team:ID/role` and `member:ID`. Invitations by mail are not sent."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import accounts, clock, wire
from emulator.auth import Caller, authenticate
from emulator.database import pack, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.events import membership_event, team_event
from emulator.listing import View, page
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS teams (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefs TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""

_TEAMS = View("teams", {"name": ("name", "string")})
_MEMBERSHIPS = View(
    "memberships", {"userId": ("user_id", "string"), "teamId": ("team_id", "string")}, ("id", "user_id")
)


async def create(request: Request) -> Response:
    """POST /teams: the user who makes it owns it."""
    server, caller, body = await _begin(request, "teams.write")
    team_id = wire.new_id(body, "teamId")
    name = wire.text(body, "name", longest=128)
    roles = _roles([*(_roles(body.get("roles") or [])), "owner"])
    now = clock.now_text()
    with server.db.transaction() as connection:
        try:
            connection.execute(
                "INSERT INTO teams (id, name, created_at, updated_at) VALUES (?, ?, ?, ?)", (team_id, name, now, now)
            )
        except sqlite3.IntegrityError:
            raise AppwriteError("team_already_exists", f"Team '{team_id}' already exists.") from None
        if caller.user_id:
            _add_member(server, team_id, caller.user_id, roles)
    return wire.reply(_published(server, "create", _team(server, team_id)), 201)


async def list_teams(request: Request) -> Response:
    """GET /teams: all for a key, its own for a user."""
    server, caller, _ = await _begin(request, "teams.read")
    own = "id IN (SELECT team_id FROM memberships WHERE user_id = ? AND confirmed)"
    where, values = ("1", []) if caller.is_key else (own, [caller.user_id])
    total, rows = page(request, server.db, _TEAMS, where, values)
    return wire.reply({"total": total, "teams": [_shown(server, row) for row in rows]})


async def get(request: Request) -> Response:
    """GET /teams/{team}"""
    server, caller, _ = await _begin(request, "teams.read")
    return wire.reply(_shown(server, _visible(server, caller, request)))


async def update(request: Request) -> Response:
    """PUT /teams/{team}: its name, by an owner."""
    server, caller, body = await _begin(request, "teams.write")
    team = _owned(server, caller, request)
    name = wire.text(body, "name", longest=128)
    with server.db.transaction() as connection:
        connection.execute(
            "UPDATE teams SET name = ?, updated_at = ? WHERE id = ?", (name, clock.now_text(), team["id"])
        )
    return wire.reply(_published(server, "update", _team(server, team["id"])))


async def get_prefs(request: Request) -> Response:
    """GET /teams/{team}/prefs"""
    server, caller, _ = await _begin(request, "teams.read")
    return wire.reply(unpack(_visible(server, caller, request)["prefs"]))


async def update_prefs(request: Request) -> Response:
    """PUT /teams/{team}/prefs: replaces them all, by an owner."""
    server, caller, body = await _begin(request, "teams.write")
    team = _owned(server, caller, request)
    stored = accounts.as_json(body.get("prefs"), "prefs")
    with server.db.transaction() as connection:
        connection.execute(
            "UPDATE teams SET prefs = ?, updated_at = ? WHERE id = ?", (stored, clock.now_text(), team["id"])
        )
    return wire.reply(_published(server, "update", _team(server, team["id"]))["prefs"])


async def delete(request: Request) -> Response:
    """DELETE /teams/{team}: by an owner."""
    server, caller, _ = await _begin(request, "teams.write")
    team = _owned(server, caller, request)
    shown = _shown(server, team)
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM memberships WHERE team_id = ?", (team["id"],))
        connection.execute("DELETE FROM teams WHERE id = ?", (team["id"],))
    server.bus.publish(team_event(team["id"], action="delete", payload=shown))
    return wire.no_content()


async def create_membership(request: Request) -> Response:
    """POST /teams/{team}/memberships: a key adds a user at once, also a new one by email; clients would need a mail."""
    server, caller, body = await _begin(request, "teams.write")
    team = _owned(server, caller, request)
    if not caller.is_key:
        raise AppwriteError("general_smtp_disabled", "This server sends no mail: add members with an API key.")
    roles = _roles(body.get("roles"))
    with server.db.transaction():
        membership_id = _add_member(server, team["id"], _invited(server, body)["id"], roles)
    return wire.reply(_membership_published(server, "create", _membership(server, team["id"], membership_id)), 201)


async def list_memberships(request: Request) -> Response:
    """GET /teams/{team}/memberships"""
    server, caller, _ = await _begin(request, "teams.read")
    return show_memberships(request, server, "team_id = ?", _visible(server, caller, request)["id"])


async def get_membership(request: Request) -> Response:
    """GET /teams/{team}/memberships/{membership}"""
    server, caller, _ = await _begin(request, "teams.read")
    team = _visible(server, caller, request)
    return wire.reply(_membership_shown(server, _membership(server, team["id"], request.path_params["membership"])))


async def update_membership(request: Request) -> Response:
    """PATCH /teams/{team}/memberships/{membership}: its roles, by an owner."""
    server, caller, body = await _begin(request, "teams.write")
    team = _owned(server, caller, request)
    member = _membership(server, team["id"], request.path_params["membership"])
    with server.db.transaction() as connection:
        connection.execute(
            "UPDATE memberships SET roles = ?, updated_at = ? WHERE id = ?",
            (pack(_roles(body.get("roles"))), clock.now_text(), member["id"]),
        )
    return wire.reply(_membership_published(server, "update", _membership(server, team["id"], member["id"])))


async def delete_membership(request: Request) -> Response:
    """DELETE /teams/{team}/memberships/{membership}: by an owner, or by the member."""
    server, caller, _ = await _begin(request, "teams.write")
    team = _visible(server, caller, request)
    member = _membership(server, team["id"], request.path_params["membership"])
    if member["user_id"] != caller.user_id:
        _owned(server, caller, request)
    shown = _membership_shown(server, member)
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM memberships WHERE id = ?", (member["id"],))
    server.bus.publish(membership_event(team["id"], member["id"], action="delete", payload=shown))
    return wire.no_content()


def show_memberships(request: Request, server: Server, where: str, value: str) -> Response:
    """The memberships of one team or one user, as the request's queries want them."""
    total, rows = page(request, server.db, _MEMBERSHIPS, where, [value])
    return wire.reply({"total": total, "memberships": [_membership_shown(server, row) for row in rows]})


def _invited(server: Server, body: wire.Body) -> sqlite3.Row:
    """The user a server names by id or email; an email nobody has makes a user. Raises user_not_found."""
    if body.get("userId"):
        return accounts.find_user(server.db, wire.existing_id(body["userId"], "userId"))
    email = accounts.checked_email(body.get("email"))
    known = server.db.one("SELECT * FROM users WHERE email = ?", (email,))
    name = wire.text(body, "name", longest=128, default="", shortest=0)
    return known or accounts.create_user(server.db, wire.unique_id(), name=name, email=email, seen=False)


def _add_member(server: Server, team_id: str, user_id: str, roles: list[str]) -> str:
    membership_id, now = wire.unique_id(), clock.now_text()
    try:
        server.db.connection.execute(
            "INSERT INTO memberships (id, team_id, user_id, roles, confirmed, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, 1, ?, ?)",
            (membership_id, team_id, user_id, pack(roles), now, now),
        )
    except sqlite3.IntegrityError:
        raise AppwriteError("membership_already_confirmed", "The user is a member of this team already.") from None
    return membership_id


def _team(server: Server, team_id: str) -> sqlite3.Row:
    row = server.db.one("SELECT * FROM teams WHERE id = ?", (team_id,))
    if row is None:
        raise AppwriteError("team_not_found", f"Team with the requested ID '{team_id}' could not be found.")
    return row


def _visible(server: Server, caller: Caller, request: Request) -> sqlite3.Row:
    """The team of the path, where the caller is a member. Raises team_not_found."""
    team = _team(server, request.path_params["team"])
    if not caller.is_key and f"team:{team['id']}" not in caller.roles:
        raise AppwriteError("team_not_found", f"Team with the requested ID '{team['id']}' could not be found.")
    return team


def _owned(server: Server, caller: Caller, request: Request) -> sqlite3.Row:
    """The team of the path, where the caller may change it. Raises user_unauthorized."""
    team = _visible(server, caller, request)
    if not caller.is_key and f"team:{team['id']}/owner" not in caller.roles:
        raise AppwriteError("user_unauthorized", "Only an owner may change the team.")
    return team


def _membership(server: Server, team_id: str, membership_id: str) -> sqlite3.Row:
    row = server.db.one("SELECT * FROM memberships WHERE id = ? AND team_id = ?", (membership_id, team_id))
    if row is None:
        raise AppwriteError("membership_not_found", f"Membership '{membership_id}' could not be found.")
    return row


def _shown(server: Server, team: sqlite3.Row) -> dict[str, Any]:
    members = server.db.one("SELECT count(*) AS n FROM memberships WHERE team_id = ? AND confirmed", (team["id"],))
    assert members is not None
    return {
        "$id": team["id"],
        "$createdAt": team["created_at"],
        "$updatedAt": team["updated_at"],
        "name": team["name"],
        "total": members["n"],
        "prefs": unpack(team["prefs"]),
    }


def _membership_shown(server: Server, member: sqlite3.Row) -> dict[str, Any]:
    user = accounts.find_user(server.db, member["user_id"])
    return {
        "$id": member["id"],
        "$createdAt": member["created_at"],
        "$updatedAt": member["updated_at"],
        "userId": user["id"],
        "userName": user["name"],
        "userEmail": user["email"] or "",
        "userPhone": user["phone"] or "",
        "teamId": member["team_id"],
        "teamName": _team(server, member["team_id"])["name"],
        "invited": member["created_at"],
        "joined": member["created_at"],
        "confirm": bool(member["confirmed"]),
        "mfa": False,
        "userAccessedAt": "",
        "roles": unpack(member["roles"]),
    }


def _published(server: Server, action: str, team: sqlite3.Row) -> dict[str, Any]:
    shown = _shown(server, team)
    server.bus.publish(team_event(team["id"], action=action, payload=shown))
    return shown


def _membership_published(server: Server, action: str, member: sqlite3.Row) -> dict[str, Any]:
    shown = _membership_shown(server, member)
    server.bus.publish(membership_event(member["team_id"], member["id"], action=action, payload=shown))
    return shown


def _roles(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > 100 or not all(wire.id_is_valid(role) for role in value):
        raise invalid_argument("roles", "Value must be a list of at most 100 role names")
    return list(dict.fromkeys(value))


async def _begin(request: Request, scope: str) -> tuple[Server, Caller, wire.Body]:
    caller = await authenticate(request)
    caller.require_scope(scope)
    return server_of(request), caller, await wire.json_body(request)

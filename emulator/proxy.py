"""Rules that give functions domains: recorded for the official command line; no request is served by its domain."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, functions, wire
from emulator.auth import authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.listing import View, page
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS rules (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, domain TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
    trigger TEXT NOT NULL, resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, status TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""
HOST = "localhost"
FUNCTIONS_DOMAIN = f"functions.{HOST}"

_DOMAIN = re.compile(r"^(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+$")
_RULES = View(
    "rules",
    {
        "domain": ("domain", "string"), "type": ("type", "string"), "trigger": ("trigger", "string"),
        "deploymentResourceType": ("resource_type", "string"), "deploymentResourceId": ("resource_id", "string"),
        "status": ("status", "string"),
    },
    search=("id", "domain"),
)  # fmt: skip


async def create_function_rule(request: Request) -> Response:
    """POST /proxy/rules/function."""
    server = await _server_for(request, "rules.write")
    body = await wire.json_body(request)
    domain = wire.text(body, "domain", longest=253).lower()
    if _DOMAIN.match(domain) is None:
        raise invalid_argument("domain", "Value must be a valid domain.")
    function = functions.find(server, wire.existing_id(body.get("functionId"), "functionId"))
    rule_id, now = wire.unique_id(), clock.now_text()
    try:
        with server.db.transaction() as connection:
            connection.execute(
                "INSERT INTO rules (id, domain, type, trigger, resource_type, resource_id, status, created_at,"
                " updated_at) VALUES (?, ?, 'deployment', 'manual', 'function', ?, 'created', ?, ?)",
                (rule_id, domain, function["id"], now, now),
            )
    except sqlite3.IntegrityError:
        raise AppwriteError("rule_already_exists", "A rule with this domain exists already.") from None
    return wire.reply(_shape(_find(server, rule_id)), 201)


async def list_rules(request: Request) -> Response:
    """GET /proxy/rules."""
    server = await _server_for(request, "rules.read")
    total, rows = page(request, server.db, _RULES)
    return wire.reply({"total": total, "rules": [_shape(row) for row in rows]})


async def get_rule(request: Request) -> Response:
    """GET /proxy/rules/{ruleId}."""
    server = await _server_for(request, "rules.read")
    return wire.reply(_shape(_find(server, request.path_params["ruleId"])))


async def delete_rule(request: Request) -> Response:
    """DELETE /proxy/rules/{ruleId}."""
    server = await _server_for(request, "rules.write")
    rule = _find(server, request.path_params["ruleId"])
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM rules WHERE id = ?", (rule["id"],))
    return wire.no_content()


async def _server_for(request: Request, scope: str) -> Server:
    (await authenticate(request)).require_scope(scope)
    return server_of(request)


def _find(server: Server, rule_id: str) -> sqlite3.Row:
    row = server.db.one("SELECT * FROM rules WHERE id = ?", (rule_id,))
    if row is None:
        raise AppwriteError("rule_not_found", "Rule with the requested ID could not be found.")
    return row


def _shape(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"], "domain": row["domain"],
        "type": row["type"], "trigger": row["trigger"], "redirectUrl": "", "redirectStatusCode": 0,
        "deploymentId": "", "deploymentResourceType": row["resource_type"], "deploymentResourceId": row["resource_id"],
        "deploymentVcsProviderBranch": "", "status": row["status"], "logs": "", "renewAt": "",
    }  # fmt: skip

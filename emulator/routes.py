"""Every route this server serves, on one screen."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from emulator import (
    account,
    buckets,
    bulk,
    contents,
    deployments,
    executions,
    files,
    functions,
    proxy,
    rows,
    tables,
    teams,
    tokens,
    transactions,
    users,
    wire,
)
from emulator.auth import authenticate
from emulator.columns import KINDS
from emulator.families import both


async def ping(request: Request) -> Response:  # noqa: ARG001 - every handler takes the request
    """The clients' connection test."""
    return Response(b"Pong!", headers={"content-type": "text/plain; charset=UTF-8"})


async def health(request: Request) -> Response:
    """That the server answers."""
    (await authenticate(request)).require_scope("health.read")
    return wire.reply({"name": "http", "ping": 0, "status": "pass"})


async def health_version(request: Request) -> Response:  # noqa: ARG001 - every handler takes the request
    """The version of Appwrite whose behaviour this server keeps."""
    return wire.reply({"version": wire.VERSION})


_BUCKET = "/storage/buckets/{bucketId}"
_FILE = _BUCKET + "/files/{fileId}"
_FILE_TOKENS = "/tokens/buckets/{bucketId}/files/{fileId}"
_FUNCTION = "/functions/{functionId}"
_DEPLOYMENT = _FUNCTION + "/deployments/{deploymentId}"
_DATABASE = "/tablesdb/{database}"
_TABLE = _DATABASE + "/tables/{table}"
_ROW = _TABLE + "/rows/{row}"

# Paths of /tablesdb; each is served below /databases too, in the words of that family.
_TWO_FAMILIES: list[tuple[str, str, wire.Handler]] = [
    ("POST", "/tablesdb/transactions", transactions.create),
    ("GET", "/tablesdb/transactions", transactions.list_all),
    ("GET", "/tablesdb/transactions/{transaction}", transactions.get),
    ("PATCH", "/tablesdb/transactions/{transaction}", transactions.update),
    ("DELETE", "/tablesdb/transactions/{transaction}", transactions.delete),
    ("POST", "/tablesdb/transactions/{transaction}/operations", transactions.create_operations),
    ("POST", "/tablesdb", tables.create_database),
    ("GET", "/tablesdb", tables.list_databases),
    ("GET", _DATABASE, tables.get_database),
    ("PUT", _DATABASE, tables.update_database),
    ("DELETE", _DATABASE, tables.delete_database),
    ("POST", _DATABASE + "/tables", tables.create_table),
    ("GET", _DATABASE + "/tables", tables.list_tables),
    ("GET", _TABLE, tables.get_table),
    ("PUT", _TABLE, tables.update_table),
    ("DELETE", _TABLE, tables.delete_table),
    *(("POST", f"{_TABLE}/columns/{kind}", tables.create_column(kind)) for kind in KINDS),
    *(("PATCH", f"{_TABLE}/columns/{kind}/{{key}}", tables.update_column(kind)) for kind in KINDS),
    ("GET", _TABLE + "/columns", tables.list_columns),
    ("GET", _TABLE + "/columns/{key}", tables.get_column),
    ("DELETE", _TABLE + "/columns/{key}", tables.delete_column),
    ("POST", _TABLE + "/indexes", tables.create_index),
    ("GET", _TABLE + "/indexes", tables.list_indexes),
    ("GET", _TABLE + "/indexes/{key}", tables.get_index),
    ("DELETE", _TABLE + "/indexes/{key}", tables.delete_index),
    ("POST", _TABLE + "/rows", rows.create),
    ("GET", _TABLE + "/rows", rows.list_rows),
    ("PUT", _TABLE + "/rows", bulk.upsert),
    ("PATCH", _TABLE + "/rows", bulk.update),
    ("DELETE", _TABLE + "/rows", bulk.delete),
    ("GET", _ROW, rows.get),
    ("PUT", _ROW, rows.upsert),
    ("PATCH", _ROW, rows.update),
    ("DELETE", _ROW, rows.delete),
    ("PATCH", _ROW + "/{column}/increment", rows.increment),
    ("PATCH", _ROW + "/{column}/decrement", rows.decrement),
]

ROUTES: list[tuple[str, str, wire.Handler]] = [
    ("GET", "/ping", ping),
    ("GET", "/health", health),
    ("GET", "/health/version", health_version),
    ("POST", "/account", account.create),
    ("GET", "/account", account.get),
    ("GET", "/account/prefs", account.get_prefs),
    ("PATCH", "/account/prefs", account.update_prefs),
    ("PATCH", "/account/name", account.update_name),
    ("PATCH", "/account/email", account.update_email),
    ("PATCH", "/account/password", account.update_password),
    ("PATCH", "/account/phone", account.update_phone),
    ("PATCH", "/account/status", account.block),
    ("POST", "/account/jwts", account.create_jwt),
    ("POST", "/account/jwt", account.create_jwt),
    ("POST", "/account/sessions/email", account.create_email_session),
    ("POST", "/account/sessions/anonymous", account.create_anonymous_session),
    ("POST", "/account/sessions/token", account.create_token_session),
    ("GET", "/account/sessions", account.list_sessions),
    ("DELETE", "/account/sessions", account.delete_sessions),
    ("GET", "/account/sessions/{session}", account.get_session),
    ("PATCH", "/account/sessions/{session}", account.extend_session),
    ("DELETE", "/account/sessions/{session}", account.delete_session),
    ("POST", "/teams", teams.create),
    ("GET", "/teams", teams.list_teams),
    ("GET", "/teams/{team}", teams.get),
    ("PUT", "/teams/{team}", teams.update),
    ("DELETE", "/teams/{team}", teams.delete),
    ("GET", "/teams/{team}/prefs", teams.get_prefs),
    ("PUT", "/teams/{team}/prefs", teams.update_prefs),
    ("POST", "/teams/{team}/memberships", teams.create_membership),
    ("GET", "/teams/{team}/memberships", teams.list_memberships),
    ("GET", "/teams/{team}/memberships/{membership}", teams.get_membership),
    ("PATCH", "/teams/{team}/memberships/{membership}", teams.update_membership),
    ("DELETE", "/teams/{team}/memberships/{membership}", teams.delete_membership),
    ("POST", "/users", users.create),
    ("GET", "/users", users.list_users),
    ("GET", "/users/{user}", users.get),
    ("DELETE", "/users/{user}", users.delete),
    ("PUT", "/users/{user}/labels", users.update_labels),
    ("GET", "/users/{user}/prefs", users.get_prefs),
    ("PATCH", "/users/{user}/prefs", users.update_prefs),
    ("PATCH", "/users/{user}/email", users.update_email),
    ("PATCH", "/users/{user}/phone", users.update_phone),
    ("PATCH", "/users/{user}/password", users.update_password),
    ("PATCH", "/users/{user}/name", users.update_name),
    ("PATCH", "/users/{user}/status", users.update_status),
    ("PATCH", "/users/{user}/verification", users.update_email_verification),
    ("PATCH", "/users/{user}/verification/phone", users.update_phone_verification),
    ("GET", "/users/{user}/memberships", users.list_memberships),
    ("POST", "/users/{user}/sessions", users.create_session),
    ("GET", "/users/{user}/sessions", users.list_sessions),
    ("DELETE", "/users/{user}/sessions", users.delete_sessions),
    ("DELETE", "/users/{user}/sessions/{session}", users.delete_session),
    ("POST", "/users/{user}/tokens", users.create_token),
    ("POST", "/users/{user}/jwts", users.create_jwt),
    *((method, path, handler) for method, twins, handler in _TWO_FAMILIES for path in both(twins)),
    ("POST", "/storage/buckets", buckets.create),
    ("GET", "/storage/buckets", buckets.list_all),
    ("GET", _BUCKET, buckets.get),
    ("PUT", _BUCKET, buckets.update),
    ("DELETE", _BUCKET, buckets.delete),
    ("POST", _BUCKET + "/files", files.create),
    ("GET", _BUCKET + "/files", files.list_all),
    ("GET", _FILE, files.get),
    ("PUT", _FILE, files.update),
    ("DELETE", _FILE, files.delete),
    ("GET", _FILE + "/view", contents.view),
    ("GET", _FILE + "/download", contents.download),
    ("GET", _FILE + "/preview", contents.show_preview),
    ("POST", _FILE_TOKENS, tokens.create),
    ("GET", _FILE_TOKENS, tokens.list_all),
    ("GET", "/tokens/{tokenId}", tokens.get),
    ("PATCH", "/tokens/{tokenId}", tokens.update),
    ("DELETE", "/tokens/{tokenId}", tokens.delete),
    ("POST", "/functions", functions.create),
    ("GET", "/functions", functions.list_all),
    ("GET", _FUNCTION, functions.get),
    ("PUT", _FUNCTION, functions.update),
    ("DELETE", _FUNCTION, functions.delete),
    ("PATCH", _FUNCTION + "/deployment", functions.activate),
    ("POST", _FUNCTION + "/deployments", deployments.create),
    ("GET", _FUNCTION + "/deployments", deployments.list_all),
    ("POST", _FUNCTION + "/deployments/duplicate", deployments.duplicate),
    ("GET", _DEPLOYMENT, deployments.get),
    ("DELETE", _DEPLOYMENT, deployments.delete),
    ("GET", _DEPLOYMENT + "/download", deployments.download),
    ("PATCH", _DEPLOYMENT + "/status", deployments.cancel),
    ("POST", _FUNCTION + "/variables", functions.create_variable),
    ("GET", _FUNCTION + "/variables", functions.list_variables),
    ("GET", _FUNCTION + "/variables/{variableId}", functions.get_variable),
    ("PUT", _FUNCTION + "/variables/{variableId}", functions.update_variable),
    ("DELETE", _FUNCTION + "/variables/{variableId}", functions.delete_variable),
    ("POST", "/proxy/rules/function", proxy.create_function_rule),
    ("GET", "/proxy/rules", proxy.list_rules),
    ("GET", "/proxy/rules/{ruleId}", proxy.get_rule),
    ("DELETE", "/proxy/rules/{ruleId}", proxy.delete_rule),
    ("POST", _FUNCTION + "/executions", executions.create),
    ("GET", _FUNCTION + "/executions", executions.list_all),
    ("GET", _FUNCTION + "/executions/{executionId}", executions.get),
    ("DELETE", _FUNCTION + "/executions/{executionId}", executions.delete),
]

"""The project `console`: who becomes an operator and how, what an operator may do, and what nobody may do there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.requests import Request

from emulator import console
from emulator.errors import AppwriteError

from .conftest import ROOT, Person, Running

ADMIN = {"x-appwrite-mode": "admin"}


def add_operator(data: Path, email: str) -> subprocess.CompletedProcess[str]:
    """The command that makes an operator."""
    command = [sys.executable, "-m", "emulator", "operator", "--data", str(data), "--email", email]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def sign_in(server: Running, email: str, password: str) -> requests.Response:
    """An operator's login, as the CLI sends it."""
    body = {"email": email, "password": password}
    return server.send("POST", "/account/sessions/email", body, x_appwrite_project="console")


@pytest.fixture(scope="module")
def password(server: Running) -> str:
    """The password of ada@example.org, an operator."""
    return add_operator(server.data, "ada@example.org").stdout.strip()


@pytest.fixture(scope="module")
def cookie(server: Running, password: str) -> str:
    """Her cookie, sent back as the CLI does: with the attributes it came with."""
    answer = sign_in(server, "ada@example.org", password)
    assert answer.status_code == 201, answer.text
    lines = answer.raw.headers.getlist("set-cookie")
    (whole,) = (line for line in lines if line.startswith("a_session_console="))
    return str(whole)


def asked(server: Running, cookie: str, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    """What the console answers to an operator."""
    answer = server.send(method, path, body, x_appwrite_project="console", cookie=cookie, **headers)
    assert answer.status_code in (200, 201), answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_an_operator_signs_in_and_sees_who_she_is(server: Running, cookie: str) -> None:
    assert asked(server, cookie, "GET", "/account")["email"] == "ada@example.org"


def test_nobody_signs_up_as_an_operator(server: Running) -> None:
    body = {"userId": "unique()", "email": "eve@example.org", "password": "a long password"}
    answer = server.send("POST", "/account", body, x_appwrite_project="console")

    assert (answer.status_code, answer.json()["type"]) == (501, "user_console_count_exceeded")


def test_no_guest_is_let_into_the_console(server: Running) -> None:
    for path in ("/account", "/console/variables", "/projects", f"/projects/{server.project}"):
        answer = server.send("GET", path, x_appwrite_project="console")
        assert (answer.status_code, answer.json()["type"]) == (401, "general_unauthorized_scope"), path
    answer = server.send("POST", "/account/sessions/anonymous", {}, x_appwrite_project="console")
    assert answer.status_code == 501


def test_operators_sign_in_on_the_servers_own_machine_only() -> None:
    scope = {"type": "http", "method": "POST", "headers": [], "client": ("192.0.2.7", 40000)}

    with pytest.raises(AppwriteError) as refused:
        asyncio.run(console.sign_in(Request(scope)))
    assert refused.value.type == "general_access_forbidden"


def test_an_operator_may_do_in_the_project_what_a_key_may(server: Running, cookie: str) -> None:
    made = server.send("POST", "/tablesdb", {"databaseId": "unique()", "name": "Hers"}, cookie=cookie, **ADMIN)
    path = f"/tablesdb/{made.json()['$id']}"

    assert made.status_code == 201, made.text
    assert server.send("GET", path, x_appwrite_key=server.key).json()["name"] == "Hers"
    assert server.send("DELETE", path, cookie=cookie, **ADMIN).status_code == 204


@pytest.mark.parametrize("sent", ["nothing", "a user's session", "nonsense"])
def test_the_mode_admin_alone_opens_nothing(
    server: Running, person: Callable[..., Person], cookie: str, sent: str
) -> None:
    given = {"nothing": "", "a user's session": person().session, "nonsense": "e30="}[sent]
    headers = {**ADMIN, "cookie": f"a_session_console={given}; a_session_{server.project}={given}"}
    answer = server.send("GET", "/users", **headers)

    assert (answer.status_code, answer.json()["type"]) == (401, "general_unauthorized_scope")


def test_an_operator_without_the_mode_admin_is_a_guest_of_the_project(server: Running, cookie: str) -> None:
    answer = server.send("GET", "/users", cookie=cookie)

    assert (answer.status_code, answer.json()["type"]) == (401, "general_unauthorized_scope")


def test_a_strange_page_may_not_use_an_operators_cookie(server: Running, cookie: str) -> None:
    answer = server.send("GET", "/users", cookie=cookie, origin="https://evil.example", **ADMIN)

    assert (answer.status_code, answer.json()["type"]) == (403, "general_unknown_origin")


def test_a_new_password_ends_the_sessions_of_the_old_one(server: Running) -> None:
    old = add_operator(server.data, "bob@example.org").stdout.strip()
    session = json.loads(sign_in(server, "bob@example.org", old).headers["x-fallback-cookies"])["a_session_console"]
    headers = {"x_appwrite_project": "console", "x_appwrite_session": session}
    assert server.send("GET", "/account", **headers).status_code == 200

    new = add_operator(server.data, "bob@example.org").stdout.strip()

    assert new != old
    assert server.send("GET", "/account", **headers).status_code == 401
    assert sign_in(server, "bob@example.org", old).json()["type"] == "user_invalid_credentials"
    assert sign_in(server, "bob@example.org", new).status_code == 201


def test_an_operator_signs_out(server: Running) -> None:
    secret = add_operator(server.data, "cleo@example.org").stdout.strip()
    cookies = sign_in(server, "cleo@example.org", secret).cookies
    cookie = f"a_session_console={cookies['a_session_console']}"

    ended = server.send("DELETE", "/account/sessions/current", x_appwrite_project="console", cookie=cookie)

    assert ended.status_code == 204
    assert server.send("GET", "/users", cookie=cookie, **ADMIN).status_code == 401


def test_what_cannot_be_an_operator_is_said(server: Running, tmp_path: Path) -> None:
    bad_address = add_operator(server.data, "nobody")
    no_server = add_operator(tmp_path, "ada@example.org")

    assert bad_address.returncode == no_server.returncode == 2
    assert "email" in bad_address.stderr
    assert str(tmp_path) in no_server.stderr


def test_the_console_knows_the_one_project_and_renames_it(server: Running, cookie: str) -> None:
    (listed,) = asked(server, cookie, "GET", "/projects")["projects"]
    path = f"/projects/{server.project}"

    assert listed["$id"] == server.project
    assert asked(server, cookie, "PATCH", path, {"name": "Films"})["name"] == "Films"
    now = asked(server, cookie, "GET", path)
    assert now["name"] == "Films"
    assert {each["$id"] for each in now["services"] if each["enabled"]} >= {"databases", "storage", "functions"}
    old = asked(server, cookie, "GET", path, x_appwrite_response_format="1.8.0")
    assert old["serviceStatusForStorage"] is True
    assert old["serviceStatusForMessaging"] is False
    assert "services" not in old


def test_unknown_and_unserved_things_of_the_console_are_told_apart(server: Running, cookie: str) -> None:
    def kind(method: str, path: str) -> tuple[int, str]:
        answer = server.send(method, path, {}, x_appwrite_project="console", cookie=cookie)
        return answer.status_code, answer.json()["type"]

    assert kind("GET", "/projects/none") == (404, "project_not_found")
    assert kind("POST", "/projects") == (501, "general_not_implemented")
    assert kind("GET", "/tablesdb") == (501, "general_not_implemented")
    assert kind("GET", "/nonsense") == (404, "general_route_not_found")
    assert kind("PATCH", f"/projects/{server.project}") == (400, "general_argument_invalid")


def test_a_functions_rule_is_kept_listed_and_deleted(server: Running) -> None:
    def call(method: str, path: str, body: object = None) -> requests.Response:
        return server.send(method, path, body, x_appwrite_key=server.key)

    function = {"functionId": "ruled", "name": "Ruled", "runtime": "python-3.12"}
    assert call("POST", "/functions", function).status_code == 201
    wanted = {"domain": "ruled.functions.localhost", "functionId": "ruled"}
    made = call("POST", "/proxy/rules/function", wanted)
    queries = [
        {"method": "equal", "attribute": "deploymentResourceId", "values": ["ruled"]},
        {"method": "equal", "attribute": "trigger", "values": ["manual"]},
    ]
    query = "&".join(f"queries[{i}]={json.dumps(each)}" for i, each in enumerate(queries))

    assert made.status_code == 201, made.text
    assert call("GET", f"/proxy/rules?{query}").json() == {"total": 1, "rules": [made.json()]}
    assert call("POST", "/proxy/rules/function", wanted).json()["type"] == "rule_already_exists"
    assert call("POST", "/proxy/rules/function", wanted | {"functionId": "no"}).json()["type"] == "function_not_found"
    assert call("POST", "/proxy/rules/function", wanted | {"domain": "a b"}).status_code == 400
    assert call("DELETE", f"/proxy/rules/{made.json()['$id']}").status_code == 204
    assert call("GET", f"/proxy/rules/{made.json()['$id']}").json()["type"] == "rule_not_found"
    assert server.send("GET", "/proxy/rules").status_code == 401


def test_a_deleted_function_takes_its_rules_along(server: Running) -> None:
    def call(method: str, path: str, body: object = None) -> requests.Response:
        return server.send(method, path, body, x_appwrite_key=server.key)

    call("POST", "/functions", {"functionId": "brief", "name": "Brief", "runtime": "python-3.12"})
    rule = call("POST", "/proxy/rules/function", {"domain": "brief.functions.localhost", "functionId": "brief"}).json()

    assert call("DELETE", "/functions/brief").status_code == 204
    assert call("GET", f"/proxy/rules/{rule['$id']}").status_code == 404

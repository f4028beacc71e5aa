"""Accounts and sessions: the ways to sign in, to prove it later, and to leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests
from appwrite.exception import AppwriteException
from appwrite.query import Query
from appwrite.services.account import Account
from appwrite.services.tables_db import TablesDB
from appwrite.services.users import Users

from .conftest import Person, Running, hear, hears_nothing

PASSWORD = "correct horse battery"


def sign_up(server: Running, email: str) -> dict[str, Any]:
    """A user made by itself."""
    answer = server.send("POST", "/account", {"userId": "unique()", "email": email, "password": PASSWORD})
    assert answer.status_code == 201
    body: dict[str, Any] = answer.json()
    return body


def anonymous(server: Running) -> tuple[dict[str, Any], str, str]:
    """An anonymous session as shown, its cookie and its fallback cookies."""
    answer = server.send("POST", "/account/sessions/anonymous", {})
    assert answer.status_code == 201
    name = f"a_session_{server.project}"
    return answer.json(), f"{name}={answer.cookies[name]}", answer.headers["x-fallback-cookies"]


def test_an_anonymous_user_is_known_by_cookie_header_and_fallback_cookies(server: Running) -> None:
    session, cookie, fallback = anonymous(server)
    value = json.loads(fallback)[f"a_session_{server.project}"]
    assert session["secret"] == "", "a browser's script must not see it"
    for headers in (
        {"cookie": cookie},
        {"cookie": cookie.replace("=", "_legacy=", 1)},
        {"x_fallback_cookies": fallback},
        {"x_appwrite_session": value},
    ):
        account = server.send("GET", "/account", **headers).json()
        assert (account["$id"], account["email"]) == (session["userId"], "")


def test_the_session_cookie_is_hidden_from_scripts_and_lasts_a_year(server: Running) -> None:
    answer = server.send("POST", "/account/sessions/anonymous", {})
    plain, crossing = answer.raw.headers.getlist("set-cookie")
    assert plain.startswith(f"a_session_{server.project}_legacy=")
    assert crossing.endswith("HttpOnly; SameSite=None")
    assert all("HttpOnly" in cookie and "Max-Age=31536000" in cookie for cookie in (plain, crossing))


def test_an_email_account_signs_in_with_its_password_only(server: Running) -> None:
    user = sign_up(server, "ann@example.test")
    assert user["email"] == "ann@example.test"
    good = server.send("POST", "/account/sessions/email", {"email": "ANN@example.test", "password": PASSWORD})
    assert (good.status_code, good.json()["userId"]) == (201, user["$id"])
    for wrong in ({"email": "ann@example.test", "password": "wrong password"},
                  {"email": "nobody@example.test", "password": PASSWORD}):  # fmt: skip
        answer = server.send("POST", "/account/sessions/email", wrong)
        assert (answer.status_code, answer.json()["type"]) == (401, "user_invalid_credentials")


def test_a_second_account_with_the_same_address_is_refused(server: Running) -> None:
    sign_up(server, "twice@example.test")
    answer = server.send(
        "POST", "/account", {"userId": "unique()", "email": "Twice@example.test", "password": PASSWORD}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "user_already_exists")


def test_passwords_are_never_kept_as_text(server: Running) -> None:
    sign_up(server, "secret@example.test")
    stored = b"".join(file.read_bytes() for file in server.data.glob("emulator.sqlite*"))
    assert b"secret@example.test" in stored
    assert PASSWORD.encode() not in stored


def test_signing_in_twice_in_one_browser_is_refused(server: Running) -> None:
    _, cookie, _ = anonymous(server)
    answer = server.send("POST", "/account/sessions/anonymous", {}, cookie=cookie)
    assert (answer.status_code, answer.json()["type"]) == (401, "user_session_already_exists")


def test_signing_out_ends_the_session_and_its_tokens(server: Running) -> None:
    _, cookie, _ = anonymous(server)
    token = server.send("POST", "/account/jwts", {}, cookie=cookie).json()["jwt"]
    assert server.send("GET", "/account", x_appwrite_jwt=token).status_code == 200
    left = server.send("DELETE", "/account/sessions/current", cookie=cookie)
    assert (left.status_code, left.content) == (204, b"")
    assert left.headers["content-type"].startswith("text/plain")
    assert server.send("GET", "/account", cookie=cookie).json()["type"] == "general_unauthorized_scope"
    assert server.send("GET", "/account", x_appwrite_jwt=token).json()["type"] == "user_jwt_invalid"


@pytest.mark.parametrize("forged", ["", "a.b.c", "none", "other"])
def test_a_token_this_server_did_not_sign_is_refused(
    server: Running, person: Callable[..., Person], forged: str
) -> None:
    claims = {"userId": person().id, "sessionId": "", "exp": 4_000_000_000}
    token = {
        "none": jwt.encode(claims, "", algorithm="none"),
        "other": jwt.encode(claims, "another secret of at least 32 bytes", algorithm="HS256"),
    }.get(forged, forged or "x")
    answer = server.send("GET", "/account", x_appwrite_jwt=token)
    assert (answer.status_code, answer.json()["type"]) == (401, "user_jwt_invalid")


def test_a_token_of_a_user_serves_as_that_user(server: Running, person: Callable[..., Person]) -> None:
    someone = person()
    token = server.send("POST", "/account/jwts", {}, x_appwrite_session=someone.session).json()["jwt"]
    assert Account(server.client(jwt=token)).get().id == someone.id


@pytest.mark.parametrize("value", ["AAAA", "%%%", "e30=", "bnVsbA==", "eyJpZCI6MSwic2VjcmV0IjoyfQ=="])
def test_a_session_that_is_none_makes_a_guest(server: Running, value: str) -> None:
    answer = server.send("GET", "/account", x_appwrite_session=value)
    assert (answer.status_code, answer.json()["type"]) == (401, "general_unauthorized_scope")


def test_preferences_are_kept(person: Callable[..., Person]) -> None:
    someone = person()
    someone.account.update_prefs({"theme": "dark", "n": 1})
    assert someone.account.get_prefs().data == {"theme": "dark", "n": 1}
    assert someone.account.update_name("Zoë").name == "Zoë"


def test_an_anonymous_user_can_become_a_lasting_one(server: Running) -> None:
    session, cookie, _ = anonymous(server)
    answer = server.send(
        "PATCH", "/account/email", {"email": "stays@example.test", "password": PASSWORD}, cookie=cookie
    )
    assert (answer.status_code, answer.json()["$id"]) == (200, session["userId"])
    again = server.send("POST", "/account/sessions/email", {"email": "stays@example.test", "password": PASSWORD})
    assert again.json()["userId"] == session["userId"]


def test_a_user_changes_address_number_and_password_with_its_password(
    server: Running, person: Callable[..., Person]
) -> None:
    someone = person(email="moves@example.test", password=PASSWORD)
    account = someone.account
    assert account.update_email("moved@example.test", PASSWORD).email == "moved@example.test"
    assert account.update_phone("+4930123456", PASSWORD).phone == "+4930123456"
    assert account.update_password("another battery", PASSWORD).id == someone.id
    attempts: list[Callable[[], object]] = [
        lambda: account.update_phone("+4930123457", PASSWORD),
        lambda: account.update_email("again@example.test", PASSWORD),
        lambda: account.update_password("third battery", PASSWORD),
    ]
    for call in attempts:
        with pytest.raises(AppwriteException) as refused:
            call()
        assert (refused.value.code, refused.value.type) == (401, "user_invalid_credentials")
    again = {"email": "moved@example.test", "password": "another battery"}
    assert server.send("POST", "/account/sessions/email", again).status_code == 201


def test_an_address_or_number_of_another_user_is_refused(server: Running, person: Callable[..., Person]) -> None:
    person(email="first@example.test", phone="+4930000001")
    second = person(email="second@example.test", phone="+4930000002")
    users = Users(server.client(key=server.key))
    with pytest.raises(AppwriteException) as refused:
        users.update_email(second.id, "first@example.test")
    assert (refused.value.code, refused.value.type) == (409, "user_email_already_exists")
    with pytest.raises(AppwriteException) as refused:
        users.update_phone(second.id, "+4930000001")
    assert (refused.value.code, refused.value.type) == (409, "user_phone_already_exists")
    for number in ("030123456", "+0301234567", "+49 30 123456", "+493012345678901234"):
        with pytest.raises(AppwriteException) as refused:
            users.update_phone(second.id, number)
        assert (refused.value.code, refused.value.type) == (400, "general_argument_invalid")


def test_a_user_who_leaves_is_blocked_until_a_server_lets_it_in(server: Running, person: Callable[..., Person]) -> None:
    someone = person()
    left = server.send("PATCH", "/account/status", {}, x_appwrite_session=someone.session)
    assert (left.status_code, left.json()["status"], left.headers["x-fallback-cookies"]) == (200, False, "{}")
    with pytest.raises(AppwriteException) as refused:
        someone.account.get()
    assert refused.value.type == "user_blocked"
    Users(server.client(key=server.key)).update_status(someone.id, True)
    assert someone.account.get().id == someone.id


def test_an_open_socket_of_a_user_who_is_blocked_hears_no_more(
    server: Running, admin: TablesDB, person: Callable[..., Person]
) -> None:
    someone = person()
    admin.create("blocked_db", "Blocked")
    admin.create_table("blocked_db", "notes", "Notes", row_security=True, columns=[{"key": "n", "type": "integer"}])
    granted = [f'read("user:{someone.id}")']
    row = admin.create_row("blocked_db", "notes", "one", {"n": 1}, permissions=granted)
    with server.socket("&channels[]=rows", x_appwrite_session=someone.session) as socket:
        assert hear(socket)["type"] == "connected"
        admin.update_row("blocked_db", "notes", row.id, {"n": 2})
        assert hear(socket)["data"]["payload"]["n"] == 2
        Users(server.client(key=server.key)).update_status(someone.id, False)
        admin.update_row("blocked_db", "notes", row.id, {"n": 3})
        assert hears_nothing(socket)
    admin.delete("blocked_db")


@pytest.mark.parametrize("labels", ["vip", ["v i p"], ["vip\n"], ["größe"], [""], ["x" * 37], [1], None])
def test_a_label_that_is_none_is_refused(server: Running, person: Callable[..., Person], labels: object) -> None:
    answer = server.send("PUT", f"/users/{person().id}/labels", {"labels": labels}, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


def test_a_server_finds_users_by_search_query_and_page(server: Running, person: Callable[..., Person]) -> None:
    ids = [person(name=f"Findable {number}", email=f"find{number}@example.test").id for number in range(3)]
    users = Users(server.client(key=server.key))
    found = users.list(search="findable", queries=[Query.order_desc("name"), Query.limit(2)])
    assert (found.total, [each.id for each in found.users]) == (3, ids[:0:-1])
    by_mail = users.list(queries=[Query.equal("email", ["find1@example.test"])])
    assert [each.id for each in by_mail.users] == [ids[1]]
    users.update_status(ids[0], False)
    blocked = users.list(search="findable", queries=[Query.equal("status", [False])])
    assert [each.id for each in blocked.users] == [ids[0]]


def test_a_server_ends_one_session_of_a_user_and_its_socket_hears_of_it(
    server: Running, person: Callable[..., Person]
) -> None:
    someone = person()
    users = Users(server.client(key=server.key))
    other = users.create_session(someone.id)
    with server.socket("&channels[]=account", x_appwrite_session=someone.session) as socket:
        assert hear(socket)["type"] == "connected"
        users.delete_session(someone.id, other.id)
        events = hear(socket)["data"]["events"]
    assert events[0] == f"users.{someone.id}.sessions.{other.id}.delete"
    assert someone.account.get().id == someone.id
    assert users.list_sessions(someone.id).total == 1


def test_who_names_no_project_means_the_console_where_nobody_signs_up(server: Running) -> None:
    named = {"userId": "unique()", "email": "op@example.test", "password": PASSWORD}
    answer = requests.post(f"{server.endpoint}/account", json=named, timeout=30)
    assert (answer.status_code, answer.json()["type"]) == (501, "user_console_count_exceeded")
    assert requests.get(f"{server.endpoint}/tablesdb", timeout=30).status_code in (401, 404, 501)


def test_a_server_makes_users_and_hands_out_tokens_that_work_once(server: Running) -> None:
    users = Users(server.client(key=server.key))
    user = users.create("unique()", email="made@example.test", password=PASSWORD, name="Made")
    assert users.get(user.id).name == "Made"
    assert user.id in [each.id for each in users.list(search="made@").users]
    secret = users.create_token(user.id).secret
    first, second = (
        server.send("POST", "/account/sessions/token", {"userId": user.id, "secret": secret}) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 401)
    users.delete(user.id)
    with pytest.raises(AppwriteException) as gone:
        users.get(user.id)
    assert gone.value.type == "user_not_found"


def test_a_blocked_user_is_refused(server: Running, person: Callable[..., Person]) -> None:
    someone = person()
    Users(server.client(key=server.key)).update_status(someone.id, False)
    with pytest.raises(AppwriteException) as refused:
        someone.account.get()
    assert (refused.value.code, refused.value.type) == (403, "user_blocked")


@pytest.mark.parametrize(
    "body",
    [
        {"email": "x@example.test", "password": PASSWORD},
        {"userId": "../x", "email": "x@example.test", "password": PASSWORD},
        {"userId": "unique()", "email": "not an address", "password": PASSWORD},
        {"userId": "unique()", "email": "x@example.test\n", "password": PASSWORD},
        {"userId": "unique()", "email": ["x@example.test"], "password": PASSWORD},
        {"userId": "unique()", "email": "x@example.test", "password": "short"},
        {"userId": "unique()", "email": "x@example.test", "password": 12345678},
        {"userId": "unique()", "email": "x@example.test", "password": PASSWORD, "name": {}},
        [],
        None,
    ],
)
def test_a_sign_up_that_makes_no_sense_is_refused(server: Running, body: object) -> None:
    answer = server.send("POST", "/account", body)
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


def test_a_page_of_another_site_may_not_use_the_session(server: Running) -> None:
    _, cookie, _ = anonymous(server)
    foreign = server.send("GET", "/account", cookie=cookie, origin="https://evil.example")
    assert (foreign.status_code, foreign.json()["type"]) == (403, "general_unknown_origin")
    assert "access-control-allow-origin" not in foreign.headers
    local = server.send("GET", "/account", cookie=cookie, origin="http://localhost:5173")
    assert local.status_code == 200
    assert local.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert local.headers["access-control-allow-credentials"] == "true"


def test_a_browser_may_ask_before_it_sends(server: Running) -> None:
    answer = server.send(
        "OPTIONS",
        "/tablesdb/d/tables/t/rows/r",
        origin="http://localhost:5173",
        access_control_request_method="PATCH",
        access_control_request_headers="x-appwrite-timestamp",
    )
    assert answer.status_code == 204
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "X-Appwrite-Timestamp" in answer.headers["access-control-allow-headers"]
    assert "X-Fallback-Cookies" in answer.headers["access-control-expose-headers"]


def test_another_project_is_unknown(server: Running) -> None:
    answer = server.send("GET", "/account", x_appwrite_project="other")
    assert (answer.status_code, answer.json()["type"]) == (404, "project_not_found")


def test_a_route_of_appwrite_that_is_not_served_says_so(server: Running) -> None:
    answer = server.send("POST", "/messaging/messages/email", {})
    assert answer.status_code == 501
    assert "/messaging/messages/email" in answer.json()["message"]
    assert server.send("GET", "/account/mfa/factors").status_code == 501
    for unknown in ("/nosuch", "/account/nosuch", "/account/../users"):
        assert server.send("GET", unknown).json()["type"] in ("general_route_not_found", "user_unauthorized",
                                                             "general_unauthorized_scope")  # fmt: skip

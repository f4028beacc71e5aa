"""Whatever is sent, the answer is one of Appwrite's refusals, nothing is half-written, and the server goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from appwrite.services.tables_db import TablesDB
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.permissions import parse as parse_permission
from emulator.queries import METHODS

from .conftest import Running

KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "size": 20},
    "whole": {"type": "integer"},
    "real": {"type": "float"},
    "flag": {"type": "boolean"},
    "at": {"type": "datetime"},
    "mail": {"type": "email"},
    "link": {"type": "url"},
    "ip": {"type": "ip"},
    "tags": {"type": "string", "size": 20, "array": True},
    "place": {"type": "point"},
}


@pytest.fixture(scope="module")
def bins(admin: TablesDB) -> Iterator[TablesDB]:
    """A table with a column of every kind."""
    admin.create("bins", "Bins")
    columns = [{"key": key, **fields} for key, fields in KINDS.items()]
    admin.create_table("bins", "bin", "Bin", permissions=['create("any")'], row_security=True, columns=columns)
    yield admin
    admin.delete("bins")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2026-01-01", "a@b.example"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ROW = st.fixed_dictionaries(
    {"rowId": st.just("unique()") | JSON},
    optional={
        "data": st.dictionaries(st.sampled_from([*KINDS, "$id", "$createdAt", "nosuch"]), JSON),
        "permissions": JSON,
    },
)  # fmt: skip


def post(server: Running, path: str, body: bytes) -> requests.Response:
    """A raw body, sent with the key."""
    headers = {"x-appwrite-project": server.project, "x-appwrite-key": server.key, "content-type": "application/json"}
    return requests.post(server.endpoint + path, data=body, headers=headers, timeout=10)


@settings(max_examples=200, deadline=None)
@given(body=ROW)
def test_a_row_of_any_json_is_stored_whole_or_refused(server: Running, bins: TablesDB, body: dict[str, Any]) -> None:
    answer = post(server, "/tablesdb/bins/tables/bin/rows", json.dumps(body).encode())
    assert answer.status_code in (201, 400, 401, 409)
    if answer.status_code == 201:
        row_id = answer.json()["$id"]
        assert bins.get_row("bins", "bin", row_id).id == row_id


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tablesdb/bins/tables/bin/columns/string"),
        ("POST", "/tablesdb/bins/tables/bin/indexes"),
        ("POST", "/users"),
        ("PATCH", "/tablesdb/bins/tables/bin/rows"),
    ],
)
def test_any_bytes_for_a_body_are_answered(
    server: Running, bins: TablesDB, method: str, path: str, body: bytes
) -> None:
    headers = {"x-appwrite-project": server.project, "x-appwrite-key": server.key}
    answer = requests.request(method, server.endpoint + path, data=body, headers=headers, timeout=10)
    assert answer.status_code < 500
    assert answer.json().get("type") or answer.status_code < 400


@pytest.mark.parametrize(
    "written",
    [
        '{"rowId":"unique()","data":{"text":"\\ud800"}}',
        '{"rowId":"unique()","data":{"real":NaN}}',
        '{"rowId":"unique()","data":{"real":1e999}}',
        '{"rowId":"unique()","data":{"whole":' + "9" * 5000 + "}}",
        '{"rowId":"unique()","data":{"tags":' + "[" * 100_000 + "]" * 100_000 + "}}",
        '{"rowId":',
        "",
    ],
)
def test_json_that_cannot_be_kept_is_refused(server: Running, bins: TablesDB, written: str) -> None:
    answer = post(server, "/tablesdb/bins/tables/bin/rows", written.encode())
    assert (answer.status_code, answer.json()["type"]) == (400, "row_missing_data")


def test_text_with_every_kind_of_character_comes_back_unchanged(bins: TablesDB) -> None:
    for text in ("\x00\x01", "'; DROP TABLE t; --", "\u202e😀é", '"\\', "\u2028"):
        row = bins.create_row("bins", "bin", "unique()", {"text": text})
        assert bins.get_row("bins", "bin", row.id).data["text"] == text


@pytest.mark.parametrize(
    "path",
    [
        "/tablesdb/..%2f..%2fetc/tables", "/tablesdb/%00/tables", "/tablesdb/" + "a" * 5000, "/tablesdb/%ff%fe",
        "/databases/bins/collections/bin%27%20OR%201=1/documents", "//", "/users/../../x",
        "/tablesdb/bins/tables/%F0%9F",
    ],
)  # fmt: skip
def test_a_path_of_tricks_finds_nothing(server: Running, bins: TablesDB, path: str) -> None:
    headers = {"x-appwrite-project": server.project, "x-appwrite-key": server.key}
    request = requests.Request("GET", server.endpoint, headers=headers).prepare()
    request.url = server.endpoint + path
    answer = requests.Session().send(request, timeout=10)
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("_not_found")


@pytest.mark.parametrize(
    "headers",
    [
        {"cookie": "a_session_scenewright=%%%"},
        {"x-appwrite-session": "W1tbW1tb" * 2000},
        {"x-fallback-cookies": "[" * 20_000},
        {"x-fallback-cookies": '{"a_session_scenewright":5}'},
        {"x-appwrite-response-format": "new"},
        {"x-appwrite-response-format": "1..2"},
    ],
)
def test_headers_that_mean_nothing_make_a_guest(server: Running, headers: dict[str, str]) -> None:
    answer = requests.get(
        server.endpoint + "/account", headers={"x-appwrite-project": server.project, **headers}, timeout=5
    )
    assert (answer.status_code, answer.json()["type"]) == (401, "general_unauthorized_scope")


def test_what_is_asked_in_a_transaction_is_not_done_outside_of_it(server: Running, bins: TablesDB) -> None:
    body = {"rowId": "unique()", "data": {"text": "later"}, "transactionId": "t1"}
    answer = server.send("POST", "/tablesdb/bins/tables/bin/rows", body, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (404, "transaction_not_found")


@pytest.mark.parametrize(
    "fields",
    [{"orders": 5}, {"orders": "ASC"}, {"orders": [{}]}, {"lengths": [{}]}, {"lengths": 1}, {"attributes": [[]]}],
)
def test_an_index_that_makes_no_sense_is_refused(server: Running, bins: TablesDB, fields: dict[str, Any]) -> None:
    body = {"key": "i", "type": "key", "columns": ["whole"], **fields}
    if "attributes" in fields:
        del body["columns"]
    answer = server.send("POST", "/tablesdb/bins/tables/bin/indexes", body, x_appwrite_key=server.key)
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


# ---- any text where an id, a query or a permission belongs

ATTRIBUTE = st.sampled_from([*KINDS, "$id", "$sequence", "nosuch", ""]) | JSON
QUERY = st.fixed_dictionaries(
    {"method": st.sampled_from(sorted(METHODS)) | st.text(max_size=5)},
    optional={"attribute": ATTRIBUTE, "values": st.lists(JSON, max_size=3) | JSON},
)
NESTED = st.recursive(
    QUERY, lambda inner: st.fixed_dictionaries({"method": st.sampled_from(["and", "or"]), "values": st.lists(inner)})
)


@settings(max_examples=80)
@given(queries=st.lists(NESTED.map(json.dumps) | st.text(max_size=30), min_size=1, max_size=3))
def test_any_queries_are_answered(server: Running, bins: TablesDB, queries: list[str]) -> None:
    headers = {"x-appwrite-project": server.project, "x-appwrite-key": server.key}
    asked = {f"queries[{number}]": query for number, query in enumerate(queries)}
    for path in ("/tablesdb/bins/tables/bin/rows", "/users"):
        answer = requests.get(server.endpoint + path, params=asked, headers=headers, timeout=10)
        assert answer.status_code in (200, 400)
        assert answer.json().get("type", "general_query_invalid").startswith("general_")


PERMISSION = st.text(max_size=20) | st.sampled_from(['read("any")', 'write("users")', 'read("user:\\0")'])
NAME = st.sampled_from(["..", "../..", ".", "%2e%2e", "\0", "a\0b", "C:\\x", "~", "a" * 300])


@settings(max_examples=60)
@given(granted=st.lists(PERMISSION, min_size=1))
def test_any_permissions_are_kept_as_such_or_refused(server: Running, bins: TablesDB, granted: list[str]) -> None:
    body = {"rowId": "unique()", "data": {"text": "x"}, "permissions": granted}
    answer = server.send("POST", "/tablesdb/bins/tables/bin/rows", body, x_appwrite_key=server.key)
    assert answer.status_code in (201, 400)
    if answer.status_code == 201:
        assert all(parse_permission(each) for each in answer.json()["$permissions"])


@settings(max_examples=60)
@given(name=st.text(min_size=1, max_size=50) | NAME)
def test_any_text_for_an_id_names_at_most_what_has_this_id(server: Running, bins: TablesDB, name: str) -> None:
    session, headers = requests.Session(), {"x-appwrite-project": server.project, "x-appwrite-key": server.key}
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    for path in ("/tablesdb/bins/tables/bin/rows/{}", "/storage/buckets/{}", "/storage/buckets/{}/files/{}/view",
                 "/users/{}", "/functions/{}/deployments/{}"):  # fmt: skip
        request = requests.Request("GET", server.endpoint, headers=headers).prepare()
        request.url = server.endpoint + path.replace("{}", quoted)
        answer = session.send(request, timeout=10)
        assert answer.status_code in (400, 404)
        assert answer.json()["type"]
    session.close()

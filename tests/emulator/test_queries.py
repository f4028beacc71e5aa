"""Queries through the official client: each method finds what a reader of its name expects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from appwrite.exception import AppwriteException
from appwrite.query import Query
from appwrite.services.tables_db import TablesDB
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Running

ROWS: list[dict[str, Any]] = [
    {"name": "ant", "n": 1, "share": 0.5, "done": True, "tags": ["a", "b"], "at": "2026-01-01T00:00:00.000+00:00"},
    {"name": "bee", "n": 2, "share": 1.5, "done": False, "tags": ["b"], "at": "2026-02-01T00:00:00.000+00:00"},
    {"name": "cat", "n": 3, "share": None, "done": None, "tags": [], "at": None},
    {"name": "dog 100%", "n": None, "share": 2.0, "done": True, "tags": ["c", "a"], "at": "2026-03-01T00:00:00+00:00"},
    {"name": "eel_x", "n": 3, "share": -1.0, "done": False, "tags": ["b", "c"], "at": "2026-04-01T00:00:00.000+00:00"},
]  # fmt: skip


@pytest.fixture(scope="module")
def zoo(admin: TablesDB) -> Iterator[TablesDB]:
    """A table of five animals, ids a to e, readable by everybody."""
    admin.create("zoo", "Zoo")
    admin.create_table(
        "zoo", "animal", "Animal", permissions=['read("any")'],
        columns=[
            {"key": "name", "type": "string", "size": 40, "required": True},
            {"key": "n", "type": "integer"},
            {"key": "share", "type": "float"},
            {"key": "done", "type": "boolean"},
            {"key": "tags", "type": "string", "size": 8, "array": True},
            {"key": "at", "type": "datetime"},
        ],
        indexes=[
            {"key": "by_n", "type": "key", "attributes": ["n"]},
            {"key": "words", "type": "fulltext", "attributes": ["name"]},
        ],
    )  # fmt: skip
    for row_id, data in zip("abcde", ROWS, strict=True):
        admin.create_row("zoo", "animal", row_id, data)
    yield admin
    admin.delete("zoo")


def found(zoo: TablesDB, *queries: str) -> str:
    """The ids of the rows found, in order, as one word."""
    return "".join(row.id for row in zoo.list_rows("zoo", "animal", list(queries)).rows)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Query.equal("n", 3), "ce"),
        (Query.equal("name", ["ant", "cat"]), "ac"),
        (Query.equal("done", True), "ad"),
        (Query.equal("$id", ["b", "d"]), "bd"),
        (Query.not_equal("name", "ant"), "bcde"),
        (Query.less_than("n", 2), "a"),
        (Query.less_than_equal("n", 2), "ab"),
        (Query.greater_than("share", 0.5), "bd"),
        (Query.greater_than_equal("share", 0.5), "abd"),
        (Query.greater_than("at", "2026-02-15T00:00:00Z"), "de"),
        (Query.between("n", 2, 3), "bce"),
        (Query.not_between("n", 2, 3), "ad"),
        (Query.is_null("n"), "d"),
        (Query.is_not_null("at"), "abde"),
        (Query.starts_with("name", "e"), "e"),
        (Query.not_starts_with("name", "e"), "abcd"),
        (Query.ends_with("name", "t"), "ac"),
        (Query.not_ends_with("name", "t"), "bde"),
        (Query.contains("name", ["0%"]), "d"),
        (Query.contains("name", ["l_x"]), "e"),
        (Query.contains("tags", ["b"]), "abe"),
        (Query.contains("tags", ["a", "c"]), "ade"),
        (Query.not_contains("tags", ["b"]), "cd"),
        (Query.contains_all("tags", ["b", "c"]), "e"),
        (Query.search("name", "dog"), "d"),
        (Query.or_queries([Query.equal("name", ["ant"]), Query.equal("n", [2])]), "ab"),
        (Query.and_queries([Query.equal("n", [3]), Query.is_null("at")]), "c"),
        (
            Query.or_queries(
                [Query.equal("n", [1]), Query.and_queries([Query.equal("n", [3]), Query.equal("done", [False])])]
            ),
            "ae",
        ),
        (Query.equal("name", "ANT"), "a"),
        (Query.not_equal("name", "Ant"), "bcde"),
        (Query.exists(["n", "at"]), "abe"),
        (Query.not_exists(["n"]), "d"),
        (Query.created_after("2000-01-01T00:00:00Z"), "abcde"),
        (Query.created_before("2000-01-01T00:00:00Z"), ""),
    ],
)
def test_a_filter_finds_its_rows(zoo: TablesDB, query: str, ids: str) -> None:
    assert found(zoo, query) == ids


@pytest.fixture(scope="module")
def places(zoo: TablesDB) -> TablesDB:
    """A table of three places with a point, a line and an area each, and one of unknown place."""
    columns = [{"key": kind, "type": kind} for kind in ("point", "line", "polygon")]
    zoo.create_table("zoo", "place", "Place", columns=columns)
    for row_id, x in (("a", 0), ("b", 10), ("c", 20)):
        square = [[[x, 0], [x + 4, 0], [x + 4, 4], [x, 4], [x, 0]], [[x + 1, 1], [x + 3, 1], [x + 3, 3], [x + 1, 3]]]
        zoo.create_row("zoo", "place", row_id, {"point": [x, 0], "line": [[x, 0], [x + 4, 4]], "polygon": square})
    zoo.create_row("zoo", "place", "d", {"point": None})
    return zoo


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Query.distance_less_than("point", [1, 0], 112_000, True), "a"),
        (Query.distance_greater_than("point", [1, 0], 112_000, True), "bc"),
        (Query.distance_less_than("point", [1, 0], 9.5, False), "ab"),
        (Query.distance_equal("point", [10, 3], 3, False), "b"),
        (Query.distance_not_equal("point", [10, 3], 3, False), "ac"),
        (Query.distance_less_than("line", [4, 0], 3, False), "a"),
        (Query.distance_less_than("polygon", [2, 2], 0.5, False), ""),
        (Query.distance_equal("polygon", [2, 2], 1, False), "a"),
        (Query.intersects("polygon", [11, 0.5]), "b"),
        (Query.intersects("polygon", [[2, 2], [2, 9]]), "a"),
        (Query.intersects("polygon", [[[-1, -1], [15, -1], [15, 9], [-1, 9]]]), "ab"),
        (Query.intersects("line", [[0, 4], [4, 0]]), "a"),
        (Query.intersects("line", [12, 2]), "b"),
        (Query.not_intersects("line", [12, 2]), "ac"),
        (Query.intersects("point", [[[9, -1], [30, -1], [30, 1]]]), "c"),
        (Query.equal("point", [[10, 0]]), "b"),
        (Query.not_equal("point", [[10.0, 0.0]]), "ac"),
        (Query.is_null("polygon"), "d"),
    ],
)
def test_shapes_are_found_by_where_they_lie(places: TablesDB, query: str, ids: str) -> None:
    assert "".join(row.id for row in places.list_rows("zoo", "place", [query]).rows) == ids


@pytest.mark.parametrize(
    "query",
    [
        '{"method":"distanceLessThan","attribute":"point","values":[[[1,2],"far",true]]}',
        '{"method":"distanceLessThan","attribute":"point","values":[[[1],1,true]]}',
        '{"method":"distanceLessThan","attribute":"point","values":[[[1,1e200],1]]}',
        '{"method":"distanceLessThan","attribute":"point","values":[[[1,1],1' + "0" * 400 + "]]}",
        '{"method":"distanceLessThan","attribute":"point","values":[1]}',
        '{"method":"distanceLessThan","attribute":"line","values":[[[1,2],3,true]]}',
        '{"method":"intersects","attribute":"point","values":["here"]}',
        '{"method":"intersects","attribute":"point","values":[[[[[1,2]]]]]}',
        '{"method":"equal","attribute":"line","values":[[[1,2]]]}',
        '{"method":"contains","attribute":"point","values":[1]}',
        '{"method":"intersects","attribute":"$id","values":[[1,2]]}',
    ],
)
def test_a_query_for_no_shape_is_refused(places: TablesDB, query: str) -> None:
    with pytest.raises(AppwriteException) as refused:
        places.list_rows("zoo", "place", [query])
    assert (refused.value.code, refused.value.type) == (400, "general_query_invalid")


def test_a_query_about_shapes_that_is_not_served_says_so(places: TablesDB) -> None:
    with pytest.raises(AppwriteException, match="notCrosses") as refused:
        places.list_rows("zoo", "place", [Query.not_crosses("line", [[0, 0], [1, 1]])])
    assert (refused.value.code, refused.value.type) == (501, "general_not_implemented")


def test_filters_given_together_must_all_hold(zoo: TablesDB) -> None:
    assert found(zoo, Query.equal("n", 3), Query.equal("done", False)) == "e"


def test_rows_come_in_the_order_asked_for_nulls_first(zoo: TablesDB) -> None:
    assert found(zoo, Query.order_asc("n")) == "dabce"
    assert found(zoo, Query.order_desc("n")) == "cebad"
    assert found(zoo, Query.order_desc("n"), Query.order_desc("name")) == "ecbad"
    assert sorted(found(zoo, Query.order_random())) == list("abcde")


@pytest.mark.parametrize("order", [[], ["n"], ["-n"], ["share"], ["-at", "name"], ["done", "-n"]])
def test_pages_by_cursor_join_to_the_whole_list(zoo: TablesDB, order: list[str]) -> None:
    orders = [Query.order_desc(name[1:]) if name[0] == "-" else Query.order_asc(name) for name in order]
    whole = found(zoo, *orders)
    forwards, backwards = whole[0], whole[-1]
    for _ in range(len(whole)):
        forwards += found(zoo, *orders, Query.limit(2), Query.cursor_after(forwards[-1]))
        backwards = found(zoo, *orders, Query.limit(2), Query.cursor_before(backwards[0])) + backwards
    assert (forwards, backwards) == (whole, whole)


def test_a_page_has_25_rows_unless_the_client_says_otherwise(admin: TablesDB, zoo: TablesDB) -> None:
    admin.create_table("zoo", "many", "Many", columns=[{"key": "n", "type": "integer"}])
    admin.create_rows("zoo", "many", [{"$id": f"m{n:02d}", "n": n} for n in range(60)])
    page = admin.list_rows("zoo", "many")
    assert (len(page.rows), page.total) == (25, 60)
    second = admin.list_rows("zoo", "many", [Query.limit(25), Query.offset(50)])
    assert [row.data["n"] for row in second.rows] == list(range(50, 60))
    assert admin.list_rows("zoo", "many", total=False).total == 0


def test_select_leaves_other_columns_out(zoo: TablesDB) -> None:
    page = zoo.list_rows("zoo", "animal", [Query.select(["name"]), Query.limit(1)])
    assert page.rows[0].data == {"name": "ant"}
    assert zoo.get_row("zoo", "animal", "a", [Query.select(["n", "name"])]).data == {"name": "ant", "n": 1}


@pytest.mark.parametrize(
    "query",
    [
        "nonsense",
        "[]",
        '{"method":"drop"}',
        '{"method":"equal","attribute":"nosuch","values":[1]}',
        '{"method":"equal","attribute":"n","values":["many"]}',
        '{"method":"equal","attribute":"n","values":[]}',
        '{"method":"equal","attribute":"n","values":"1"}',
        '{"method":"equal","attribute":["n"],"values":[1]}',
        '{"method":"between","attribute":"n","values":[1]}',
        '{"method":"contains","attribute":"n","values":[1]}',
        '{"method":"limit","values":[0]}',
        '{"method":"limit","values":["5"]}',
        '{"method":"offset","values":[-1]}',
        '{"method":"search","attribute":"tags","values":["a"]}',
        '{"method":"or","values":[{"method":"limit","values":[1]},{"method":"limit","values":[1]}]}',
        '{"method":"or","values":[]}',
        '{"method":"orderAsc","attribute":"\\" DESC; DROP TABLE databases; --"}',
        '{"method":"select","values":["nosuch"]}',
        '{"method":"cursorAfter","values":[{}]}',
    ],
)
def test_a_query_that_means_nothing_is_refused(zoo: TablesDB, query: str) -> None:
    with pytest.raises(AppwriteException) as refused:
        zoo.list_rows("zoo", "animal", [query])
    assert (refused.value.code, refused.value.type) == (400, "general_query_invalid")


def test_a_cursor_that_names_no_row_is_refused(zoo: TablesDB) -> None:
    with pytest.raises(AppwriteException) as refused:
        zoo.list_rows("zoo", "animal", [Query.cursor_after("nosuch")])
    assert refused.value.type == "general_cursor_not_found"


def test_more_than_100_queries_are_refused(zoo: TablesDB) -> None:
    with pytest.raises(AppwriteException) as refused:
        zoo.list_rows("zoo", "animal", [Query.equal("n", 1)] * 101)
    assert refused.value.type == "general_argument_invalid"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
METHODS = ["equal", "contains", "between", "or", "limit", "select", "orderDesc", "cursorAfter", "search", "frob"]


@settings(max_examples=150, deadline=None)
@given(
    query=JSON_VALUES
    | st.fixed_dictionaries(
        {"method": st.sampled_from(METHODS)},
        optional={
            "attribute": st.sampled_from(["name", "n", "tags", "at", "$id", "$createdAt"]),
            "values": JSON_VALUES,
        },
    )
)
def test_no_query_whatsoever_breaks_the_server(server: Running, zoo: TablesDB, query: Any) -> None:
    written = json.dumps(query)
    answer = server.send(
        "GET", "/tablesdb/zoo/tables/animal/rows?" + urlencode({"queries[0]": written}), x_appwrite_key=server.key
    )
    assert answer.status_code in (200, 400)


def test_listing_is_fast_where_a_user_sees_few_of_many_rows(
    admin: TablesDB, zoo: TablesDB, person: Callable[..., Any], server: Running
) -> None:
    """The readers of rows are indexed: one user's list touches that user's rows alone."""
    admin.create_table("zoo", "crowd", "Crowd", row_security=True, columns=[{"key": "n", "type": "integer"}])
    for start in range(0, 1000, 100):
        rows = [{"$id": f"c{start + n}", "n": n, "$permissions": ['read("user:nobody")']} for n in range(100)]
        admin.create_rows("zoo", "crowd", rows)
    reader = person()
    admin.create_row("zoo", "crowd", "mine", {"n": 1}, permissions=[f'read("user:{reader.id}")'])
    page = reader.rows.list_rows("zoo", "crowd")
    assert (page.total, [row.id for row in page.rows]) == (1, ["mine"])

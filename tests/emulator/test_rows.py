"""Rows through the official client: what is written is what is read, and what does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from appwrite.exception import AppwriteException
from appwrite.services.databases import Databases
from appwrite.services.tables_db import TablesDB

from .conftest import Person, Running, running

COLUMNS = [
    {"key": "title", "type": "string", "size": 40, "required": True},
    {"key": "n", "type": "integer", "min": 0, "max": 100, "default": 7},
    {"key": "cost", "type": "float"},
    {"key": "done", "type": "boolean"},
    {"key": "at", "type": "datetime"},
    {"key": "state", "type": "enum", "elements": ["queued", "ready"]},
    {"key": "tags", "type": "string", "size": 8, "array": True},
    {"key": "link", "type": "url"},
]


@pytest.fixture(scope="module")
def films(admin: TablesDB) -> Iterator[TablesDB]:
    """A database `films` with a table `film` anyone signed in may add to."""
    admin.create("films", "Films")
    admin.create_table(
        "films", "film", "Film", permissions=['create("users")'], row_security=True, columns=COLUMNS,
        indexes=[{"key": "by_title", "type": "unique", "attributes": ["title"]}],
    )  # fmt: skip
    yield admin
    admin.delete("films")


def make(films: TablesDB, title: str, **fields: Any) -> Any:
    """A row with a title, made with the key."""
    return films.create_row("films", "film", "unique()", {"title": title, **fields})


def test_a_row_is_read_as_it_was_written(films: TablesDB) -> None:
    data = {
        "title": "Ärger 🎬",
        "n": 3,
        "cost": 0.25,
        "done": True,
        "at": "2026-11-20T10:00:00+02:00",
        "state": "ready",
        "tags": ["a", "b"],
        "link": "https://example.test/x",
    }
    made = films.create_row("films", "film", "unique()", data, permissions=['read("any")'])
    read = films.get_row("films", "film", made.id)
    assert read.data == {**data, "at": "2026-11-20T08:00:00.000+00:00"}
    assert read.to_dict() == made.to_dict()
    assert read.permissions == ['read("any")']


def test_what_is_left_out_gets_its_default(films: TablesDB) -> None:
    made = make(films, "defaults")
    assert made.data == {
        "title": "defaults", "n": 7, "cost": None, "done": None, "at": None, "state": None, "tags": [], "link": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "type_"),
    [
        ({"title": "x" * 41}, "row_invalid_structure"),
        ({"title": 5}, "row_invalid_structure"),
        ({"title": None}, "row_invalid_structure"),
        ({"n": 101}, "row_invalid_structure"),
        ({"n": True}, "row_invalid_structure"),
        ({"n": 1.5}, "row_invalid_structure"),
        ({"n": 2**70}, "row_invalid_structure"),
        ({"cost": "free"}, "row_invalid_structure"),
        ({"done": "true"}, "row_invalid_structure"),
        ({"at": "soon"}, "row_invalid_structure"),
        ({"state": "lost"}, "row_invalid_structure"),
        ({"tags": "a"}, "row_invalid_structure"),
        ({"tags": ["123456789"]}, "row_invalid_structure"),
        ({"link": "nowhere"}, "row_invalid_structure"),
        ({"nosuch": 1}, "row_invalid_structure"),
    ],
)
def test_data_that_does_not_fit_is_refused(films: TablesDB, fields: dict[str, Any], type_: str) -> None:
    with pytest.raises(AppwriteException) as refused:
        films.create_row("films", "film", "misfit", {"title": "misfit", **fields})
    assert (refused.value.code, refused.value.type) == (400, type_)
    with pytest.raises(AppwriteException, match="misfit") as absent:
        films.get_row("films", "film", "misfit")
    assert absent.value.type == "row_not_found"


@pytest.mark.parametrize("row_id", ["../etc", "-x", "a" * 37, "a b", ""])
def test_an_id_that_is_none_is_refused(server: Running, films: TablesDB, row_id: str) -> None:
    answer = server.send(
        "POST",
        "/tablesdb/films/tables/film/rows",
        {"rowId": row_id, "data": {"title": "bad id"}},
        x_appwrite_key=server.key,
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


def test_an_update_changes_only_what_it_names(films: TablesDB) -> None:
    made = make(films, "partial", n=1, tags=["x"])
    changed = films.update_row("films", "film", made.id, {"n": 2})
    assert changed.data == {**made.data, "n": 2}
    assert changed.updatedat > made.updatedat
    assert changed.createdat == made.createdat


def test_the_time_of_a_row_strictly_increases(films: TablesDB) -> None:
    row_id = make(films, "times").id
    times = [films.update_row("films", "film", row_id, {"n": n % 100}).updatedat for n in range(50)]
    assert times == sorted(set(times))


def test_of_two_writers_that_read_the_same_row_one_is_refused(server: Running, films: TablesDB) -> None:
    made = make(films, "race")
    path = f"/tablesdb/films/tables/film/rows/{made.id}"
    first, second = (
        server.send("PATCH", path, {"data": {"n": n}}, x_appwrite_key=server.key, x_appwrite_timestamp=made.updatedat)
        for n in (1, 2)
    )
    assert first.status_code == 200
    assert (second.status_code, second.json()["type"]) == (409, "row_update_conflict")
    assert films.get_row("films", "film", made.id).data["n"] == 1


def test_of_many_creates_with_one_id_one_wins(films: TablesDB) -> None:
    def attempt(n: int) -> int:
        try:
            films.create_row("films", "film", "contended", {"title": f"contended {n}"})
        except AppwriteException as error:
            assert error.type == "row_already_exists"
            return int(error.code)
        return 201

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(attempt, range(16)))
    assert sorted(codes) == [201] + [409] * 15


def test_a_unique_index_refuses_a_second_row(films: TablesDB) -> None:
    make(films, "once")
    with pytest.raises(AppwriteException) as refused:
        make(films, "once")
    assert refused.value.code == 409


def test_an_upsert_replaces_the_row(films: TablesDB) -> None:
    first = films.upsert_row("films", "film", "put", {"title": "put", "n": 1, "done": True})
    second = films.upsert_row("films", "film", "put", {"title": "put again"})
    assert second.data["title"] == "put again"
    assert (second.data["n"], second.data["done"]) == (7, None)
    assert (second.createdat, second.sequence) == (first.createdat, first.sequence)


def test_counters_move_within_their_limits(films: TablesDB) -> None:
    row_id = make(films, "counter", n=5).id
    assert films.increment_row_column("films", "film", row_id, "n", 3).data["n"] == 8
    assert films.decrement_row_column("films", "film", row_id, "n", 2).data["n"] == 6
    with pytest.raises(AppwriteException) as refused:
        films.increment_row_column("films", "film", row_id, "n", 5, max=10)
    assert refused.value.type == "column_limit_exceeded"
    assert films.get_row("films", "film", row_id).data["n"] == 6


def test_counters_count_every_one_of_concurrent_increments(films: TablesDB) -> None:
    row_id = make(films, "busy counter", n=0).id
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: films.increment_row_column("films", "film", row_id, "n", 1), range(40)))
    assert films.get_row("films", "film", row_id).data["n"] == 40


def test_bulk_writes_are_all_or_nothing(films: TablesDB) -> None:
    made = films.create_rows("films", "film", [{"$id": f"bulk{n}", "title": f"bulk {n}"} for n in range(3)])
    assert made.total == 3
    with pytest.raises(AppwriteException):
        films.create_rows("films", "film", [{"$id": "bulk9", "title": "new"}, {"$id": "bulk0", "title": "taken"}])
    with pytest.raises(AppwriteException):
        films.get_row("films", "film", "bulk9")


def test_only_a_key_may_write_in_bulk(films: TablesDB, person: Callable[..., Person]) -> None:
    with pytest.raises(AppwriteException) as refused:
        person().rows.create_rows("films", "film", [{"$id": "x", "title": "x"}])
    assert refused.value.code == 401


def test_both_families_serve_the_same_rows(server: Running, films: TablesDB) -> None:
    made = make(films, "twins")
    document = Databases(server.client(key=server.key)).get_document("films", "film", made.id)
    assert document.data == made.data
    assert document.collectionid == "film"


def test_the_shape_of_a_row_follows_the_clients_version(server: Running, films: TablesDB) -> None:
    made = make(films, "versions")
    path = f"/tablesdb/films/tables/film/rows/{made.id}"
    old, new = (
        server.send("GET", path, x_appwrite_key=server.key, x_appwrite_response_format=version).json()["$sequence"]
        for version in ("1.8.0", "1.9.5")
    )
    assert (type(old), type(new)) == (int, str)


def test_what_was_acknowledged_survives_a_kill(tmp_path: Any) -> None:
    with running(tmp_path) as first:
        rows = TablesDB(first.client(key=first.key))
        rows.create("d", "D")
        rows.create_table("d", "t", "T", columns=[{"key": "n", "type": "integer"}])
        for n in range(20):
            rows.create_row("d", "t", f"r{n}", {"n": n})
        first.process.kill()
    with running(tmp_path) as second:
        assert second.key == first.key
        kept = TablesDB(second.client(key=second.key)).list_rows("d", "t", ['{"method":"limit","values":[100]}'])
        assert [row.data["n"] for row in kept.rows] == list(range(20))

"""Killed at any moment, the server has all it acknowledged, shows nothing half-made, and leaves no litter behind."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from appwrite.query import Query
from appwrite.services.storage import Storage
from appwrite.services.tables_db import TablesDB
from appwrite.services.users import Users

from emulator.chunks import CHUNK_BYTES
from emulator.database import Database

from .conftest import Running, running

ROUNDS = 15
ROWS = "/tablesdb/kept/tables/note/rows"
FILES = "/storage/buckets/kept/files"


def content(file_id: str, size: int) -> bytes:
    """The bytes every file of this id has."""
    seed = hashlib.sha256(file_id.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


@dataclass
class Journal:
    """What a writer was promised: row -> its last acknowledged number; the number it was trying; files; chunks."""

    rows: dict[str, int] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    chunks: dict[str, int] = field(default_factory=dict)

    @property
    def acknowledged(self) -> int:
        """How many answers came, roughly."""
        return sum(self.rows.values()) + len(self.rows) + len(self.files) + sum(self.chunks.values())


class Writer:
    """Writes through one kind of request after the other until the server is gone, and notes every answer."""

    def __init__(self, server: Running, session: str, journal: Journal, name: str) -> None:
        self._server = server
        self._journal = journal
        self._name = name
        self._http = requests.Session()
        self._http.headers.update({"x-appwrite-project": server.project, "x-appwrite-session": session})

    def write_rows(self) -> None:
        """Create a row, change it three times, and so on."""
        for number in range(10**6):
            row = f"r{self._name}-{number}"
            for step in range(4):
                self._journal.tried[row] = step
                data = {"n": step, "text": f"{row} {step} " + "x" * 500}
                if step == 0:
                    answer = self._http.post(self._server.endpoint + ROWS, json={"rowId": row, "data": data})
                else:
                    answer = self._http.patch(f"{self._server.endpoint}{ROWS}/{row}", json={"data": data})
                assert answer.status_code < 300, answer.text
                self._journal.rows[row] = step

    def write_files(self) -> None:
        """Small files."""
        for number in range(10**6):
            file, size = f"f{self._name}-{number}", 1 + (number * 7919) % 200_000
            self._send(file, content(file, size), {})
            self._journal.files[file] = size

    def write_chunks(self) -> None:
        """A file of three chunks, its last one first."""
        for number in range(10**6):
            file, size = f"c{self._name}-{number}", 2 * CHUNK_BYTES + 4321
            for chunk in (2, 0, 1):
                self.send_chunk(file, size, chunk)
                self._journal.chunks[file] = self._journal.chunks.get(file, 0) + 1

    def send_chunk(self, file: str, size: int, chunk: int) -> dict[str, Any]:
        """One chunk; the file as it is then."""
        start = chunk * CHUNK_BYTES
        part = content(file, size)[start : start + CHUNK_BYTES]
        headers = {"content-range": f"bytes {start}-{start + len(part) - 1}/{size}", "x-appwrite-id": file}
        return self._send(file, part, headers)

    def _send(self, file: str, data: bytes, headers: dict[str, str]) -> dict[str, Any]:
        parts = {"file": ("a.bin", data)}
        answer = self._http.post(self._server.endpoint + FILES, data={"fileId": file}, files=parts, headers=headers)
        assert answer.status_code < 300, answer.text
        shown: dict[str, Any] = answer.json()
        return shown


def until_killed(write: Callable[[], None], unexpected: list[BaseException]) -> None:
    try:
        write()
    except requests.RequestException:
        pass  # the server was killed, as it should be
    except BaseException as error:
        unexpected.append(error)


def write_and_kill(server: Running, session: str, journal: Journal, name: str, chance: random.Random) -> None:
    """Write from three sides and kill the server once some answers came, in the middle of whatever it does then."""
    writer = Writer(server, session, journal, name)
    unexpected: list[BaseException] = []
    threads = [
        threading.Thread(target=until_killed, args=(write, unexpected))
        for write in (writer.write_rows, writer.write_files, writer.write_chunks)
    ]
    enough = journal.acknowledged + chance.randrange(1, 120)
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while journal.acknowledged < enough and not unexpected:
        assert time.monotonic() < deadline, "the writers are stuck"
        time.sleep(0.001)
    time.sleep(chance.random() * 0.02)
    server.process.kill()
    for thread in threads:
        thread.join(30)
    assert unexpected == []


def check_rows(server: Running, session: str, journal: Journal) -> None:
    """Every row has its last acknowledged state, or the one being written; none is half-made, all are listed."""
    mine = TablesDB(server.client(session=session))
    found: dict[str, dict[str, Any]] = {}
    while True:
        after = [Query.cursor_after(list(found)[-1])] if found else []
        page = mine.list_rows("kept", "note", [Query.limit(500), *after]).rows
        found.update({row.id: row.data for row in page})
        if len(page) < 500:
            break
    for row, data in found.items():
        assert data["text"].split() == [row, str(data["n"]), "x" * 500]
        assert journal.rows.get(row, -1) <= data["n"] <= journal.tried[row]
    assert journal.rows.keys() <= found.keys()


def check_files(server: Running, session: str, journal: Journal) -> set[str]:
    """Acknowledged files are whole, all files are of whole bytes; returns the files that lack chunks."""
    mine = Storage(server.client(session=session))
    found: dict[str, Any] = {}
    while True:
        after = [Query.cursor_after(list(found)[-1])] if found else []
        page = mine.list_files("kept", [Query.limit(500), *after]).files
        found.update({file.id: file for file in page})
        if len(page) < 500:
            break
    assert journal.files.keys() | journal.chunks.keys() <= found.keys()
    started = set()
    for file in found.values():
        assert file.chunksuploaded >= max(1, journal.chunks.get(file.id, 0))
        if file.chunksuploaded < file.chunkstotal:
            started.add(file.id)
            continue
        wanted = content(file.id, int(file.sizeoriginal))
        assert journal.files.get(file.id, len(wanted)) == len(wanted)
        assert file.signature == hashlib.md5(wanted).hexdigest()
        assert mine.get_file_download("kept", file.id) == wanted
    return started


def make_tables(server: Running) -> str:
    """A table and a bucket for users, and the session of one."""
    key = server.client(key=server.key)
    tables, storage, users = TablesDB(key), Storage(key), Users(key)
    tables.create("kept", "Kept")
    tables.create_table(
        "kept", "note", "Note", permissions=['create("users")'], row_security=True,
        columns=[{"key": "text", "type": "text"}, {"key": "n", "type": "integer"}],
    )  # fmt: skip
    storage.create_bucket("kept", "Kept", permissions=['create("users")'], file_security=True)
    user = users.create("unique()")
    return str(users.create_session(user.id).secret)


def test_killed_at_any_moment_it_keeps_what_it_acknowledged_and_nothing_half_made(tmp_path: Path) -> None:
    chance, journal = random.Random(20261121), Journal()
    with running(tmp_path) as server:
        session = make_tables(server)
        write_and_kill(server, session, journal, "0", chance)
    for number in range(1, ROUNDS):
        with running(tmp_path) as server:
            if number % 5 == 0:
                check_rows(server, session, journal)
                for file in check_files(server, session, journal):
                    go_on_with(server, session, journal, file)
            litter = {path.name for path in (tmp_path / "files").iterdir()} - blobs(tmp_path)
            assert litter == set()
            write_and_kill(server, session, journal, str(number), chance)
    with running(tmp_path) as server:
        check_rows(server, session, journal)
        check_files(server, session, journal)
        assert len(journal.rows) > ROUNDS
        assert len(journal.files) > ROUNDS
    assert not [
        path for path in tmp_path.rglob("*") if path.suffix in (".part", ".tmp") and path.stem not in blobs(tmp_path)
    ]
    with closing(sqlite3.connect(tmp_path / "emulator.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def go_on_with(server: Running, session: str, journal: Journal, file: str) -> None:
    """Send all chunks of an interrupted upload again, as a client does that knows nothing."""
    writer, size = Writer(server, session, journal, ""), 2 * CHUNK_BYTES + 4321
    for chunk in range(3):
        shown = writer.send_chunk(file, size, chunk)
    assert shown["chunksUploaded"] == shown["chunksTotal"] == 3
    journal.chunks[file] = 3
    whole = Storage(server.client(session=session)).get_file_download("kept", file)
    assert whole == content(file, size)


def blobs(data: Path) -> set[str]:
    """The names a file's content may have, finished or not."""
    with closing(sqlite3.connect(data / "emulator.sqlite")) as file:
        names = [name for (name,) in file.execute("SELECT blob FROM files")]
    return {*names, *(f"{name}.part" for name in names)}


def test_a_folder_of_an_older_version_gets_the_columns_it_lacks(tmp_path: Path) -> None:
    older = "CREATE TABLE IF NOT EXISTS note (id TEXT PRIMARY KEY);"
    newer = (
        "CREATE TABLE IF NOT EXISTS note (id TEXT PRIMARY KEY, color TEXT NOT NULL DEFAULT 'red', size INTEGER);"
        "CREATE INDEX IF NOT EXISTS note_by_color ON note (color);"
    )
    for statements in (older, newer, newer):
        db = Database(tmp_path / "db.sqlite")
        db.declare(statements)
        with db.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO note (id) VALUES ('old')")
        found = [tuple(row) for row in db.all("SELECT * FROM note")]
        db.close()
    assert found == [("old", "red", None)]


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path) -> None:
    db = Database(tmp_path / "db.sqlite")
    db.declare("CREATE TABLE note (text TEXT);")
    db.connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(sqlite3.Error, match="full"), db.transaction() as connection:
        connection.execute("INSERT INTO note VALUES (?)", ("x" * 10**6,))
    assert not db.connection.in_transaction
    with db.transaction() as connection:
        connection.execute("INSERT INTO note VALUES ('small')")
    assert [tuple(row) for row in db.all("SELECT * FROM note")] == [("small",)]
    db.close()

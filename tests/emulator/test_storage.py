"""Buckets, files and file tokens, through the official client and raw requests."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from appwrite.exception import AppwriteException
from appwrite.input_file import InputFile
from appwrite.services.storage import Storage
from appwrite.services.tokens import Tokens
from PIL import Image

from emulator.chunks import CHUNK_BYTES

from .conftest import Person, Running, hear, hears_nothing, running

OWN = ["read", "update", "delete"]
_numbers = count(1)


@pytest.fixture
def storage(server: Running) -> Storage:
    return Storage(server.client(key=server.key))


@pytest.fixture
def bucket(storage: Storage) -> Callable[..., str]:
    """Makes a bucket in which users may create files and only a file's own permissions let it be read."""

    def make(**fields: Any) -> str:
        bucket_id = f"bucket{next(_numbers)}"
        usual = {"permissions": ['create("users")'], "file_security": True}
        storage.create_bucket(bucket_id, "Bucket", **{**usual, **fields})
        return bucket_id

    return make


def content(size: int) -> bytes:
    return os.urandom(size)


def send_chunk(
    server: Running, bucket: str, file: str, data: bytes, number: int, session: str, cut: int | None = None
) -> requests.Response:
    """Sends one chunk of `data`; `cut` keeps only so many bytes of it."""
    start = number * CHUNK_BYTES
    part = data[start : start + CHUNK_BYTES]
    return requests.post(
        f"{server.endpoint}/storage/buckets/{bucket}/files",
        data={"fileId": file},
        files={"file": ("film.mp4", part[:cut], "video/mp4")},
        headers={
            "x-appwrite-project": server.project,
            "x-appwrite-session": session,
            "x-appwrite-id": file,
            "content-range": f"bytes {start}-{start + len(part) - 1}/{len(data)}",
        },
        timeout=30,
    )


def fetch(server: Running, bucket: str, file: str, way: str = "view", **headers: str) -> requests.Response:
    token = headers.pop("token", "")
    query = f"?token={token}" if token else ""
    return server.send("GET", f"/storage/buckets/{bucket}/files/{file}/{way}{query}", **headers)


def failure(act: Callable[..., object], *values: object, **named: object) -> tuple[int | None, str | None]:
    """Status and type of the refusal."""
    with pytest.raises(AppwriteException) as refused:
        act(*values, **named)
    return refused.value.code, refused.value.type


def test_a_large_file_goes_up_in_chunks_and_comes_back_byte_for_byte(storage: Storage, bucket: Any) -> None:
    where, data = bucket(), content(2 * CHUNK_BYTES + 12345)
    made = storage.create_file(where, "film", InputFile.from_bytes(data, "film.bin"))
    assert (made.chunkstotal, made.chunksuploaded, made.sizeoriginal) == (3, 3, len(data))
    assert storage.get_file_download(where, made.id) == data
    assert storage.get_file_view(where, made.id) == data


def test_chunks_in_any_order_and_twice_make_one_file_and_one_event(
    server: Running, bucket: Any, person: Callable[..., Person]
) -> None:
    where, data, ann = bucket(), content(3 * CHUNK_BYTES + 1), person()
    channel = f"buckets.{where}.files"
    with server.socket(f"&channels[]={channel}", **{"x-appwrite-session": ann.session}) as socket:
        assert hear(socket)["type"] == "connected"
        for number, uploaded in ((2, 1), (0, 2), (2, 2), (3, 3)):
            answer = send_chunk(server, where, "film", data, number, ann.session)
            assert (answer.status_code, answer.json()["chunksUploaded"]) == (201, uploaded)
        incomplete = fetch(server, where, "film", x_appwrite_session=ann.session)
        assert (incomplete.status_code, incomplete.json()["type"]) == (404, "storage_file_not_found")
        assert hears_nothing(socket)
        last = send_chunk(server, where, "film", data, 1, ann.session).json()
        assert last["chunksUploaded"] == last["chunksTotal"] == 4
        event = hear(socket)["data"]
        assert f"buckets.{where}.files.film.create" in event["events"]
        assert event["payload"]["sizeActual"] == len(data)
        assert hears_nothing(socket)
    assert fetch(server, where, "film", x_appwrite_session=ann.session).content == data
    again = send_chunk(server, where, "film", data, 1, ann.session)
    assert (again.status_code, again.json()["signature"]) == (200, last["signature"])


def test_chunks_sent_at_the_same_moment_make_one_whole_file(
    server: Running, bucket: Any, person: Callable[..., Person]
) -> None:
    where, data, ann = bucket(), content(5 * CHUNK_BYTES), person()
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=number: answers.append(
                send_chunk(server, where, "film", data, n, ann.session).json()["chunksUploaded"]
            )
        )
        for number in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [1, 2, 3, 4, 5]
    assert fetch(server, where, "film", x_appwrite_session=ann.session).content == data


def test_a_chunk_shorter_than_its_range_never_becomes_part_of_a_file(
    server: Running, bucket: Any, person: Callable[..., Person]
) -> None:
    where, data, ann = bucket(), content(CHUNK_BYTES + 10), person()
    send_chunk(server, where, "film", data, 0, ann.session, cut=100)
    refused = send_chunk(server, where, "film", data, 1, ann.session)
    assert (refused.status_code, refused.json()["type"]) == (400, "storage_invalid_content_range")
    assert fetch(server, where, "film", x_appwrite_session=ann.session).status_code == 404
    assert send_chunk(server, where, "film", data, 0, ann.session).json()["chunksUploaded"] == 2
    assert fetch(server, where, "film", x_appwrite_session=ann.session).content == data


def test_a_stranger_cannot_add_to_another_users_upload(
    server: Running, bucket: Any, person: Callable[..., Person]
) -> None:
    where, data, ann, ben = bucket(), content(CHUNK_BYTES + 10), person(), person()
    send_chunk(server, where, "film", data, 0, ann.session)
    refused = send_chunk(server, where, "film", data, 1, ben.session)
    assert (refused.status_code, refused.json()["type"]) == (401, "user_unauthorized")


def test_an_upload_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    data = content(2 * CHUNK_BYTES + 5)
    with running(tmp_path) as before:
        Storage(before.client(key=before.key)).create_bucket("films", "Films", permissions=['create("any")'])
        assert send_chunk(before, "films", "film", data, 2, "").status_code == 201
        assert send_chunk(before, "films", "film", data, 0, "").status_code == 201
        (tmp_path / "files" / "leftover.part").write_bytes(b"of a killed upload")
        before.process.kill()
        before.process.wait(5)
    with running(tmp_path) as after:
        storage = Storage(after.client(key=after.key))
        assert storage.get_file("films", "film").chunksuploaded == 2
        assert send_chunk(after, "films", "film", data, 1, "").json()["chunksUploaded"] == 3
        assert storage.get_file_download("films", "film") == data
        assert len(list((tmp_path / "files").iterdir())) == 1


@pytest.fixture
def private(server: Running, bucket: Any, person: Callable[..., Person]) -> Iterator[tuple[str, Person]]:
    """A bucket with one private file of 800 bytes, `note`, and its owner."""
    where, ann = bucket(), person()
    mine = Storage(server.client(session=ann.session))
    mine.create_file(where, "note", InputFile.from_bytes(b"0123456789" * 80, "note.txt"))
    yield where, ann


def test_a_file_without_wishes_belongs_to_its_maker_alone(
    server: Running, private: tuple[str, Person], person: Callable[..., Person]
) -> None:
    where, ann = private
    ben = person()
    mine, his, guest = (Storage(server.client(session=session)) for session in (ann.session, ben.session, ""))
    assert mine.get_file(where, "note").permissions == [f'{action}("user:{ann.id}")' for action in OWN]
    assert [file.id for file in mine.list_files(where).files] == ["note"]
    for stranger in (his, guest):
        assert stranger.list_files(where).total == 0
        assert failure(stranger.get_file, where, "note") == (404, "storage_file_not_found")
        assert failure(stranger.get_file_view, where, "note") == (404, "storage_file_not_found")
        assert failure(stranger.get_file_download, where, "note")[0] == 404
        assert failure(stranger.get_file_preview, where, "note")[0] == 404
        assert failure(stranger.update_file, where, "note", name="x") == (401, "user_unauthorized")
        assert failure(stranger.delete_file, where, "note") == (401, "user_unauthorized")
    assert failure(lambda: guest.create_file(where, "g", InputFile.from_bytes(b"x", "x.txt"))) == (
        401,
        "user_unauthorized",
    )


def test_a_key_without_the_scope_may_not_read_files(server: Running, private: tuple[str, Person]) -> None:
    command = [sys.executable, "-m", "emulator", "key", "--data", str(server.data), "--scopes", "rows.read"]
    key = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    other = Storage(server.client(key=key))
    assert failure(lambda: other.get_file_view(private[0], "note")) == (401, "general_unauthorized_scope")


def test_sharing_and_renaming_reach_readers_at_once(
    server: Running, private: tuple[str, Person], person: Callable[..., Person]
) -> None:
    where, ann = private
    ben = person()
    mine, his = Storage(server.client(session=ann.session)), Storage(server.client(session=ben.session))
    assert failure(lambda: mine.update_file(where, "note", permissions=[f'read("user:{ben.id}")'])) == (
        401,
        "user_unauthorized",
    ), "a client may only grant roles it holds"
    mine.update_file(where, "note", name="shared.txt", permissions=['read("users")', f'delete("user:{ann.id}")'])
    assert his.get_file(where, "note").name == "shared.txt"
    assert his.get_file_view(where, "note") == b"0123456789" * 80
    mine.delete_file(where, "note")
    assert failure(lambda: his.get_file(where, "note"))[0] == 404
    assert failure(lambda: mine.delete_file(where, "note")) == (404, "storage_file_not_found")


def test_without_file_security_only_the_buckets_permissions_count(
    server: Running, storage: Storage, bucket: Any, person: Callable[..., Person]
) -> None:
    where, ann = bucket(file_security=False), person()
    mine = Storage(server.client(session=ann.session))
    mine.create_file(where, "note", InputFile.from_bytes(b"x", "note.txt"))
    assert failure(lambda: mine.get_file(where, "note")) == (401, "user_unauthorized")
    storage.update_bucket(where, "Bucket", permissions=['read("any")'])
    assert Storage(server.client()).get_file_view(where, "note") == b"x"


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=790-", slice(790, 800)),
        ("bytes=-7", slice(793, 800)),
        ("bytes=0-0", slice(0, 1)),
        ("bytes=790-5000", slice(790, 800)),
    ],
)
def test_a_range_is_answered_with_206_and_its_bytes(
    server: Running, private: tuple[str, Person], written: str, part: slice
) -> None:
    where, ann = private
    for way, kind in (("view", "inline"), ("download", "attachment")):
        answer = fetch(server, where, "note", way, x_appwrite_session=ann.session, range=written)
        assert (answer.status_code, answer.content) == (206, (b"0123456789" * 80)[part])
        assert answer.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/800"
        assert answer.headers["content-disposition"] == f'{kind}; filename="note.txt"'
    outside = fetch(server, where, "note", x_appwrite_session=ann.session, range="bytes=5000-6000")
    assert (outside.status_code, outside.json()["type"]) == (416, "storage_invalid_range")


def test_head_tells_the_size_without_the_bytes(server: Running, private: tuple[str, Person]) -> None:
    where, ann = private
    headers = {"x_appwrite_session": ann.session}
    answer = server.send("HEAD", f"/storage/buckets/{where}/files/note/view", **headers)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "800")


def test_a_token_opens_its_file_and_no_other_until_it_ends(
    server: Running, storage: Storage, private: tuple[str, Person]
) -> None:
    where, _ = private
    storage.create_file(where, "other", InputFile.from_bytes(b"other", "other.txt"))
    tokens = Tokens(server.client(key=server.key))
    token = tokens.create_file_token(where, "note", (datetime.now(UTC) + timedelta(hours=1)).isoformat())
    for way in ("view", "download", "preview"):
        assert fetch(server, where, "note", way, token=token.secret).status_code == 200
    assert fetch(server, where, "note", token=token.secret, range="bytes=3-4").content == b"34"
    assert fetch(server, where, "other", token=token.secret).status_code == 404
    assert fetch(server, where, "note", token=token.secret[:-2]).status_code == 404
    assert [each.id for each in tokens.list(where, "note").tokens] == [token.id]
    assert tokens.get(token.id).resourceid == f"{where}:note"
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert failure(lambda: tokens.update(token.id, past)) == (400, "general_argument_invalid")
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    tokens.update(token.id, soon.isoformat())
    while fetch(server, where, "note", token=token.secret).status_code == 200:
        assert datetime.now(UTC) < soon + timedelta(seconds=5), "the token has not ended"
    assert datetime.now(UTC) >= soon
    endless = tokens.create_file_token(where, "note")
    assert fetch(server, where, "note", token=endless.secret).status_code == 200
    tokens.delete(endless.id)
    assert fetch(server, where, "note", token=endless.secret).status_code == 404


def test_tokens_are_for_servers_only(server: Running, private: tuple[str, Person]) -> None:
    where, ann = private
    mine = Tokens(server.client(session=ann.session))
    assert failure(lambda: mine.create_file_token(where, "note")) == (401, "general_unauthorized_scope")


def test_size_and_extension_limits_name_what_is_allowed(storage: Storage, bucket: Any) -> None:
    where = bucket(maximum_file_size=1000, allowed_file_extensions=["txt"])

    def put(name: str, size: int) -> None:
        storage.create_file(where, f"file{next(_numbers)}", InputFile.from_bytes(content(size), name))

    assert failure(lambda: put("a.exe", 10)) == (400, "storage_file_type_unsupported")
    assert failure(lambda: put("a.txt", 1001)) == (400, "storage_invalid_file_size")
    assert failure(lambda: put("a.txt", 2 * CHUNK_BYTES)) == (400, "storage_invalid_file_size")
    put("A.TXT", 1000)
    assert storage.list_files(where).total == 1
    assert storage.get_bucket(where).totalsize == 1000
    assert failure(lambda: storage.update_bucket(where, "Bucket", maximum_file_size=10**13))[0] == 400


def test_file_names_and_ids_never_become_paths(server: Running, storage: Storage, bucket: Any) -> None:
    where = bucket()
    made = storage.create_file(where, "sly", InputFile.from_bytes(b"x", '../../etc/pass"wd\r\n\u00e4.txt'))
    answer = fetch(server, where, "sly", x_appwrite_key=server.key)
    assert answer.headers["content-disposition"].startswith('inline; filename="')
    assert "/" not in made.name
    for bad in ("../x", "a/b", ".hidden", "a" * 37, "a\n"):
        refused = failure(storage.create_file, where, bad, InputFile.from_bytes(b"x", "x.txt"))
        assert refused[0] in (400, 404)
    names = {path.name.removesuffix(".part") for path in (server.data / "files").iterdir()}
    assert all(len(name) == 32 and name.isalnum() for name in names)


def test_uploads_that_are_none_are_refused_and_leave_nothing_behind(server: Running, bucket: Any) -> None:
    where = bucket()
    url, key = f"{server.endpoint}/storage/buckets/{where}/files", server.key
    headers = {"x-appwrite-project": server.project, "x-appwrite-key": key}

    def post(**request: Any) -> tuple[int, str]:
        request["headers"] = {**headers, **request.get("headers", {})}
        answer = requests.post(url, timeout=30, **request)
        return answer.status_code, answer.json()["type"]

    form = {"content-type": "multipart/form-data; boundary=x"}
    assert post(json={"fileId": "a"}) == (400, "storage_file_empty")
    assert post(files={"x": b"x"}, data={"fileId": "a"}) == (400, "storage_file_empty")
    assert post(files={"file": b"x"}) == (400, "general_argument_invalid")
    assert post(data=b"--x\r\nbroken", headers=form)[0] == 400
    assert post(data=b"x", headers={"content-type": "multipart/form-data"})[0] == 400
    assert post(files={"file": content(13 * 1024 * 1024)}, data={"fileId": "a"}) == (400, "storage_invalid_file_size")
    for written in ("bytes 0-9/5", "bytes x", "bytes 7-9/100"):
        refused = post(files={"file": b"x"}, data={"fileId": "a"}, headers={"content-range": written})
        assert refused == (400, "storage_invalid_content_range")
    chunk = {"content-range": f"bytes 0-{CHUNK_BYTES - 1}/{2 * CHUNK_BYTES}", "x-appwrite-id": "unique()"}
    assert post(files={"file": b"x"}, data={"fileId": "a"}, headers=chunk) == (400, "storage_invalid_appwrite_id")
    assert Storage(server.client(key=key)).list_files(where).total == 0


def test_a_page_uploaded_as_a_picture_is_served_as_text(server: Running, storage: Storage, bucket: Any) -> None:
    where = bucket()
    storage.create_file(where, "page", InputFile.from_bytes(b"<html><script>alert(1)</script>", "a.png"))
    answer = fetch(server, where, "page", x_appwrite_key=server.key)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "size", "kind"),
    [
        ({}, (320, 180), "PNG"),
        ({"width": 64}, (64, 36), "PNG"),
        ({"width": 50, "rotation": 90, "border_width": 2, "border_color": "ff0000"}, (32, 54), "PNG"),
        ({"width": 100, "height": 100, "gravity": "top-left", "output": "jpg", "quality": 50}, (100, 100), "JPEG"),
        ({"output": "webp", "opacity": 0.5, "border_radius": 20, "background": "00ff00"}, (320, 180), "WEBP"),
    ],
)
def test_a_preview_is_changed_as_asked(
    storage: Storage, bucket: Any, asked: dict[str, Any], size: tuple[int, int], kind: str
) -> None:
    where = bucket()
    buffer = io.BytesIO()
    Image.new("RGB", (320, 180), "red").save(buffer, "PNG")
    storage.create_file(where, "pic", InputFile.from_bytes(buffer.getvalue(), "pic.png"))
    with Image.open(io.BytesIO(storage.get_file_preview(where, "pic", **asked))) as preview:
        assert (preview.size, preview.format) == (size, kind)
    assert failure(lambda: storage.get_file_preview(where, "pic", width=5000)) == (400, "general_argument_invalid")


def test_a_preview_of_no_picture_is_a_sheet(storage: Storage, bucket: Any) -> None:
    where = bucket()
    for name, data in (("film.mp4", b"\0\0\0\x18ftypmp42"), ("fake.png", b"\x89PNG\r\n\x1a\nno picture")):
        made = storage.create_file(where, "unique()", InputFile.from_bytes(data, name))
        with Image.open(io.BytesIO(storage.get_file_preview(where, made.id))) as preview:
            assert preview.size == (1200, 800)


def test_lists_are_filtered_ordered_and_paged(storage: Storage, bucket: Any) -> None:
    where = bucket()
    for size in (30, 10, 20):
        storage.create_file(where, f"f{size}", InputFile.from_bytes(content(size), f"{size}.bin"))

    def ids(*queries: dict[str, Any]) -> list[str]:
        return [file.id for file in storage.list_files(where, [json.dumps(query) for query in queries]).files]

    by_size = {"method": "orderDesc", "attribute": "sizeOriginal"}
    assert ids() == ["f30", "f10", "f20"]
    assert ids(by_size, {"method": "limit", "values": [2]}) == ["f30", "f20"]
    assert ids(by_size, {"method": "cursorAfter", "values": ["f20"]}) == ["f10"]
    assert ids({"method": "equal", "attribute": "name", "values": ["10.bin"]}) == ["f10"]
    assert ids({"method": "greaterThan", "attribute": "sizeOriginal", "values": [15]}) == ["f30", "f20"]
    assert storage.list_files(where, search="20").total == 1
    assert (
        failure(lambda: ids({"method": "equal", "attribute": "secret", "values": ["x"]}))[1] == "general_query_invalid"
    )


def test_deleting_a_bucket_deletes_its_files_from_the_disk(tmp_path: Path) -> None:
    with running(tmp_path) as started:
        storage = Storage(started.client(key=started.key))
        storage.create_bucket("b", "B")
        storage.create_file("b", "f", InputFile.from_bytes(b"x", "x.txt"))
        Tokens(started.client(key=started.key)).create_file_token("b", "f")
        storage.delete_bucket("b")
        assert list((tmp_path / "files").iterdir()) == []
        assert failure(lambda: storage.get_bucket("b")) == (404, "storage_bucket_not_found")
        assert failure(lambda: storage.get_file("b", "f")) == (404, "storage_bucket_not_found")

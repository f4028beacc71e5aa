"""The function as its users call it: every route by executions, every refusal with a sentence and nothing recorded."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from appwrite.exception import AppwriteException
from appwrite.query import Query
from appwrite.services.tables_db import TablesDB

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Video
from core.schema import VIDEOS, database_id
from core.status import VideoStatus
from scripts.setup_db import SetUp
from tests.emulator.conftest import ROOT, Running, running
from tests.waiting import wait_for

from .people import Caller, anonymous, client, with_key

SCRIPT = "A volcano is a mountain that opens.\n\nHot rock flows out of it and cools in the wind."


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Server and function; the renderer they know of is not there, so that nothing is rendered."""
    source = f"video_generation={ROOT}"
    with running(tmp_path_factory.mktemp("function"), "--source", source) as server:
        variables = {"SCENEWRIGHT_RENDER_URL": f"http://127.0.0.1:{closed_port()}"}
        SetUp(AppwriteClient(server.endpoint, server.project, server.key)).run(variables)
        yield server


@pytest.fixture
def ada(backend: Running) -> Caller:
    """An anonymous user."""
    return anonymous(backend.endpoint, backend.project)


@pytest.fixture
def eve(backend: Running) -> Caller:
    """Another one."""
    return anonymous(backend.endpoint, backend.project)


@pytest.fixture
def store(backend: Running) -> AppwriteStore:
    """The documents as the service sees them."""
    return AppwriteStore(AppwriteClient(backend.endpoint, backend.project, backend.key))


def videos_recorded(backend: Running) -> int:
    """How many videos there are."""
    rows = TablesDB(backend.client(key=backend.key))
    return int(rows.list_rows(database_id(), VIDEOS, [Query.limit(1)]).total)


def made_by(caller: Caller, **options: Any) -> str:
    """The id of a new video."""
    reply = caller.call("POST", "/videos", {"script": SCRIPT} | options)
    assert reply.status == 202, reply.body
    return str(reply.body["videoId"])


# ---- creating


def test_creating_answers_with_an_id_a_state_and_channels_and_records_the_video_for_its_user(
    ada: Caller, store: AppwriteStore
) -> None:
    reply = ada.call("POST", "/videos", {"script": SCRIPT, "aspect": "1:1", "speed": 1.2})

    assert reply.status == 202
    video = store.get_video(reply.body.pop("videoId"))
    assert reply.body == {
        "success": True,
        "status": "queued",
        "channels": [
            f"databases.video_metadata.tables.videos.rows.{video.id}",
            "databases.video_metadata.tables.scenes.rows",
        ],
    }
    assert (video.owner_id, video.script) == (ada.id, SCRIPT)
    assert (video.parsed_options.aspect, video.parsed_options.speed) == ("1:1", 1.2)


def test_an_execution_without_a_path_creates_too(ada: Caller) -> None:
    assert ada.call("POST", "/", {"script": SCRIPT}).status == 202


def test_the_user_is_who_is_signed_in_whatever_the_body_says(ada: Caller, eve: Caller, store: AppwriteStore) -> None:
    video_id = made_by(ada, userId=eve.id)

    assert store.get_video(video_id).owner_id == ada.id
    assert eve.call("GET", f"/videos/{video_id}").status == 404


def test_a_server_key_names_the_user(backend: Running, ada: Caller) -> None:
    server = with_key(backend.endpoint, backend.project, backend.key)

    video_id = made_by(server, userId=ada.id)

    assert ada.call("GET", f"/videos/{video_id}").body["videoId"] == video_id


def test_who_is_not_signed_in_cannot_execute(backend: Running) -> None:
    before = videos_recorded(backend)

    with pytest.raises(AppwriteException) as raised:
        Caller(client(backend.endpoint, backend.project)).call("POST", "/videos", {"script": SCRIPT})
    assert raised.value.code == 401
    assert videos_recorded(backend) == before


_LONG = "A sentence about volcanoes, said again. "
_BAD: list[tuple[object, str, str]] = [
    ("", "topic_required", "topic"),
    ({}, "topic_required", "topic"),
    ({"description": "only this"}, "topic_required", "topic"),
    ("{broken", "not_json", "body"),
    ("[1, 2]", "not_an_object", "body"),
    ({"topic": "Volcanoes"}, "topic_needs_model", "script"),
    ({"topic": 7}, "not_text", "topic"),
    ({"topic": "v" * 600}, "too_long", "topic"),
    ({"script": ""}, "script_empty", "script"),
    ({"script": " \n\t "}, "script_empty", "script"),
    ({"script": "Too short."}, "script_too_short", "script"),
    ({"script": ["a", "list"]}, "not_text", "script"),
    ({"script": _LONG * 25_000}, "too_long", "script"),
    ({"script": SCRIPT + "\x00\x01"}, "control_characters", "script"),
    ({"script": SCRIPT + "\ufffd\ufffd"}, "wrong_encoding", "script"),
    ({"script": "<html><body><p>" + SCRIPT}, "markup", "script"),
    ({"script": "\n\n".join(f"Scene number {n} is here." for n in range(500))}, "too_many_scenes", "script"),
    ({"script": SCRIPT, "aspect": "4:3"}, "unknown_value", "aspect"),
    ({"script": SCRIPT, "resolution": 100_000}, "unknown_value", "resolution"),
    ({"script": SCRIPT, "resolution": "big"}, "unknown_value", "resolution"),
    ({"script": SCRIPT, "style": "; rm -rf /"}, "unknown_value", "style"),
    ({"script": SCRIPT, "engine": "../cards"}, "unknown_value", "engine"),
    ({"script": SCRIPT, "captions": "sideways"}, "unknown_value", "captions"),
    ({"script": SCRIPT, "voice": "x'; DROP TABLE videos"}, "unknown_value", "voice"),
    ({"script": SCRIPT, "language": "xx-none"}, "language_not_spoken", "language"),
    ({"script": SCRIPT, "speed": 9}, "out_of_range", "speed"),
    ({"script": SCRIPT, "speed": "fast"}, "not_a_number", "speed"),
    ({"script": SCRIPT, "speed": True}, "not_a_number", "speed"),
    ({"script": SCRIPT, "seed": -1}, "out_of_range", "seed"),
    ({"script": SCRIPT, "target_seconds": 10**9}, "out_of_range", "target_seconds"),
    ({"script": SCRIPT, "max_cost_usd": -5}, "out_of_range", "max_cost_usd"),
    ({"script": SCRIPT, "title": "t" * 200}, "too_long", "title"),
    ({"script": SCRIPT, "music_file_id": "../../etc/passwd"}, "unknown_value", "music_file_id"),
    ({"script": SCRIPT, "music_file_id": "nothing-there"}, "music_not_found", "music_file_id"),
    ({"script": SCRIPT, "colour": "red"}, "unknown_option", "colour"),
    ({"script": SCRIPT, "idempotency_key": "two words"}, "bad_key", "idempotency_key"),
]


@pytest.mark.parametrize(
    ("body", "code", "field"), _BAD, ids=[f"{code}-{field}-{i}" for i, (_, code, field) in enumerate(_BAD)]
)
def test_bad_input_is_a_sentence_a_code_and_a_field_and_nothing_is_recorded(
    backend: Running, ada: Caller, body: object, code: str, field: str
) -> None:
    before = videos_recorded(backend)

    reply = ada.call("POST", "/videos", body)

    assert reply.status == 400
    assert (reply.body["success"], reply.body["code"], reply.body["field"]) == (False, code, field)
    assert reply.body["error"].strip()
    assert videos_recorded(backend) == before


def test_a_missing_topic_is_answered_in_the_documented_words(ada: Caller) -> None:
    reply = ada.call("POST", "/videos", {"description": "no topic"})

    assert (reply.status, reply.body["error"]) == (400, "Topic is required")


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE videos; -- is what a villain types into every form he finds on the way.",
        '"]}, {"method": "equal", "attribute": "owner_id", "values": ["x"]} is a query, or a text.',
        "<speak>Volcanoes <break time='10s'/> sleep &amp; wake.</speak> That was no speech markup.",
        "{\\an8}{\\fs200}Volcanoes are no override tags, and \\N is no line break in a script of ours.",
        "../../../../etc/passwd and file:///etc/shadow are only words when they stand in a script.",
        "$(touch /tmp/x) `reboot` && true | cat > /dev/null; this is a text about a shell, no command.",
    ],
)
def test_text_is_data_whatever_it_looks_like(ada: Caller, store: AppwriteStore, text: str) -> None:
    assert store.get_video(made_by(ada, script=text)).script == text


# ---- the same request twice


def test_the_same_key_with_the_same_body_is_the_same_video(backend: Running, ada: Caller) -> None:
    key = secrets.token_hex(8)
    first = ada.call("POST", "/videos", {"script": SCRIPT}, Idempotency_Key=key)
    recorded = videos_recorded(backend)

    second = ada.call("POST", "/videos", {"script": SCRIPT}, Idempotency_Key=key)

    assert first.status == second.status == 202
    assert second.body["videoId"] == first.body["videoId"]
    assert videos_recorded(backend) == recorded


def test_the_same_key_with_another_body_is_refused(backend: Running, ada: Caller) -> None:
    key = secrets.token_hex(8)
    ada.call("POST", "/videos", {"script": SCRIPT}, Idempotency_Key=key)
    recorded = videos_recorded(backend)

    for other in ({"script": SCRIPT + " And then?"}, {"script": SCRIPT, "aspect": "16:9"}):
        reply = ada.call("POST", "/videos", other, Idempotency_Key=key)
        assert (reply.status, reply.body["code"]) == (409, "idempotency_key_reused")
    assert videos_recorded(backend) == recorded


def test_the_same_key_of_another_user_is_another_video(ada: Caller, eve: Caller) -> None:
    key = secrets.token_hex(8)
    ids = {c.call("POST", "/videos", {"script": SCRIPT}, Idempotency_Key=key).body["videoId"] for c in (ada, eve)}

    assert len(ids) == 2


# ---- reading


def test_a_video_is_shown_to_its_owner_with_everything_a_page_needs(ada: Caller) -> None:
    video_id = made_by(ada, title="Mountains of fire")

    body = wait_for(lambda: (b := ada.call("GET", f"/videos/{video_id}").body)["scenes"] and b, "the storyboard")

    assert body["success"] is True
    assert body["videoId"] == video_id
    assert body["status"] in set(VideoStatus)
    assert 0 <= body["progress"] <= 100
    assert body["currentStep"]
    assert body["createdAt"] <= body["updatedAt"]
    assert [scene["sceneNumber"] for scene in body["scenes"]] == list(range(1, len(body["scenes"]) + 1))
    assert all(scene["narration"] and scene["description"] and scene["title"] for scene in body["scenes"])
    assert (body["play_url"], body["error"]) == (None, None)
    assert body["options"]["title"] == "Mountains of fire"
    assert body["channels"][0].endswith(video_id)


@pytest.mark.parametrize("path", ["/videos/nothing", "/videos/..", "/videos/%00", "/videos/" + "x" * 200])
def test_an_unknown_video_is_not_found(ada: Caller, path: str) -> None:
    reply = ada.call("GET", path)

    assert reply.status == 404
    assert (reply.body["success"], reply.body["error"]) == (False, "Video not found")


def test_somebody_elses_video_looks_as_if_it_were_not_there(ada: Caller, eve: Caller) -> None:
    video_id = made_by(ada)

    for path in (f"/videos/{video_id}", f"/videos/{video_id}/film"):
        strange, unknown = eve.call("GET", path), eve.call("GET", path.replace(video_id, "nothing"))
        assert (strange.status, strange.body) == (unknown.status, unknown.body)
        assert strange.body["error"] == "Video not found"


def test_a_film_that_is_not_ready_is_refused_with_its_state(ada: Caller) -> None:
    reply = ada.call("GET", f"/videos/{made_by(ada)}/film")

    assert (reply.status, reply.body["code"]) == (409, "film_not_ready")


def test_a_list_holds_ones_own_videos_by_status_and_page(ada: Caller, eve: Caller, store: AppwriteStore) -> None:
    ids = [made_by(ada, title=f"Part {n}") for n in range(3)]
    made_by(eve)
    cancelled = wait_for(lambda: cancel(store, ids[1]), "a moment to cancel the video")

    everything = ada.call("GET", "/videos").body
    assert ([v["videoId"] for v in everything["videos"]], everything["total"]) == (ids[::-1], 3)
    page = ada.call("GET", "/videos?limit=1&offset=2").body
    assert ([v["videoId"] for v in page["videos"]], page["total"]) == ([ids[0]], 3)
    chosen = ada.call("GET", "/videos?status=cancelled").body
    assert ([v["videoId"] for v in chosen["videos"]], chosen["total"]) == ([cancelled.id], 1)


def cancel(store: AppwriteStore, video_id: str) -> Video | None:
    """Cancel a video once the function has handed it out."""
    video = store.get_video(video_id)
    if video.status is not VideoStatus.RENDERING or not video.stage.startswith("Waiting"):
        return None
    return store.advance(video, status=VideoStatus.CANCELLED, due_at=None)


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=asleep", "status"), ("limit=9999", "limit"), ("limit=-1", "limit"), ("offset=x", "offset")],
)
def test_a_list_that_cannot_be_is_refused_naming_the_field(ada: Caller, query: str, field: str) -> None:
    reply = ada.call("GET", f"/videos?{query}")

    assert (reply.status, reply.body["field"]) == (400, field)


def test_the_function_describes_itself(ada: Caller) -> None:
    reply = ada.call("GET", "/")

    assert reply.status == 200
    routes = {(r["method"], r["path"]) for r in reply.body["routes"]}
    assert {("POST", "/videos"), ("GET", "/videos"), ("GET", "/videos/{id}"), ("GET", "/health")} <= routes
    assert len(reply.body["flow"]) == 5
    for method, path in routes - {("POST", "/"), ("POST", "/videos")}:
        assert ada.call(method, path.replace("{id}", "nothing")).body.get("code") != "no_such_route"


def test_the_function_says_that_it_is_well(ada: Caller) -> None:
    assert ada.call("GET", "/health").body == {"success": True, "status": "ok", "renderer": "http"}


def test_unknown_routes_and_methods_are_told_apart(ada: Caller) -> None:
    assert (ada.call("GET", "/nothing").status, ada.call("GET", "/nothing").body["code"]) == (404, "no_such_route")
    assert (ada.call("DELETE", "/health").status, ada.call("PUT", "/videos").status) == (405, 405)


# ---- without a renderer


def test_without_a_renderer_a_video_waits_and_says_so(ada: Caller, store: AppwriteStore) -> None:
    video_id = made_by(ada)

    video = wait_for(lambda: waiting(store, video_id), "the hand-over to be tried")

    assert video.status is VideoStatus.RENDERING
    assert video.due_at is not None
    assert video.tries == 0
    assert "render server" in video.stage


def waiting(store: AppwriteStore, video_id: str) -> Video | None:
    """The video, once it waits for a renderer."""
    video = store.get_video(video_id)
    return video if video.stage.startswith("Waiting for a renderer") else None

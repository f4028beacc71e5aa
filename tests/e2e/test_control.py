"""What a person may ask of a video, through the function and the command line, with real films."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from appwrite.query import Query
from appwrite.services.functions import Functions

from core.adapters.appwrite_store import AppwriteStore
from core.documents import Asset, Options, Video
from core.schema import BUCKET_OF, FUNCTION
from core.status import SceneStatus, VideoStatus
from core.wiring import build_parts
from tests.e2e.conftest import RunningStack
from tests.e2e.test_cli import run
from tests.waiting import wait_for

from .people import Caller, Reply, anonymous, with_key

SCRIPT = """The lighthouse stands on the last rock before the open sea.

Every evening its keeper climbs the stairs and lights the lamp.

Ships far out see it, and know where the harbour is."""
NEW = "Nobody climbs the stairs tonight: the lamp has learnt to light itself."
_SECONDS = 180.0


@dataclass(frozen=True)
class Film:
    """A finished video, its owner, and what there was of it before a change."""

    id: str
    owner: Caller
    before: dict[str, Asset]
    scenes: list[dict[str, object]]


@pytest.fixture(scope="module")
def store(running_stack: RunningStack) -> AppwriteStore:
    """The documents as the service sees them."""
    store = build_parts(running_stack.settings).store
    assert isinstance(store, AppwriteStore)
    return store


@pytest.fixture(scope="module")
def eve(running_stack: RunningStack) -> Caller:
    """Somebody who owns none of the videos."""
    return anonymous(running_stack.endpoint, running_stack.project)


def begun(running_stack: RunningStack, script: str = SCRIPT) -> tuple[Caller, str]:
    """An anonymous user and the id of their new video."""
    ada = anonymous(running_stack.endpoint, running_stack.project)
    reply = ada.call("POST", "/videos", {"script": script, "resolution": 360})
    assert reply.status == 202, reply.body
    return ada, str(reply.body["videoId"])


def ended(store: AppwriteStore, video_id: str) -> Video:
    """The video once nobody works on it."""

    def look() -> Video | None:
        video = store.get_video(video_id)
        return video if video.is_terminal else None

    return wait_for(look, "the video to end", _SECONDS)


@pytest.fixture(scope="module")
def film(running_stack: RunningStack, store: AppwriteStore) -> Film:
    """A video that was cancelled once, resumed, and completed."""
    ada, video_id = begun(running_stack)
    wait_for(lambda: any(s.status is SceneStatus.RENDERED for s in store.scenes(video_id)), "a scene", _SECONDS)
    cancelled = ada.call("POST", f"/videos/{video_id}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    kept = {s.scene_number: s.assets for s in store.scenes(video_id) if s.status is SceneStatus.RENDERED}
    assert ada.call("POST", f"/videos/{video_id}/cancel").body["status"] == "cancelled"

    resumed = ada.call("POST", f"/videos/{video_id}/resume")

    assert resumed.status == 202
    assert resumed.body["status"] in ("rendering", "combining")
    assert ended(store, video_id).status is VideoStatus.COMPLETED
    assert {s.scene_number: s.assets for s in store.scenes(video_id) if s.scene_number in kept} == kept
    before = {asset.id: asset for asset in store.assets(video_id)}
    return Film(video_id, ada, before, ada.call("GET", f"/videos/{video_id}").body["scenes"])


def refused(reply: Reply, status: int, code: str) -> None:
    """It was refused in this way, with a sentence."""
    assert (reply.status, reply.body["success"], reply.body["code"]) == (status, False, code)
    assert reply.body["error"].strip()


_BAD_EDITS: list[tuple[object, str, str]] = [
    ({}, "nothing_to_change", "body"),
    ("[1]", "not_an_object", "body"),
    ({"narration": ""}, "narration_empty", "narration"),
    ({"narration": "..."}, "narration_empty", "narration"),
    ({"narration": 7}, "not_text", "narration"),
    ({"narration": "<html><body>Hello"}, "markup", "narration"),
    ({"narration": "a\x00b"}, "control_characters", "narration"),
    ({"narration": "word " * 1000}, "too_long", "narration"),
    ({"visual_prompt": " "}, "visual_prompt_empty", "visual_prompt"),
    ({"title": "t" * 300}, "too_long", "title"),
    ({"engine": "../cards"}, "unknown_value", "engine"),
    ({"colour": "red"}, "unknown_option", "colour"),
]


@pytest.mark.parametrize(("body", "code", "field"), _BAD_EDITS, ids=[f"{c}-{f}" for _, c, f in _BAD_EDITS])
def test_a_bad_change_is_refused_naming_the_field(film: Film, body: object, code: str, field: str) -> None:
    reply = film.owner.call("PATCH", f"/videos/{film.id}/scenes/2", body)

    refused(reply, 400, code)
    assert reply.body["field"] == field


def test_what_the_state_does_not_allow_is_refused_with_what_to_do(film: Film) -> None:
    refused(film.owner.call("POST", f"/videos/{film.id}/cancel"), 409, "nothing_to_cancel")
    refused(film.owner.call("POST", f"/videos/{film.id}/resume"), 409, "nothing_to_resume")
    refused(film.owner.call("POST", f"/videos/{film.id}/retry"), 409, "nothing_to_retry")
    refused(film.owner.call("POST", f"/videos/{film.id}/retry", {"scenes": [1]}), 409, "nothing_to_retry")
    refused(film.owner.call("POST", f"/videos/{film.id}/retry", {"scenes": [9]}), 400, "no_such_scene")
    refused(film.owner.call("POST", f"/videos/{film.id}/retry", {"scenes": "all"}), 400, "not_numbers")
    for number in ("9", "0", "x", "-1", "99999999"):
        refused(film.owner.call("PATCH", f"/videos/{film.id}/scenes/{number}", {"title": "T"}), 404, "scene_not_found")


def test_to_a_stranger_the_video_is_not_there(film: Film, eve: Caller) -> None:
    asked = [
        ("POST", "cancel"), ("POST", "retry"), ("POST", "resume"), ("POST", "process"), ("GET", "events"),
        ("PATCH", "scenes/1"),
    ]  # fmt: skip
    for method, what in asked:
        body = {"title": "Mine"} if method == "PATCH" else {}
        refused(eve.call(method, f"/videos/{film.id}/{what}", body), 404, "video_not_found")
    refused(eve.call("DELETE", f"/videos/{film.id}"), 404, "video_not_found")
    assert film.owner.call("GET", f"/videos/{film.id}").body["scenes"] == film.scenes


def test_the_log_tells_what_happened_in_order(film: Film) -> None:
    told = film.owner.call("GET", f"/videos/{film.id}/events").body["events"]

    kinds = [event["kind"] for event in told]
    wanted = ["created", "planned", "cancelled", "retried", "combining", "completed"]
    assert [kind for kind in kinds if kind in wanted] == wanted
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)
    assert all(event["sentence"] for event in told)
    page = film.owner.call("GET", f"/videos/{film.id}/events?limit=2&offset=1").body["events"]
    assert page == told[1:3]


def test_processing_by_hand_takes_the_id_from_path_query_or_body_and_leaves_a_finished_video_alone(film: Film) -> None:
    ways = [(f"/videos/{film.id}/process", None), (f"/process?id={film.id}", None), ("/process", {"id": film.id})]
    for path, body in ways:
        reply = film.owner.call("POST", path, body)
        assert (reply.status, reply.body["status"], reply.body["progress"]) == (202, "completed", 100)
    refused(film.owner.call("POST", "/process"), 400, "id_required")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_triggers_the_work_and_reads_where_it_stands(film: Film, running_stack: RunningStack) -> None:
    def curl(method: str, path: str) -> dict[str, object]:
        execution = json.dumps({"path": path, "method": method, "async": False})
        headers = {
            "content-type": "application/json",
            "x-appwrite-project": running_stack.project,
            "x-appwrite-session": film.owner.session,
        }
        shown = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        url = f"{running_stack.endpoint}/functions/{FUNCTION}/executions"
        command = ["curl", "-sS", "--noproxy", "*", "-X", "POST", *shown, "-d", execution, url]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return dict(json.loads(json.loads(said)["responseBody"]))

    assert curl("POST", f"/videos/{film.id}/process")["success"] is True
    status = curl("GET", f"/videos/{film.id}")
    assert (status["status"], status["progress"]) == ("completed", 100)
    assert status["currentStep"]


def test_an_edit_makes_that_scene_and_the_film_anew_and_nothing_else(film: Film, store: AppwriteStore) -> None:
    path = f"/videos/{film.id}/scenes/2"
    old = store.get_video(film.id)

    reply = film.owner.call("PATCH", path, {"narration": NEW})

    assert (reply.status, reply.body["status"]) == (202, "rendering")
    assert 10 < reply.body["progress"] < 100  # the share that is already made
    refused(film.owner.call("PATCH", path, {"narration": "And yet another thing is said."}), 409, "still_working")
    assert film.owner.call("GET", f"/videos/{film.id}").body["play_url"]  # the old film, as long as it is the film
    done = ended(store, film.id)
    assert (done.status, done.error_code) == (VideoStatus.COMPLETED, "")
    assert done.final_file_id != old.final_file_id
    fresh = Counter(a.kind for a in store.assets(film.id) if film.before.get(a.id) != a)
    assert fresh == Counter(voice=1, picture=1, clip=1, fade=2, film=1, srt=1, vtt=1)
    scenes = film.owner.call("GET", f"/videos/{film.id}").body["scenes"]
    assert [s["narration"] for s in scenes] == [film.scenes[0]["narration"], NEW, film.scenes[2]["narration"]]
    assert [new == before for new, before in zip(scenes, film.scenes, strict=True)] == [True, False, True]
    assert film.owner.call("PATCH", path, {"narration": NEW}).body["status"] == "completed"  # it is so already


def test_a_deleted_video_leaves_nothing_behind(film: Film, store: AppwriteStore, running_stack: RunningStack) -> None:
    play = film.owner.call("GET", f"/videos/{film.id}").body["play_url"]
    files = [(BUCKET_OF[a.kind], a.file_id) for a in store.assets(film.id)]
    with requests.get(play, timeout=30, stream=True) as played:
        assert played.status_code == 200

    reply = film.owner.call("DELETE", f"/videos/{film.id}")

    assert (reply.status, reply.body["deleted"]) == (200, True)
    refused(film.owner.call("GET", f"/videos/{film.id}"), 404, "video_not_found")
    refused(film.owner.call("DELETE", f"/videos/{film.id}"), 404, "video_not_found")
    kept = build_parts(running_stack.settings).files
    assert [f for f in files if kept.stat(*f)] == []
    assert requests.get(play, timeout=30).status_code in (401, 404)


def test_a_planning_that_failed_is_retried_without_anybody_waiting_for_it(
    running_stack: RunningStack, store: AppwriteStore
) -> None:
    ada = anonymous(running_stack.endpoint, running_stack.project)
    failed = Video(
        id=secrets.token_hex(8),
        owner_id=ada.id,
        script=SCRIPT,
        options=Options(resolution=360).to_json(),
        status=VideoStatus.FAILED,
        error_code="planner_failed",
    )
    store.create_video(failed)

    asked = ada.call("POST", f"/videos/{failed.id}/retry")

    assert (asked.status, asked.body["status"], asked.body["sceneCount"]) == (202, "queued", 0)
    planned = wait_for(lambda: store.get_video(failed.id).scene_count, "the storyboard", _SECONDS)
    assert planned == 3
    server = with_key(running_stack.endpoint, running_stack.project, running_stack.settings.api_key)
    path = Query.equal("requestPath", [f"/videos/{failed.id}/process"])
    assert Functions(server.client).list_executions(FUNCTION, queries=[path]).total == 1
    ada.call("DELETE", f"/videos/{failed.id}")


def test_the_command_line_asks_the_same_with_the_same_refusals(
    running_stack: RunningStack, store: AppwriteStore, tmp_path: Path
) -> None:
    _, video_id = begun(running_stack, "\n\n".join([SCRIPT] * 4))  # long enough to be at work while commands start
    data = ("--data", running_stack.data)

    cancelled = run("cancel", video_id, *data, cwd=tmp_path)
    again = run("cancel", video_id, "--json", *data, cwd=tmp_path)
    assert (cancelled.returncode, cancelled.stdout.split(" | ")[0]) == (0, "cancelled"), cancelled.stderr
    assert json.loads(again.stdout)["status"] == "cancelled"
    wrong = run("edit", video_id, "1", "--engine", "none", *data, cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.split(":")[0]) == (2, "unknown_value")

    resumed = run("resume", video_id, *data, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    working = run("retry", video_id, "--scene", "1", *data, cwd=tmp_path)
    assert (working.returncode, working.stderr.split(":")[0]) == (2, "still_working")
    log = run("events", video_id, *data, cwd=tmp_path).stdout
    assert "A person asked to go on." in log

    deleted = run("delete", video_id, "--yes", *data, cwd=tmp_path)
    assert deleted.returncode == 0, deleted.stderr

    def gone() -> bool:
        found, _ = store.list_videos("", limit=100)
        return video_id not in [v.id for v in found]

    wait_for(gone, "the deletion to be finished", _SECONDS)
    assert run("events", video_id, *data, cwd=tmp_path).returncode == 2

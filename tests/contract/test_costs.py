"""What videos cost and may cost, against the embedded server, on machines that are said to cost money."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.adapters.inline_dispatch import InlineDispatcher
from core.costs import Meter, accounts_of, spent_today, total
from core.documents import Scene, Video
from core.engine_ports import ClipEngine, Engines, Report, Shot
from core.errors import InvalidInputError, LimitError, ScenewrightError
from core.plan import plan
from core.ports import Job, Parts
from core.progress import Reporter
from core.routes import Call, answer
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.wiring import build_choices, build_engines, build_parts, run_job
from tests.emulator.conftest import Running
from tests.waiting import wait_for

SCRIPT = "The sea is wide and blue today.\n\nA boat sails out and comes home at night."
RENDER, COMPOSE = "L4,4,16", ",4,4"
LOW = {"max_cost_usd": 0.0001}


class Deployment:
    """Every part in this process, with machines that cost money."""

    def __init__(self, server: Running, engines: Engines, **settings: Any) -> None:
        self.settings = Settings(
            endpoint=server.endpoint,
            project_id=server.project,
            api_key=server.key,
            renderer="inline",
            parallel_calls=1,
            **{"render_machine": RENDER, "compose_machine": COMPOSE, "report_seconds": 0.2, **settings},
        )
        self.parts: Parts = build_parts(self.settings)
        assert isinstance(self.parts.dispatcher, InlineDispatcher)
        self.parts.dispatcher.run = lambda job: run_job(self.parts, engines, job)
        self.choices = build_choices(self.settings, self.parts.files)

    def ask(self, method: str, path: str, body: object = None, user: str = "") -> dict[str, Any]:
        """One execution of the function."""
        call = Call("http", "", method, path, {}, json.dumps(body) if body else "", user, "")
        return answer(self.parts, self.choices, call).body

    def make(self, user: str, **options: Any) -> Video:
        """A video from its request to its end."""
        body = {"script": SCRIPT, "resolution": 360, **options}
        video_id = self.ask("POST", "/videos", body, user)["videoId"]
        plan(self.parts, video_id, self.choices)
        return self.ended(video_id)

    def ended(self, video_id: str) -> Video:
        """The video when nobody works on it any more."""
        wait_for(lambda: self.parts.store.get_video(video_id).is_terminal, "the end of the video", 120)
        assert isinstance(self.parts.dispatcher, InlineDispatcher)
        self.parts.dispatcher.wait(60)  # what a call spent after its last word is told now
        return self.parts.store.get_video(video_id)

    def made(self, video: Video) -> list[tuple[int, str]]:
        """(scene, sentence) of every asset that was made."""
        events = self.parts.store.events(video.id)
        return [(e.scene_number, e.sentence) for e in events if e.kind == "asset_made"]


class LowersTheLimit:
    """Implements engine_ports.ClipEngine over the real one; something happens after each clip."""

    def __init__(self, inner: ClipEngine, then: Callable[[], object]) -> None:
        self._inner, self._then = inner, then
        self.id, self.version = inner.id, inner.version

    def film(self, shot: Shot, span: range, captions: str | None, out: Path, report: Report) -> Mapping[str, Any]:
        """Film it, then let it happen."""
        facts = self._inner.film(shot, span, captions, out, report)
        self._then()
        return facts

    def fade(self, before: Shot, after: Shot, frames: int, out: Path) -> Mapping[str, Any]:
        """As the real one."""
        return self._inner.fade(before, after, frames, out)


@pytest.fixture(scope="module")
def engines() -> Engines:
    """The makers, built once."""
    return build_engines(Settings())


@pytest.fixture(scope="module")
def deployment(appwrite: Running, engines: Engines) -> Deployment:
    """Machines that cost money, and no limits."""
    return Deployment(appwrite, engines)


@pytest.fixture(scope="module")
def film(deployment: Deployment) -> Iterator[tuple[str, Video]]:
    """A user and a completed video of theirs."""
    user = secrets.token_hex(8)
    video = deployment.make(user)
    assert video.status is VideoStatus.COMPLETED, video.error_message
    yield user, video


def lines(receipt: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """The lines of a receipt with these values."""
    return [line for line in receipt["lines"] if all(line[name] == value for name, value in wanted.items())]


# ---- what was spent


def test_scenes_videos_and_events_say_what_they_cost(deployment: Deployment, film: tuple[str, Video]) -> None:
    _, video = film
    scenes = deployment.parts.store.scenes(video.id)
    made = [e for e in deployment.parts.store.events(video.id) if e.kind == "asset_made" and e.scene_number]

    assert all(scene.cost_usd > 0 for scene in scenes)
    assert video.cost_usd > sum(scene.cost_usd for scene in scenes)  # and the join, and what is of no scene
    assert len(made) == 6
    assert all(event.cost_usd > 0 for event in made)


def test_a_receipt_names_every_scene_and_stage_and_sums_up_to_the_cost(
    deployment: Deployment, film: tuple[str, Video]
) -> None:
    user, video = film
    receipt = deployment.ask("GET", f"/videos/{video.id}/receipt", user=user)
    rate = deployment.settings.machine_of("render").usd_per_second

    assert sum(line["usd"] for line in receipt["lines"]) == pytest.approx(video.cost_usd, abs=1e-9)
    assert receipt["costUsd"] == video.cost_usd
    for number in (1, 2):
        for stage in ("voice", "picture", "clip"):
            (line,) = lines(receipt, scene=number, stage=stage)
            assert line["machine"] == RENDER
            assert line["usd"] == pytest.approx(line["seconds"] * rate, rel=0.01, abs=rate * 0.001)
    (join,) = lines(receipt, stage="join")
    assert join["machine"] == COMPOSE
    assert join["usd"] > 0
    assert lines(receipt, reused=True) == []


def test_the_seconds_of_a_receipt_are_those_the_machines_ran(deployment: Deployment, film: tuple[str, Video]) -> None:
    """One call at a time here: together they cannot have run longer than the video took."""
    user, video = film
    receipt = deployment.ask("GET", f"/videos/{video.id}/receipt", user=user)
    (completed,) = (e for e in deployment.parts.store.events(video.id) if e.kind == "completed")

    assert 0.2 * completed.seconds < receipt["seconds"] < completed.seconds + 10


def test_nobody_else_sees_a_receipt(deployment: Deployment, film: tuple[str, Video]) -> None:
    with pytest.raises(ScenewrightError) as raised:
        deployment.ask("GET", f"/videos/{film[1].id}/receipt", user="somebody-else")

    assert raised.value.code == "video_not_found"


def test_a_quote_comes_close_to_what_it_costs(deployment: Deployment, film: tuple[str, Video]) -> None:
    user, video = film
    quote = deployment.ask("POST", "/quote", {"script": SCRIPT, "resolution": 360}, user)

    assert video.cost_usd / 3 < quote["usd"] < video.cost_usd * 3
    assert quote["usdLow"] < quote["usd"] < quote["usdHigh"]
    assert (quote["sceneCount"], quote["machines"]) == (2, {"render": RENDER, "compose": COMPOSE})
    assert quote["learntFromVideos"] >= 1
    assert quote["gpuSeconds"] > 0
    assert quote["stageSeconds"].keys() == {"start", "voice", "picture", "clip", "join"}


def test_a_quote_needs_what_a_video_needs_and_records_nothing(deployment: Deployment) -> None:
    user = secrets.token_hex(8)
    with pytest.raises(InvalidInputError) as raised:
        deployment.ask("POST", "/quote", {"script": "Too short."}, user)

    assert raised.value.field == "script"
    assert deployment.parts.store.list_videos(user) == ([], 0)


def test_a_request_that_is_expected_to_cost_more_than_it_may_is_refused(deployment: Deployment) -> None:
    with pytest.raises(InvalidInputError) as raised:
        deployment.ask("POST", "/videos", {"script": SCRIPT, "max_cost_usd": 0.00001}, secrets.token_hex(8))

    assert (raised.value.code, raised.value.field) == ("over_max_cost", "max_cost_usd")
    assert "$0.00001" in raised.value.sentence


def test_machines_that_cost_nothing_are_counted_by_the_same_code(appwrite: Running, engines: Engines) -> None:
    free = Deployment(appwrite, engines, render_machine="", compose_machine="", max_usd_per_video=0.000001)
    user = secrets.token_hex(8)
    video = free.make(user, max_cost_usd=0.000001)
    receipt = free.ask("GET", f"/videos/{video.id}/receipt", user=user)

    assert (video.status, video.cost_usd) == (VideoStatus.COMPLETED, 0.0)
    assert lines(receipt, scene=1, stage="clip")[0]["seconds"] > 0
    assert {line["usd"] for line in receipt["lines"]} == {0.0}


# ---- twice, and killed


def test_a_call_that_is_delivered_twice_makes_nothing_twice_and_costs_both_times(
    deployment: Deployment, engines: Engines, film: tuple[str, Video]
) -> None:
    """The second copy finds out at once that it is not wanted; what its machine ran for it is on the account."""
    video = deployment.parts.store.get_video(film[1].id)
    made = deployment.made(video)
    job = Job("render", video.id, 1, (1, 2))

    run_job(deployment.parts, engines, job, before=5.0)
    after = deployment.parts.store.get_video(video.id)
    rate = deployment.settings.machine_of("render").usd_per_second

    assert deployment.made(video) == made
    assert after.status is VideoStatus.COMPLETED
    assert after.cost_usd - video.cost_usd == pytest.approx(5 * rate, rel=0.5)
    assert total(accounts_of(after)) == after.cost_usd
    assert len(accounts_of(after)) == len(accounts_of(video)) + 1


def test_a_call_that_is_killed_has_cost_what_its_heartbeats_told(deployment: Deployment) -> None:
    store, owner = deployment.parts.store, secrets.token_hex(8)
    rendering = Video(id=secrets.token_hex(8), owner_id=owner, status=VideoStatus.RENDERING, attempt=1, scene_count=1)
    video = store.create_video(rendering)
    scene = Scene(id=f"{video.id}-1", video_id=video.id, scene_number=1, narration="The sea is wide.", attempt=1)
    scene = store.create_scene(replace(scene, status=SceneStatus.RENDERING), owner)
    machine, job = deployment.settings.machine_of("render"), Job("render", video.id, 1, (1,))
    meter = Meter(machine, job, deployment.parts.clock.now(), before=3.0)

    with pytest.raises(KeyboardInterrupt), Reporter(deployment.parts, video, meter) as reporter:
        reporter.hold(scene)
        with meter.span("1/picture"):
            wait_for(lambda: store.get_video(video.id).cost_usd > 3 * machine.usd_per_second, "a heartbeat", 60)
            raise KeyboardInterrupt  # nothing is written after this

    receipt = deployment.ask("GET", f"/videos/{video.id}/receipt", user=owner)
    assert {(line["scene"], line["stage"]) for line in receipt["lines"]} >= {(None, "start"), (1, "picture")}
    assert sum(line["usd"] for line in receipt["lines"]) == pytest.approx(receipt["costUsd"], abs=1e-9)


# ---- after an edit


def test_an_edit_adds_what_is_made_anew_and_names_what_was_there_at_nothing(
    deployment: Deployment, film: tuple[str, Video]
) -> None:
    user, _ = film
    before = deployment.parts.store.get_video(film[1].id)
    old = {s.scene_number: s.cost_usd for s in deployment.parts.store.scenes(before.id)}
    deployment.ask("PATCH", f"/videos/{before.id}/scenes/2", {"narration": "Gulls follow every boat."}, user)
    after = deployment.ended(before.id)
    receipt = deployment.ask("GET", f"/videos/{after.id}/receipt", user=user)
    new = {s.scene_number: s.cost_usd for s in deployment.parts.store.scenes(after.id)}

    assert after.status is VideoStatus.COMPLETED
    assert after.cost_usd > before.cost_usd
    assert new[1] == old[1]
    assert new[2] > old[2]
    reused = {(line["scene"], line["stage"]) for line in lines(receipt, reused=True)}
    assert {(1, "voice"), (1, "picture"), (1, "clip")} <= reused
    assert (2, "voice") not in reused
    assert sum(line["usd"] for line in receipt["lines"]) == pytest.approx(after.cost_usd, abs=1e-9)


# ---- limits


def test_a_limit_stops_before_the_next_asset_and_a_retry_with_a_higher_one_goes_on(
    deployment: Deployment, engines: Engines, appwrite: Running
) -> None:
    """The limit is lowered while the first scene is filmed, as if it had cost more than was thought."""
    user, video_ids = secrets.token_hex(8), list[str]()
    clips = LowersTheLimit(engines.clip, lambda: deployment.ask("PATCH", f"/videos/{video_ids[0]}", LOW, user))
    tight = Deployment(appwrite, replace(engines, clip=clips))
    video_ids.append(tight.ask("POST", "/videos", {"script": SCRIPT, "resolution": 360, "seed": 7}, user)["videoId"])
    plan(tight.parts, video_ids[0], tight.choices)
    stopped = tight.ended(video_ids[0])
    made = tight.made(stopped)

    assert (stopped.status, stopped.error_code) == (VideoStatus.FAILED, "cost_limit")
    assert "$0.0001" in stopped.error_message
    assert {number for number, _ in made} == {1}
    scenes = tight.parts.store.scenes(stopped.id)
    assert [scene.status for scene in scenes] == [SceneStatus.RENDERED, SceneStatus.PLANNED]
    assert stopped.cost_usd > scenes[0].cost_usd > 0

    with pytest.raises(LimitError):
        deployment.ask("POST", f"/videos/{stopped.id}/retry", {}, user)
    deployment.ask("POST", f"/videos/{stopped.id}/retry", {"max_cost_usd": 10}, user)
    done = deployment.ended(stopped.id)
    again = deployment.made(done)

    assert done.status is VideoStatus.COMPLETED, done.error_message
    assert done.cost_usd > stopped.cost_usd
    assert again[: len(made)] == made
    assert len({sentence for _, sentence in again}) == len(again)  # nothing was made twice


def test_the_deployments_limit_holds_where_it_is_lower(appwrite: Running, engines: Engines) -> None:
    tight = Deployment(appwrite, engines, max_usd_per_video=0.000002)
    video = tight.make(secrets.token_hex(8), max_cost_usd=10)

    assert (video.status, video.error_code) == (VideoStatus.FAILED, "cost_limit")
    assert "$0.000002" in video.error_message
    assert tight.made(video) == []


def test_a_users_limit_of_a_day_counts_all_their_videos_also_deleted_ones(
    deployment: Deployment, appwrite: Running, engines: Engines, film: tuple[str, Video]
) -> None:
    user, video = film
    spent = spent_today(deployment.parts, user)
    daily = Deployment(appwrite, engines, max_usd_per_user_day=spent)
    told = daily.ask("GET", "/costs", user=user)
    assert (told["usd"], told["maxUsd"]) == (pytest.approx(spent), spent)

    refused = daily.make(user)
    assert (refused.status, refused.error_code) == (VideoStatus.FAILED, "daily_cost_limit")

    daily.ask("DELETE", f"/videos/{video.id}", user=user)
    assert spent_today(daily.parts, user) == pytest.approx(spent)
    assert daily.make(user).error_code == "daily_cost_limit"
    other = daily.parts.store.create_video(
        replace(video, id=secrets.token_hex(8), owner_id="other", costs="", cost_usd=0.0)
    )
    assert spent_today(daily.parts, other.owner_id) == 0.0

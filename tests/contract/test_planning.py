"""What a language model's help and its absence do to a video: stages, dates, costs, warnings, refusals."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import assets, control
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.create import create_video
from core.documents import Options, SceneSpec, Storyboard, Video
from core.engine_ports import StoryboardBrief
from core.engines.script_gemini import GeminiModel
from core.engines.script_model import Question, Reply
from core.engines.script_planner import ScriptPlanner
from core.engines.script_slots import Slots
from core.errors import InvalidInputError
from core.identity import slots_id
from core.ladder import completed_stage, substitutions
from core.plan import plan
from core.ports import Parts
from core.quote import receipt
from core.request import validate
from core.settings import Settings
from core.status import VideoStatus
from core.sweep import look_after, sweep
from core.wiring import build_choices
from tests.contract.told import Clock, Renderer
from tests.standins import gemini as vendor
from tests.standins.gemini import Gemini

SETTINGS = Settings(gemini_api_key=vendor.KEY)


@pytest.fixture
def google() -> Iterator[Gemini]:
    """A stand-in of Gemini."""
    with vendor.gemini() as running:
        yield running


MakeParts = Callable[..., Parts]


@pytest.fixture
def make_parts(store: AppwriteStore, files: AppwriteFiles, google: Gemini) -> MakeParts:
    """Builds real documents and files with a planner that asks the stand-in."""

    def make(clock: Clock | None = None, *, per_minute: int = 0, settings: Settings = SETTINGS) -> Parts:
        clock = clock or Clock()
        planner = ScriptPlanner(
            GeminiModel(vendor.KEY, url=google.url),
            Slots(store, clock, per_minute, 0),
            clock,
            seconds=20.0,
            offers=("cards",),
            scenes_max=60,
        )
        return Parts(store, files, Renderer(), planner, settings, clock)

    return make


def asked(parts: Parts, **options: Any) -> Video:
    """A topic as a request records it."""
    wished = Options(**({"resolution": 360, "target_seconds": 30} | options)).to_json()
    video = Video(id=secrets.token_hex(8), owner_id="someone", topic="Why harbours wake early", options=wished)
    return parts.store.create_video(video)


def planned(parts: Parts, video: Video) -> Video:
    """Plan it; what it is then."""
    plan(parts, video.id, build_choices(SETTINGS, parts.files))
    return parts.store.get_video(video.id)


def sentences(parts: Parts, video: Video, kind: str) -> list[str]:
    """What its log says of one kind."""
    return [e.sentence for e in parts.store.events(video.id) if e.kind == kind]


def test_a_topic_is_planned_and_handed_to_the_renderer_with_what_it_cost(make_parts: MakeParts) -> None:
    parts = make_parts()

    video = planned(parts, asked(parts))

    usd = 1200 * 0.25e-6 + 900 * 1.5e-6
    assert (video.status, video.scene_count, video.substitutions) == (VideoStatus.RENDERING, 3, "")
    assert video.cost_usd == pytest.approx(usd)
    (said,) = sentences(parts, video, "planned")
    assert said == (
        f"The storyboard has 3 scenes, planned with {vendor.MODEL} in 1 call (1,200 tokens in and 900 out; $0.00165)."
    )
    (asset,) = parts.store.assets(video.id)
    assert (asset.facts["strategy"], asset.facts["model"]["input_tokens"]) == ("model", 1200)
    bill = receipt(parts, video, parts.store.scenes(video.id))
    assert [(line["stage"], line["machine"], line["usd"]) for line in bill["lines"]] == [
        ("planning", vendor.MODEL, pytest.approx(usd))
    ]


def test_asking_for_a_video_asks_no_model(make_parts: MakeParts, google: Gemini) -> None:
    parts = make_parts()
    request = validate({"topic": "Why harbours wake early", "resolution": 360}, build_choices(SETTINGS, parts.files))

    video = create_video(parts, request, "someone")

    assert (video.status, google.bodies) == (VideoStatus.QUEUED, [])


def test_a_topic_whose_film_could_not_be_kept_is_refused_before_anything_is_asked(make_parts: MakeParts) -> None:
    body = {"topic": "Harbours", "target_seconds": 1800, "resolution": 1080}

    with pytest.raises(InvalidInputError) as refused:
        validate(body, build_choices(SETTINGS, make_parts().files))

    assert (refused.value.code, refused.value.field) == ("film_too_large", "target_seconds")


def test_a_storyboard_that_is_found_again_is_paid_for_once(make_parts: MakeParts, google: Gemini) -> None:
    parts = make_parts()
    video = planned(parts, asked(parts))

    again = parts.store.advance(parts.store.get_video(video.id), status=VideoStatus.FAILED)
    again = parts.store.advance(again, status=VideoStatus.QUEUED, attempt=again.attempt + 1)
    after = planned(parts, again)

    assert (after.status, len(google.bodies)) == (VideoStatus.RENDERING, 1)
    assert after.cost_usd == video.cost_usd


def test_what_a_model_could_not_do_stands_in_the_video_its_log_and_its_last_stage(
    make_parts: MakeParts, google: Gemini
) -> None:
    google.reset(always="malformed")
    parts = make_parts()

    video = planned(parts, asked(parts))

    said = "The topic was told in five plain scenes, because the language model was of no help"
    assert (video.status, video.scene_count) == (VideoStatus.RENDERING, 5)
    assert said in video.stage
    (row,) = json.loads(video.substitutions)
    assert (row["scene"], row["what"], row["used"], said in row["why"]) == (0, "storyboard", "plain words", True)
    assert said in sentences(parts, video, "substituted")[0]
    scenes = parts.store.scenes(video.id)
    assert json.loads(substitutions(scenes, video.substitutions)) == [row]
    assert completed_stage(scenes, video.substitutions).startswith(f"Your video is ready; {said}")
    assert video.cost_usd > 0


def test_a_topic_the_model_refuses_fails_with_the_reason(make_parts: MakeParts, google: Gemini) -> None:
    google.reset(always="prompt_blocked")
    parts = make_parts()

    video = planned(parts, asked(parts))

    assert (video.status, video.error_code) == (VideoStatus.FAILED, "planner_blocked")
    assert "refuses this text (SAFETY)" in video.error_message


def test_what_a_model_took_for_a_topic_it_then_refuses_is_counted(make_parts: MakeParts, google: Gemini) -> None:
    google.reset("malformed", always="prompt_blocked")
    parts = make_parts()

    video = planned(parts, asked(parts))

    bill = receipt(parts, video, [])
    assert (video.status, video.error_code) == (VideoStatus.FAILED, "planner_blocked")
    assert [line["stage"] for line in bill["lines"]] == ["planning"]
    assert 0 < video.cost_usd == pytest.approx(sum(line["usd"] for line in bill["lines"]))


def test_a_planner_that_dies_after_an_answer_has_counted_it_and_the_next_one_counts_its_own(
    make_parts: MakeParts, google: Gemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DiedError(BaseException):
        """The process is gone."""

    def died(*_: object) -> None:
        raise DiedError

    parts = make_parts()
    video = asked(parts)
    with monkeypatch.context() as dying, pytest.raises(DiedError):
        dying.setattr(assets, "keep", died)
        planned(parts, video)
    once = parts.store.get_video(video.id)
    parts.clock.sleep(SETTINGS.planning_seconds + 1)
    look_after(parts, once, build_choices(SETTINGS, parts.files))
    after = parts.store.get_video(video.id)

    assert (once.status, len(google.bodies), after.status) == (VideoStatus.PLANNING, 2, VideoStatus.RENDERING)
    assert once.cost_usd > 0
    assert after.cost_usd == pytest.approx(2 * once.cost_usd)


def test_a_cancel_during_the_planning_ends_the_asking_and_the_answer_is_counted(
    make_parts: MakeParts, google: Gemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make_parts()
    video = asked(parts, target_seconds=300)  # more than one question
    ask = GeminiModel.ask

    def cancelled(model: GeminiModel, question: Question, seconds: float) -> Reply:
        reply = ask(model, question, seconds)
        control.cancel(parts, parts.store.get_video(video.id))
        return reply

    monkeypatch.setattr(GeminiModel, "ask", cancelled)
    after = planned(parts, video)

    assert (after.status, len(google.bodies)) == (VideoStatus.CANCELLED, 1)
    assert after.cost_usd > 0
    assert parts.store.scenes(video.id) == []


def test_a_video_waits_for_the_next_minute_when_no_call_is_free_and_goes_on_by_itself(
    make_parts: MakeParts, google: Gemini
) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    clock = Clock(minute + timedelta(seconds=20))
    parts = make_parts(clock, per_minute=1)
    first, second = asked(parts), asked(parts)
    planned(parts, first)

    waiting = planned(parts, second)

    assert (waiting.status, waiting.tries, len(google.bodies)) == (VideoStatus.PLANNING, 0, 1)
    assert waiting.stage == "Waiting to be planned: All 1 calls of this minute to the language model are taken."
    assert datetime.fromisoformat(waiting.due_at or "") == minute + timedelta(minutes=1)
    assert sentences(parts, waiting, "waiting") == [waiting.stage]
    look_after(parts, waiting, build_choices(SETTINGS))  # too early: it waits on, and says nothing twice
    waiting = parts.store.get_video(waiting.id)
    assert (waiting.status, waiting.tries, len(google.bodies)) == (VideoStatus.PLANNING, 0, 1)
    assert len(sentences(parts, waiting, "waiting")) == 1
    clock.time = minute + timedelta(seconds=65)
    look_after(parts, waiting, build_choices(SETTINGS))
    after = parts.store.get_video(waiting.id)
    assert (after.status, after.tries, after.scene_count) == (VideoStatus.RENDERING, 1, 3)


def test_a_planner_that_died_is_still_missed(make_parts: MakeParts, google: Gemini) -> None:
    parts = make_parts()
    video = asked(parts)
    assert parts.store.claim("plan", video.attempt, video_id=video.id)
    dead = parts.store.advance(video, status=VideoStatus.PLANNING)

    look_after(parts, dead, build_choices(SETTINGS))

    after = parts.store.get_video(video.id)
    assert (after.status, after.attempt) == (VideoStatus.RENDERING, 2)
    assert sentences(parts, after, "swept") == ["Its planning was never heard of again: planning begins again."]


def test_planning_that_would_cost_more_than_it_may_asks_nobody(make_parts: MakeParts, google: Gemini) -> None:
    parts = make_parts(settings=Settings(max_usd_per_video=0.001))

    video = planned(parts, asked(parts))

    assert (video.status, video.error_code, google.bodies) == (VideoStatus.FAILED, "cost_limit", [])
    assert video.error_message.startswith("Planning would bring this video to about $0.005")


def test_a_story_whose_film_would_not_fit_its_bucket_is_refused(make_parts: MakeParts) -> None:
    parts = make_parts()
    video = asked(parts, resolution=1080, target_seconds=1800)

    after = planned(parts, video)

    assert (after.status, after.error_code) == (VideoStatus.FAILED, "film_too_large")


def test_yesterdays_calls_are_forgotten(make_parts: MakeParts, store: AppwriteStore) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=31, second=0, microsecond=0)
    clock = Clock(today - timedelta(days=1))
    parts = make_parts(clock)
    Slots(store, clock, 1, 0).take()
    assert not store.claim("planner", "00:31", 0, video_id=slots_id(clock.now()))
    yesterday, clock.time = slots_id(clock.now()), today

    sweep(parts, build_choices(SETTINGS))

    assert store.claim("planner", "00:31", 0, video_id=yesterday)


@dataclass
class Told:
    """Implements engine_ports.StoryboardEngine: so many scenes."""

    count: int
    id: str = "told"
    version: str = "1"
    usd: float = 0.0

    def plan(self, brief: StoryboardBrief, _paid: object = None, /) -> Storyboard:
        """As many as it was told, also none."""
        scenes = tuple(
            SceneSpec(n, f"Scene {n}", f"This is scene {n}.", "a harbour", "cards") for n in range(1, self.count + 1)
        )
        return Storyboard("Harbours", scenes, "paragraphs")


@pytest.mark.parametrize(("count", "taken"), [(0, False), (2, True), (61, False)])
def test_the_number_of_scenes_is_recorded_and_checked_before_anything_is_made(
    make_parts: MakeParts, count: int, taken: bool
) -> None:
    parts = replace(make_parts(), storyboard=Told(count))

    video = planned(parts, asked(parts))

    scenes = parts.store.scenes(video.id)
    assert isinstance(parts.dispatcher, Renderer)
    if taken:
        assert (video.status, video.scene_count, len(scenes)) == (VideoStatus.RENDERING, count, count)
        assert sorted(n for job in parts.dispatcher.jobs for n in job.scenes) == [1, 2]
    else:
        assert (video.status, video.error_code) == (VideoStatus.FAILED, "too_many_scenes")
        assert (scenes, parts.dispatcher.jobs) == ([], [])

"""Films whose scenes Luma films: side by side, paid once, also when their renderer is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import control, stack
from core.engine_ports import Engines
from core.engines.clip_luma import LumaFootage
from core.orders import usd_of
from core.quote import receipt
from core.routes import Call, answer
from core.settings import Settings
from core.status import VideoStatus
from core.wiring import build_choices, build_parts
from core.wishes import SceneEdit
from tests.contract.making import SETTINGS, TEXTS, Begin, Made, engines_that
from tests.contract.test_luma import Time, film, server
from tests.e2e.people import anonymous
from tests.e2e.test_worker_restart import worker_started_again
from tests.standins.luma import KEY, STATES, Luma, luma
from tests.waiting import renderer_ready, wait_for

__all__ = ["film", "server"]  # fixtures

PRICE = usd_of("ray-2", "540p", 5)


@dataclass(frozen=True)
class Story:
    """A video whose scenes Luma films, with a service of its own."""

    made: Made
    server: Luma
    engines: Engines

    def run(self) -> Made:
        """Make it."""
        self.made.run(self.engines)
        return self.made


def story_of(begin: Begin, server: Luma, texts: tuple[str, ...], settings: Settings = SETTINGS) -> Story:
    """Planned and handed out; nobody has begun."""
    time = Time()
    engine = LumaFootage(KEY, server.url, sleep=time.sleep, now=time.now)
    made = begin(*texts)
    for scene in made.scenes:
        made.parts.store.advance(scene, engine="luma")
    told = replace(made, parts=replace(made.parts, settings=settings))
    return Story(told, server, replace(engines_that()[0], footage={"luma": engine}))


def shown(made: Made) -> dict[str, Any]:
    """GET /videos/{id}, as its owner."""
    call = Call("http", "", "GET", f"/videos/{made.id}", {}, "", "ada", "")
    return answer(made.parts, build_choices(made.parts.settings), call).body


def spent_on_footage(made: Made) -> dict[int, float]:
    """Dollars by scene, as the receipt says."""
    lines = receipt(made.parts, made.video, made.scenes)["lines"]
    return {line["scene"]: line["usd"] for line in lines if line["stage"] == "footage" and line["usd"]}


def fails_boats(request: dict[str, Any]) -> tuple[str, ...]:
    """The service cannot film boats."""
    return ("dreaming", "failed: No boats") if "boat" in request["prompt"].lower() else STATES


@pytest.fixture(scope="module")
def completed(begin: Begin, film: bytes) -> Iterator[Story]:
    """Three scenes, of which the second fails at the vendor."""
    with luma(film) as server:
        server.states = fails_boats
        story = story_of(begin, server, TEXTS[:3])
        story.run()
        yield story


def test_a_scene_that_fails_at_the_vendor_becomes_a_title_card_and_the_film_is_completed(completed: Story) -> None:
    video = completed.made.video

    assert video.status is VideoStatus.COMPLETED, video.error_message
    (said,) = json.loads(video.substitutions)
    assert (said["scene"], said["what"], said["used"]) == (2, "picture", "a title card")
    assert said["why"] == "Luma could not film this scene: No boats."


def test_all_scenes_are_ordered_before_the_first_is_fetched_s3_40(completed: Story) -> None:
    kinds = [kind for kind, _ in completed.server.log]

    assert kinds[:3] == ["POST"] * 3
    for scene, ordered in zip(completed.made.scenes, completed.server.made[:3], strict=True):
        assert ordered.request["prompt"].startswith(scene.visual_prompt.rstrip(". "))


def test_the_answer_names_the_generation_of_every_scene_that_has_one_s3_26(completed: Story) -> None:
    body, ids = shown(completed.made), [made.id for made in completed.server.made]

    assert [scene["generationId"] for scene in body["scenes"]] == [ids[0], "", ids[2]]
    assert body["script"].startswith("# The sea")
    for scene in body["scenes"]:
        assert scene.keys() >= {"sceneNumber", "imageUrl", "videoUrl", "description", "engine"}
        assert scene["imageUrl"] and scene["videoUrl"]


def test_what_was_filmed_is_paid_once_and_what_failed_is_not(completed: Story) -> None:
    video = completed.made.video

    assert spent_on_footage(completed.made) == {1: PRICE, 3: PRICE}
    assert video.cost_usd == pytest.approx(2 * PRICE)
    assert [s.cost_usd for s in completed.made.scenes] == [PRICE, 0.0, PRICE]


def test_progress_is_kept_as_scenes_finish_s3_10(completed: Story) -> None:
    rendered = completed.made.events("scene_rendered")

    assert [s.split(" ")[1] for s in rendered] == ["1", "2", "3"]
    assert any("retrying the footage" in s for s in completed.made.events("retrying"))


def test_another_narration_pays_for_no_new_film(begin: Begin, server: Luma) -> None:
    made = story_of(begin, server, TEXTS[:1])
    made.run()
    before = made.made.video.cost_usd
    control.edit(made.made.parts, made.made.video, 1, SceneEdit(narration="The sea is wide and deep and blue and old."))
    made.run()

    assert made.made.video.status is VideoStatus.COMPLETED, made.made.video.error_message
    assert (len(server.made), made.made.video.cost_usd) == (1, before)


def test_a_limit_sees_what_is_ordered_before_more_is_ordered(begin: Begin, server: Luma) -> None:
    story = story_of(begin, server, TEXTS[:3], replace(SETTINGS, max_usd_per_video=2.5 * PRICE))
    story.run()
    video = story.made.video

    assert (video.status, video.error_code) == (VideoStatus.FAILED, "cost_limit")
    assert len(server.made) == 2
    assert video.cost_usd == pytest.approx(2 * PRICE)
    raised = replace(story.made, parts=replace(story.made.parts, settings=SETTINGS))
    control.retry(raised.parts, raised.video, build_choices(SETTINGS))
    raised.run(story.engines)
    assert raised.video.status is VideoStatus.COMPLETED, raised.video.error_message
    assert len(server.made) == 3
    assert spent_on_footage(raised) == {1: PRICE, 2: PRICE, 3: PRICE}


def test_an_order_that_cannot_be_fetched_is_taken_back_when_a_card_stands_in(begin: Begin, server: Luma) -> None:
    server.expired = 100
    story = story_of(begin, server, TEXTS[:1])
    made = story.made
    made.parts.store.advance(made.video, tries=SETTINGS.tries_max)  # the last attempt
    made.run(story.engines)

    assert made.video.error_code == "all_scenes_failed"
    assert server.made and sorted(server.deleted) == sorted(m.id for m in server.made)
    assert made.video.cost_usd == 0


def test_cancelling_takes_back_what_is_ordered_and_not_fetched(begin: Begin, server: Luma) -> None:
    server.released.clear()
    story = story_of(begin, server, TEXTS[:2])
    engine = LumaFootage(KEY, server.url)
    job = threading.Thread(target=story.made.run, args=(replace(story.engines, footage={"luma": engine}),))
    job.start()
    wait_for(lambda: server.count("GET") > 0, "the wait for the service")
    control.cancel(story.made.parts, story.made.video)
    job.join(30)

    assert not job.is_alive()
    assert sorted(server.deleted) == sorted(made.id for made in server.made)
    assert len(server.made) == 2
    assert story.made.video.status is VideoStatus.CANCELLED


def test_cancelling_takes_back_also_what_a_killed_renderer_has_ordered(begin: Begin, server: Luma) -> None:
    class KilledError(BaseException):
        """The process is gone."""

    def die(_: float) -> None:
        raise KilledError

    story = story_of(begin, server, TEXTS[:2])
    killed = LumaFootage(KEY, server.url, sleep=die)
    with pytest.raises(KilledError):
        story.made.run(replace(story.engines, footage={"luma": killed}))
    offered = Settings(endpoint="http://unused", pictures="cards,luma", luma_api_key=KEY, luma_url=server.url)
    made = replace(story.made, parts=replace(story.made.parts, take_back=build_parts(offered).take_back))
    control.cancel(made.parts, made.video)
    ordered = [m.id for m in server.made]
    assert (len(ordered), sorted(server.deleted)) == (2, sorted(ordered))

    control.retry(made.parts, made.video, build_choices(SETTINGS))
    made.run(story.engines)
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    assert len(server.made) == 4
    assert made.video.cost_usd == pytest.approx(2 * PRICE)
    control.delete(made.parts, made.video)
    assert len(server.deleted) == 2, "what is fetched and paid stays"


def test_killing_the_renderer_while_it_waits_leads_to_no_second_generation(film: bytes, tmp_path: Path) -> None:
    """A real render process, killed by SIGKILL, and another one that goes on."""
    with luma(film) as server:
        server.states = lambda _: ["completed"]
        server.released.clear()
        wanted = Settings(
            pictures="cards,luma", luma_api_key=KEY, luma_url=server.url, workers=1, parallel_calls=1,
            report_seconds=0.5, stale_seconds=4.0, beat_seconds=1.5, queued_due_seconds=5.0,
        )  # fmt: skip
        with stack.start(tmp_path / "data", settings=wanted) as running:
            settings = running.settings
            wait_for(lambda: renderer_ready(settings), "the render process")
            ada, parts = anonymous(settings.endpoint, settings.project_id), build_parts(settings)
            body = {"script": "\n\n".join(TEXTS[:2]) + " And so it goes on.", "resolution": 360, "engine": "luma"}
            reply = ada.call("POST", "/videos", body)
            assert reply.status == 202, reply.body
            video_id = reply.body["videoId"]
            wait_for(lambda: server.count("GET") > 0, "the wait for the service")
            ordered = [made.id for made in server.made]
            worker = psutil.Process(running.pids[stack.WORKER])
            os.kill(worker.pid, signal.SIGKILL)
            server.released.set()
            with worker_started_again(settings, tmp_path / "worker.log"):
                wait_for(lambda: parts.store.get_video(video_id).is_terminal, "the end of the video", 90)
            video, scenes = parts.store.get_video(video_id), parts.store.scenes(video_id)
    assert (video.status, video.error_message, video.substitutions) == (VideoStatus.COMPLETED, "", "")
    assert video.attempt > 1
    assert len(ordered) == 2 and [made.id for made in server.made] == ordered
    assert video.cost_usd == pytest.approx(2 * PRICE)
    assert [s.engine for s in scenes] == ["luma", "luma"]

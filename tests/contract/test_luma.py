"""Luma's engine against a server in the vendor's shape: every state, every failure, and what is paid for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from core.adapters.luma_orders import LumaOrders
from core.documents import FPS, Canvas, Scene
from core.engine_ports import FootageBrief, PictureBrief
from core.engines.clip_luma import LumaFootage
from core.errors import (
    EngineError,
    InvalidInputError,
    MissingToolError,
    ScenewrightError,
    StoppedError,
    UnavailableError,
)
from core.orders import ORDER, Order, usd_of
from core.settings import Settings
from core.times import Pace, Times
from core.wiring import build_choices, build_engines
from tests.contract.test_footage import moving
from tests.standins.luma import CUT, KEY, LOST, STATES, Luma, Trick, luma

CANVAS = Canvas.of("9:16", 360)
PRICE = usd_of("ray-2", "540p", 5)


@dataclass
class Time:
    """A clock that only sleeping moves, and that writes down how long was slept."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """As it was begun, and slept since."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


@dataclass
class Paper:
    """Implements engine_ports.Notes on a piece of paper; `torn`: what like this cannot be written."""

    notes: dict[str, str] = field(default_factory=dict)
    torn: str = ""

    def get(self, name: str) -> str:
        """See engine_ports.Notes."""
        return self.notes.get(name, "")

    def put(self, name: str, value: str) -> None:
        """See engine_ports.Notes."""
        if self.torn and re.search(self.torn, value):
            raise StoppedError("The scene was taken over.")
        self.notes[name] = value

    @property
    def order(self) -> Order | None:
        """What is noted."""
        return Order.from_note(self.get(ORDER))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the service films: a moving pattern."""
    return moving(tmp_path_factory.mktemp("luma") / "film.mp4", 1.0).read_bytes()


@pytest.fixture
def server(film: bytes) -> Iterator[Luma]:
    """A service of this test's own."""
    with luma(film) as running:
        yield running


def brief_of(prompt: str = "A boat sails out to sea", frames: int = 150) -> FootageBrief:
    """A scene of five seconds."""
    picture = PictureBrief(
        CANVAS, 1, 3, "The sea", "The boat", prompt, "A boat sails out.", "en", "lagoon", seed=7, captions=True
    )
    return FootageBrief(picture, frames, ())


@dataclass
class Set:
    """An engine, and everything around one scene."""

    server: Luma
    folder: Path
    time: Time = field(default_factory=Time)
    notes: Paper = field(default_factory=Paper)
    shares: list[float] = field(default_factory=list)
    key: str = KEY

    def __post_init__(self) -> None:
        self.engine = self.new()

    def new(self) -> LumaFootage:
        """Another engine, as after a restart."""
        time = self.time
        return LumaFootage(self.key, self.server.url, deadline=600, sleep=time.sleep, now=time.now)

    def shoot(self, brief: FootageBrief | None = None) -> dict[str, Any]:
        """Film the scene."""
        return dict(self.engine.shoot(brief or brief_of(), self.out, self.notes, self.shares.append))

    @property
    def out(self) -> Path:
        """The film."""
        return self.folder / "film.mp4"

    def error(self) -> ScenewrightError:
        """What filming it says."""
        with pytest.raises(ScenewrightError) as caught:
            self.shoot()
        assert KEY not in caught.value.sentence and self.key not in caught.value.sentence
        assert not list(self.folder.glob("*.part"))
        return caught.value


@pytest.fixture
def here(server: Luma, tmp_path: Path) -> Set:
    """The engine, with nobody else in the folder."""
    return Set(server, tmp_path)


# ---- ordering, waiting, fetching


def test_a_scene_is_ordered_once_looked_after_ever_less_often_and_fetched_s3_09(here: Set, film: bytes) -> None:
    here.server.states = lambda _: ["queued"] * 3 + ["dreaming"] * 8 + ["completed"]
    facts = here.shoot()

    (made,) = here.server.made
    assert here.out.read_bytes() == film
    assert (facts["order"], facts["usd"], facts["model"]) == (made.id, PRICE, "ray-2")
    asked = {"model": "ray-2", "aspect_ratio": "9:16", "resolution": "540p", "duration": "5s"}
    assert made.request.items() >= asked.items()
    assert made.request["prompt"].startswith("A boat sails out to sea. ")
    waits, slices = [], 0.0
    for slept in here.time.slept:  # a wait is told in slices of a second, the last one is what is left
        slices += slept
        if slept != 1.0:
            waits.append(slices)
            slices = 0.0
    assert 2.0 < waits[0] < 4.0 and waits[0] < waits[2] < waits[4]
    assert max(waits) <= 24.0 and len(set(waits)) == len(waits), "jitter"
    assert here.shares == sorted(here.shares) and here.shares[0] >= 0 and here.shares[-1] < 1


def test_a_long_scene_is_filmed_for_nine_seconds_s3_38(here: Set) -> None:
    here.shoot(brief_of(frames=8 * FPS))

    assert here.server.made[0].request["duration"] == "9s"
    assert here.engine.price(brief_of(frames=8 * FPS)) == pytest.approx(PRICE * 9 / 5)


def test_a_generation_that_stays_in_the_queue_is_given_up_and_no_other_is_ordered_for_a_while(here: Set) -> None:
    here.server.states = lambda _: ["queued"]
    error = here.error()

    assert (error.code, error.retryable) == ("generation_late", False)
    assert sum(here.time.slept) == pytest.approx(600, abs=1)
    assert here.server.deleted == [here.server.made[0].id]
    assert here.notes.order is None
    assert (here.error().code, here.server.count("POST")) == ("generation_late", 1)
    here.time.sleep(600)
    here.server.states = lambda _: STATES
    here.shoot()


def test_a_failed_generation_is_ordered_anew_once_and_not_for_ever(here: Set) -> None:
    here.server.states = lambda _: ["dreaming", "failed: The render node was lost."]
    first, second = here.error(), here.error()

    assert (first.code, first.retryable) == ("generation_failed", True)
    assert (second.code, second.retryable) == ("generation_failed", False)
    assert "The render node was lost" in second.sentence
    assert len(here.server.made) == 2


def test_what_its_rules_forbid_is_not_ordered_again(here: Set) -> None:
    here.server.states = lambda _: ["failed: 400: Advanced moderation failed"]
    assert (here.error().code, here.notes.order) == ("moderated", None)

    here.server.tricks = [Trick("POST", 400, "Prompt not allowed because advanced moderation failed")]
    error = here.error()
    assert (error.code, error.retryable, here.notes.order) == ("moderated", False, None)
    assert len(here.server.made) == 1


def test_an_address_that_is_not_good_any_more_is_asked_for_anew(here: Set, film: bytes) -> None:
    here.server.expired = 1
    here.shoot()

    assert here.out.read_bytes() == film
    assert (here.server.count("POST"), here.server.count("FILM")) == (1, 2)


def test_an_address_that_is_never_good_may_pass_and_costs_no_other_generation(here: Set) -> None:
    here.server.expired = 5
    error = here.error()

    assert (error.retryable, here.server.count("FILM")) == (True, 2)
    here.server.expired = 0
    assert here.shoot()["order"] == here.server.made[0].id
    assert len(here.server.made) == 1


def test_a_film_that_breaks_off_is_fetched_again(here: Set, film: bytes) -> None:
    here.server.tricks = [Trick("FILM", how=CUT)]
    here.shoot()

    assert here.out.read_bytes() == film
    assert here.server.count("FILM") == 2


@pytest.mark.parametrize("kind", ["POST", "GET"])
def test_a_service_that_is_busy_is_left_alone_for_as_long_as_it_says(kind: str, here: Set) -> None:
    here.server.tricks = [Trick(kind, 429, "Too many requests", {"retry-after": "17"})]
    here.server.states = lambda _: ["completed"]
    here.shoot()

    assert sum(here.time.slept) >= 17
    assert len(here.server.made) == 1


def test_a_service_that_is_out_of_order_for_a_moment_is_asked_again(here: Set) -> None:
    here.server.tricks = [Trick("GET", 503), Trick("GET", how=LOST), Trick("LIST", 500), Trick("GET", 500)]
    here.shoot()

    assert len(here.server.made) == 1


def test_a_service_that_stays_out_of_order_may_pass_and_the_order_stands(here: Set) -> None:
    here.server.tricks = [Trick("GET", 502) for _ in range(9)]
    error = here.error()

    assert isinstance(error, UnavailableError) and error.retryable
    assert here.notes.order is not None and here.notes.order.id == here.server.made[0].id


@pytest.mark.parametrize(
    ("status", "said", "code", "kind"),
    [
        (401, "Invalid API key", "luma_key_refused", MissingToolError),
        (403, "Not authenticated", "luma_key_refused", MissingToolError),
        (402, "Insufficient credits", "luma_no_credits", EngineError),
        (400, "Insufficient credits", "luma_no_credits", EngineError),
        (422, f"aspect_ratio: bad value, {KEY}", "luma_refused", EngineError),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(status: int, said: str, code: str, kind: type, here: Set) -> None:
    here.server.tricks = [Trick("POST", status, said)]
    error = here.error()

    assert (error.code, error.retryable, type(error)) == (code, False, kind)
    assert here.notes.order is None


def test_a_wrong_key_is_told_without_the_key(server: Luma, tmp_path: Path) -> None:
    error = Set(server, tmp_path, key="luma-a-wrong-one").error()

    assert (error.code, "LUMAAI_API_KEY" in error.sentence) == ("luma_key_refused", True)


# ---- never twice


def test_an_order_whose_reply_is_lost_is_found_and_not_placed_again(here: Set) -> None:
    here.server.tricks = [Trick("POST", how=LOST)]
    facts = here.shoot()

    assert [m.id for m in here.server.made] == [facts["order"]]


def test_an_order_that_was_surely_not_placed_is_placed_again(here: Set) -> None:
    here.server.tricks = [Trick("POST", 500), Trick("POST", 503)]
    here.shoot()

    assert (len(here.server.made), here.server.count("LIST")) == (1, 4)


def test_who_died_before_noting_the_id_finds_the_order_again(here: Set) -> None:
    here.notes.torn = r'"id": "\w'
    with pytest.raises(StoppedError):
        here.shoot()
    assert here.notes.order is not None and here.notes.order.id == ""

    after = Set(here.server, here.folder, here.time, Paper(dict(here.notes.notes)))
    assert after.shoot()["order"] == here.server.made[0].id
    assert len(here.server.made) == 1


def test_an_order_is_noted_before_it_is_placed(here: Set) -> None:
    here.notes.torn = '"usd"'
    with pytest.raises(StoppedError):
        here.shoot()

    assert here.server.log == []


def test_a_restart_goes_on_with_the_generation_that_was_noted(here: Set) -> None:
    here.server.released.clear()
    here.engine.order(brief_of(), here.notes)
    here.server.released.set()
    here.engine = here.new()
    facts = here.shoot()

    assert [m.id for m in here.server.made] == [facts["order"]]


def test_who_is_not_wanted_any_more_hears_it_within_a_second(here: Set) -> None:
    here.server.states = lambda _: ["dreaming"]

    def report(_: float) -> None:
        if here.time.slept:
            raise StoppedError("The video was cancelled.")

    with pytest.raises(StoppedError):
        here.engine.shoot(brief_of(), here.out, here.notes, report)
    assert sum(here.time.slept) <= 1.0
    here.engine.cancel(here.notes)
    assert here.server.deleted == [here.server.made[0].id]


def test_until_it_is_learnt_a_scene_is_expected_to_take_forty_five_seconds_s3_39(here: Set) -> None:
    scene = Scene(id="s", narration="A boat sails out.", engine="luma")
    pace = Pace(Times(), "360x640", 1.0)
    assert pace.asset("footage", scene) == pytest.approx(45)

    here.server.states = lambda _: ["dreaming"] * 4 + ["completed"]
    here.shoot()
    assert 20 < sum(here.time.slept) < 60
    assert 0.2 < max(share for share in here.shares if share < 0.9) < 0.6


def test_taking_back_says_when_it_fails_and_is_content_with_what_is_gone(here: Set) -> None:
    orders = LumaOrders(KEY, here.server.url)
    orders.take_back("nobody-knows-it")
    here.server.tricks = [Trick("DELETE", 503)]
    for broken in (orders, LumaOrders(KEY, "http://127.0.0.1:9"), LumaOrders("a-wrong-key", here.server.url)):
        with pytest.raises(UnavailableError) as caught:
            broken.take_back("any")
        assert "key" not in caught.value.sentence


def test_the_length_of_a_narration_is_no_reason_to_pay_again(here: Set) -> None:
    assert here.engine.wants(brief_of(frames=90)) == here.engine.wants(brief_of(frames=400))
    assert here.engine.wants(brief_of("A gull")) != here.engine.wants(brief_of("A boat"))


def test_no_call_leaves_a_connection_open(here: Set) -> None:
    here.server.states = lambda _: ["dreaming", "failed: The render node was lost."]
    here.error()
    here.server.tricks = [Trick("POST", 402, "Insufficient credits")]
    kept = here.error()  # with the answer, by which what it came through is still reachable

    port = urlsplit(here.server.url).port
    ours = [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port]
    assert kept.__cause__ is not None
    assert [c.status for c in ours if c.status == psutil.CONN_ESTABLISHED] == []


def test_settings_are_checked_and_luma_is_offered_only_with_a_key() -> None:
    offered = Settings.from_env({"SCENEWRIGHT_PICTURES": "cards,luma", "LUMAAI_API_KEY": KEY})
    assert tuple(build_choices(offered).engines) == ("cards", "luma")
    engines = build_engines(offered)
    assert (tuple(engines.pictures), tuple(engines.footage)) == (("cards",), ("luma",))
    assert KEY not in repr(offered)
    assert Settings.from_env({"SCENEWRIGHT_PICTURES": "cards,luma"}).picture_names == ("cards",)
    for wrong in (
        {"SCENEWRIGHT_PICTURES": "luma,cards"},
        {"SCENEWRIGHT_LUMA_DEADLINE_SECONDS": "1000"},
        {"SCENEWRIGHT_LUMA_URL": "ftp://here"},
        {"SCENEWRIGHT_LUMA_USD_PER_SECOND": "-1"},
    ):
        given = {"SCENEWRIGHT_PICTURES": "cards,luma", "LUMAAI_API_KEY": KEY, **wrong}
        with pytest.raises(InvalidInputError) as caught:
            Settings.from_env(given)
        assert caught.value.field == next(iter(wrong))
    with pytest.raises(InvalidInputError, match="SCENEWRIGHT_LUMA_MODEL"):
        build_engines(replace(offered, luma_model="ray-9"))

"""The rungs of the ladder as pure functions: what is tried, what stands in, and what is said of it."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import FPS, SAMPLES_PER_FRAME, Canvas, Scene
from core.engine_ports import PictureBrief, VoiceBrief
from core.engines.film_checks import unmeant
from core.engines.silence import Silence
from core.engines.title_card import TitleCard
from core.errors import EngineError, InvalidInputError, MissingToolError, ScenewrightError, StoppedError
from core.ladder import (
    TRIES,
    CannotMakeError,
    StandIn,
    Step,
    column,
    completed_stage,
    descend,
    may_stand_in,
    simpler_prompt,
    simpler_text,
    steps_of,
    substitutions,
    verdict,
    with_tries,
)
from core.media.probe import Stretch
from core.status import SceneStatus

PASSING = EngineError("It is busy.", retryable=True)
STAYING = EngineError("It is refused.")


@dataclass
class Clock:
    """Implements ports.Clock; remembers how long it was asked to wait."""

    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Remember."""
        self.waits.append(seconds)


def raising(*errors: Exception | None) -> Callable[[], str]:
    """Raises these one after the other; None: returns."""
    left = list(errors)

    def make() -> str:
        error = left.pop(0)
        if error is not None:
            raise error
        return "made"

    return make


def test_only_errors_that_may_pass_are_tried_again_and_each_wait_is_longer() -> None:
    clock, told = Clock(), []

    made = with_tries(raising(PASSING, PASSING, None), clock, 1.0, lambda number, _: told.append(number))

    assert made == "made"
    assert told == [2, 3]
    assert 0.7 <= clock.waits[0] <= 1.3
    assert 1.4 <= clock.waits[1] <= 2.6


def test_three_tries_are_all_there_are() -> None:
    clock = Clock()

    with pytest.raises(EngineError, match="busy"):
        with_tries(raising(*[PASSING] * TRIES, None), clock, 0.1, lambda *_: None)

    assert len(clock.waits) == TRIES - 1


@pytest.mark.parametrize("error", [STAYING, StoppedError("Cancelled."), ValueError("odd")])
def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    clock = Clock()

    with pytest.raises(ScenewrightError):
        with_tries(raising(error, None), clock, 0.1, lambda *_: None)

    assert clock.waits == []


def test_nothing_stands_in_for_what_the_machine_or_the_request_lacks() -> None:
    assert may_stand_in(STAYING, last_attempt=False)
    assert not may_stand_in(PASSING, last_attempt=False)
    assert may_stand_in(PASSING, last_attempt=True)
    for error in (MissingToolError("No disk."), InvalidInputError("No such voice."), StoppedError("Cancelled.")):
        assert not may_stand_in(error, last_attempt=True)


def test_the_ladder_is_gone_down_from_where_it_stood() -> None:
    refused = CannotMakeError(STAYING)
    stepped: list[StandIn | None] = []
    rungs = [
        (None, raising(refused, refused)),
        (StandIn.SIMPLER_PROMPT, raising(refused, refused)),
        (StandIn.TITLE_CARD, raising(None, None)),
    ]

    assert descend(rungs, None, lambda used, _: stepped.append(used)) == "made"
    assert stepped == [StandIn.SIMPLER_PROMPT, StandIn.TITLE_CARD]
    assert descend(rungs, StandIn.TITLE_CARD, lambda used, _: stepped.append(used)) == "made"
    assert len(stepped) == 2

    with pytest.raises(EngineError, match="refused"):
        descend([(None, raising(refused))], None, lambda *_: None)


# ---- simpler inputs


@given(st.text(max_size=60), st.text(max_size=300))
def test_a_simpler_prompt_is_short_and_the_same_every_time(title: str, prompt: str) -> None:
    simpler = simpler_prompt(title, prompt)

    assert len(simpler.split()) <= 8
    assert len(simpler) <= 120
    assert simpler_prompt(title, prompt) == simpler


def test_a_simpler_prompt_begins_with_the_title_and_names_what_was_asked_for() -> None:
    assert simpler_prompt("The sea", "A lighthouse on a rock in the sea") == "the sea lighthouse rock"


@given(st.text(max_size=200))
def test_a_simpler_text_has_words_only_and_is_not_made_simpler_again(text: str) -> None:
    simpler = simpler_text(text)

    assert simpler_text(simpler) == simpler
    assert all(any(c.isalnum() for c in word) for word in simpler.split())


def test_a_simpler_text_keeps_words_marks_and_letters_of_every_script() -> None:
    assert simpler_text("Don't — 50 % of {water}, «море»!") == "Don't 50 of water, море!"


# ---- what is said


def scene(number: int, *steps: Step, failed: str = "") -> Scene:
    """A scene with these substitutions."""
    status = SceneStatus.FAILED if failed else SceneStatus.RENDERED
    return Scene(id=str(number), scene_number=number, status=status, error_message=failed, substitution=column(steps))


CARD = Step("picture", "It is refused.", StandIn.TITLE_CARD)
SIMPLER = Step("picture", "It is refused.", StandIn.SIMPLER_PROMPT)
SILENT = Step("voice", "It cannot be said.", StandIn.SILENCE)


def test_what_is_written_down_is_read_again_and_says_all_to_people() -> None:
    both = scene(1, CARD, SILENT)

    row = json.loads(both.substitution)

    assert steps_of(both) == (CARD, SILENT)
    assert (row["what"], row["used"]) == ("picture and voice", "a title card and silence")
    assert row["why"] == "It is refused. It cannot be said."
    assert steps_of(scene(2)) == ()
    assert [r["scene"] for r in json.loads(substitutions([both, scene(2)]))] == [1, 1]
    assert substitutions([scene(2)]) == ""


def test_the_stage_of_a_completed_video_names_what_stands_in() -> None:
    assert completed_stage([scene(1)]) == "Your video is ready"
    assert completed_stage([scene(1), scene(3, CARD)]) == (
        "Your video is ready; scene 3 was replaced by a title card: It is refused"
    )
    assert len(completed_stage([scene(n, CARD, SILENT) for n in range(60)])) <= 500


def test_a_film_needs_one_picture_and_one_voice_of_its_own_and_every_scene() -> None:
    assert verdict([scene(1), scene(2, CARD), scene(3, SILENT)]) is None
    assert verdict([scene(1, CARD), scene(2, SILENT)]) is None
    assert verdict([scene(1, SIMPLER), scene(2, SIMPLER)]) is None
    for lost in ([scene(1, CARD), scene(2, CARD)], [scene(1, SILENT)], [scene(1, CARD), scene(2, failed="Broken.")]):
        code, sentence = verdict(lost) or ("", "")
        assert code == "all_scenes_failed"
        assert sentence.startswith("No scene could be made as asked. ")
    assert verdict([scene(1), scene(2, failed="Broken.")]) == (
        "scene_failed", "Scene 2 could not be made: Broken.",
    )  # fmt: skip


# ---- the engines at the foot of the ladder


def test_silence_is_whole_frames_long_and_has_a_time_for_every_word(tmp_path: Path) -> None:
    text = "One two, three four five six seven. " * 5
    voice = Silence().speak(VoiceBrief(text, "en", "", 1.0, 0.6, 0.9), tmp_path / "s.wav")

    with wave.open(str(tmp_path / "s.wav")) as file:
        samples = silent_samples(file)

    assert samples == voice.frames * SAMPLES_PER_FRAME
    assert [w.text for w in voice.words] == text.split()
    assert all(a.end == b.start for a, b in zip(voice.words, voice.words[1:], strict=False))
    assert voice.words[0].start == 0.6
    assert abs(voice.words[-1].end - (voice.frames / FPS - 0.9)) < 0.05


def silent_samples(file: wave.Wave_read) -> int:
    """How many samples it has; all must be silent."""
    data = file.readframes(file.getnframes())
    assert not any(data)
    return len(data) // 2


def test_a_text_without_words_is_a_short_silence(tmp_path: Path) -> None:
    voice = Silence().speak(VoiceBrief("🎉", "en", "", 1.0, 0.3, 0.3), tmp_path / "s.wav")

    assert voice.words == ()
    assert voice.frames >= 2 * FPS


@pytest.mark.parametrize("title", ["", "Fire", "Donaudampfschifffahrtsgesellschaft " * 6, "حريق", "火山"])
@pytest.mark.parametrize("aspect", ["9:16", "16:9", "1:1"])
def test_a_title_card_can_be_drawn_whatever_the_title(tmp_path: Path, title: str, aspect: str) -> None:
    canvas = Canvas.of(aspect, 360)
    brief = PictureBrief(canvas, 2, 3, "", title, "", "", "en", "auto", 1, True)

    facts = TitleCard().draw(brief, tmp_path / "card.png", lambda _: None)

    assert (facts["width"], facts["height"]) == (canvas.width, canvas.height)


def test_a_title_card_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    brief = PictureBrief(Canvas.of("1:1", 360), 1, 1, "", "Fire", "", "", "en", "auto", 1, True)

    with pytest.raises(MissingToolError):
        TitleCard().draw(brief, tmp_path / "nowhere" / "card.png", lambda _: None)


def test_silence_on_purpose_is_no_fault_but_what_is_beside_it_is() -> None:
    meant = [range(60, 150)]  # 2 to 5 s

    assert unmeant([Stretch(1.6, 5.3)], meant) == [Stretch(1.6, 2.0), Stretch(5.0, 5.3)]
    assert unmeant([Stretch(2.5, 4.5)], meant) == []
    assert unmeant([Stretch(7.0, 9.0)], meant) == [Stretch(7.0, 9.0)]
    assert unmeant([Stretch(1.0, 1.5)], []) == [Stretch(1.0, 1.5)]

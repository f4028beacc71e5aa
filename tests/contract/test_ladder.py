"""One bad scene never costs the video: real documents, real engines, and some that refuse what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest
from PIL import Image

from core import control
from core.documents import CROSSFADE_FRAMES, SAMPLE_RATE, SAMPLES_PER_FRAME
from core.engine_ports import Engines, PictureBrief, Report
from core.engines.title_card import TitleCard
from core.errors import EngineError, MissingToolError, UnavailableError
from core.media.run import run
from core.scene_inputs import inputs_of
from core.schema import FILMS
from core.status import SceneStatus, VideoStatus
from core.wiring import build_choices
from tests.contract.making import (
    BUSY,
    REAL,
    REFUSED,
    SETTINGS,
    TEXTS,
    Begin,
    Made,
    engines_that,
    frame_of,
    refuse_scene,
)
from tests.waiting import wait_for


def level_of(film: Path, start: int, frames: int) -> float:
    """How loud the film is in these frames: RMS, 0 to 1."""
    raw = run(ffmpeg.input(str(film)).audio.output("pipe:1", f="f32le", ac=1, ar=SAMPLE_RATE).get_args()).stdout
    sound = np.frombuffer(raw, "<f4")[start * SAMPLES_PER_FRAME : (start + frames) * SAMPLES_PER_FRAME]
    return float(np.sqrt(np.mean(sound**2)))


# ---- one film in which three of four scenes are not what was asked


@dataclass(frozen=True)
class Film:
    """The film, and where its scenes begin."""

    made: Made
    engines: Engines
    path: Path
    starts: list[int]
    frames: list[int]


@pytest.fixture(scope="module")
def film(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Scene 2 has no picture, scene 3 no voice, scene 4 cannot be filmed as it was drawn; the first is as asked."""
    engines, _ = engines_that(
        picture=refuse_scene(2, REFUSED),
        voice=lambda brief: EngineError("It cannot be said.") if "gull" in brief.text else None,
        clip=lambda shot: KeyError("layer") if shot.brief.number == 4 and shot.picture.suffix == ".jpg" else None,
    )
    made = begin(*TEXTS)
    made.run(engines)
    path = tmp_path_factory.mktemp("ladder") / "film.mp4"
    video = made.video
    assert video.status is VideoStatus.COMPLETED, video.error_message
    made.parts.files.download(FILMS, video.final_file_id, path)
    frames = [round(s.duration_seconds * 30) for s in made.scenes]
    starts = [sum(frames[:i]) - CROSSFADE_FRAMES * i for i in range(4)]
    return Film(made, engines, path, starts, frames)


def test_a_scene_without_a_picture_shows_its_title_on_a_card_s2_34(film: Film, tmp_path: Path) -> None:
    inputs = inputs_of(film.made.video, film.made.scenes[1])
    TitleCard().draw(inputs.picture, tmp_path / "card.png", lambda _: None)
    card = np.asarray(Image.open(tmp_path / "card.png"), float)
    shown = [frame_of(film.path, film.starts[i] + film.frames[i] // 2) for i in (0, 1)]

    upper = slice(0, 480)  # captions stand below
    other, same = (float(np.abs(frame[upper] - card[upper]).mean()) for frame in shown)

    assert same < 12, (same, other)
    assert other > 2 * same, (same, other)


def test_its_narration_is_heard_and_only_the_scene_that_cannot_be_said_is_silent(film: Film) -> None:
    levels = [level_of(film.path, s + 20, n - 40) for s, n in zip(film.starts, film.frames, strict=True)]

    assert min(levels[0], levels[1], levels[3]) > 0.01, levels
    assert levels[2] < 0.001, levels


def test_the_silent_scene_lasts_as_long_as_its_text_and_shows_its_captions(film: Film) -> None:
    video, scene = film.made.video, film.made.scenes[2]
    (voice,) = [a for a in film.made.parts.store.assets(video.id) if a.id == json.loads(scene.assets)["voice"]]

    words = voice.facts["words"]

    assert [word for word, _, _ in words] == "A gull is there.".split()
    assert all(a < b for _, a, b in words)
    assert 2.0 <= scene.duration_seconds <= 5.0


def test_the_completed_video_says_which_scenes_and_why_s3_33_s4_38(film: Film) -> None:
    video = film.made.video

    said = [(row["scene"], row["what"], row["used"], row["why"]) for row in json.loads(video.substitutions)]

    assert said == [
        (2, "picture", "a title card", "The picture was refused."),
        (3, "voice", "silence", "It cannot be said."),
        (4, "clip", "a title card", "The engine broke (KeyError)."),
    ]
    assert video.stage.startswith("Your video is ready; scene 2 was replaced by a title card: The picture was refused;")
    assert [bool(s.substitution) for s in film.made.scenes] == [False, True, True, True]
    assert json.loads(film.made.scenes[1].substitution)["used"] == "a title card"


def test_the_log_tells_every_step_and_every_asset_once(film: Film) -> None:
    made = film.made

    assert any("scene 2" in s.lower() and "simpler prompt" in s for s in made.events("substituted"))
    assert any(s.startswith("Scene 2 was replaced by a title card") for s in made.events("substituted"))
    # three per scene, a picture of scene 4 that could not be filmed, and the film
    assert len(made.events("asset_made")) == 14
    assert len(made.events("scene_rendered")) == 4
    assert len(made.events("combining")) == len(made.events("completed")) == 1


def test_a_later_retry_makes_the_scene_by_its_own_engine_and_joins_anew(film: Film) -> None:
    made, before = film.made, film.made.video
    engines, pictures = engines_that()

    control.retry(made.parts, before, build_choices(SETTINGS), [2])
    made.run(engines)

    after = made.video
    assert after.status is VideoStatus.COMPLETED
    assert [brief.number for brief in pictures.drawn] == [2]
    assert made.scenes[1].substitution == ""
    assert [row["scene"] for row in json.loads(after.substitutions)] == [3, 4]
    assert after.final_file_id != before.final_file_id
    assert len(made.events("asset_made")) == 14 + 3  # picture, clip, film; its voice was kept


# ---- errors that may pass


def test_an_error_that_may_pass_is_tried_again_and_people_read_so_s1_23(begin: Begin) -> None:
    made = begin(TEXTS[0])
    told: list[str] = []

    def twice(_: PictureBrief) -> Exception | None:
        if not made.events("retrying"):
            return BUSY
        if len(told) == 0:
            said = "Scene 1 of 1: retrying the picture (2 of 3)"
            told.append(wait_for(lambda: made.video.stage if made.video.stage == said else None, said))
            return BUSY
        return None

    engines, pictures = engines_that(picture=twice)
    made.run(engines)

    assert made.video.status is VideoStatus.COMPLETED
    assert len(pictures.drawn) == 3
    assert made.events("retrying") == [
        f"Scene 1: retrying the picture ({n} of 3): The picture service is busy." for n in (2, 3)
    ]
    assert made.video.substitutions == ""


def test_an_error_that_never_passes_ends_the_attempt_and_the_last_attempt_uses_a_title_card(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    engines, pictures = engines_that(picture=refuse_scene(1, BUSY))

    for attempt in range(1, SETTINGS.tries_max):
        with pytest.raises(UnavailableError):
            made.run(engines)
        assert made.video.status is VideoStatus.RENDERING
        assert [s.status for s in made.scenes] == [SceneStatus.RENDERING, SceneStatus.RENDERED]
        assert len([b for b in pictures.drawn if b.number == 1]) == 3 * attempt
        made.again()
    made.run(engines)

    assert made.video.status is VideoStatus.COMPLETED
    assert json.loads(made.video.substitutions) == [
        {"scene": 1, "what": "picture", "why": "The picture service is busy.", "used": "a title card"}
    ]


# ---- errors that stay


def test_a_simpler_prompt_is_tried_before_the_title_card(begin: Begin) -> None:
    text = "# The sea\nUnder the moon a silver whale sings to the stars, and the lighthouse answers it with its light."
    made = begin(text, TEXTS[1])
    asked = made.scenes[0].visual_prompt
    engines, pictures = engines_that(picture=lambda brief: REFUSED if brief.prompt == asked else None)

    made.run(engines)

    simpler = pictures.drawn[1].prompt
    assert made.video.status is VideoStatus.COMPLETED
    assert simpler.startswith("the sea ")
    assert len(simpler.split()) <= 8
    assert json.loads(made.scenes[0].substitution)["used"] == "a picture of a simpler prompt"
    assert [row["scene"] for row in json.loads(made.video.substitutions)] == [1]


@dataclass
class Darkness:
    """Implements engine_ports.PictureEngine: one scene is drawn black."""

    inner: Any
    number: int
    id: str = "cards"
    version: str = "dark"
    suffix: str = ".png"  # no card, whose layers would be drawn anew

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Draw the card, or nothing."""
        facts: dict[str, Any] = dict(self.inner.draw(brief, out, report))
        if brief.number == self.number:
            Image.new("RGB", (brief.canvas.width, brief.canvas.height)).save(out)
        return facts


def test_a_picture_that_would_cost_the_film_its_check_costs_its_scene_alone(begin: Begin) -> None:
    made = begin(*TEXTS[:2])

    made.run(replace(REAL, pictures={"cards": Darkness(REAL.pictures["cards"], 2)}))

    assert (made.video.status, made.video.error_message) == (VideoStatus.COMPLETED, "")
    (stands_in,) = json.loads(made.video.substitutions)
    assert (stands_in["scene"], stands_in["used"]) == (2, "a title card")
    assert "the picture is black" in stands_in["why"]


def test_a_text_with_odd_signs_is_said_without_them_before_there_is_silence(begin: Begin) -> None:
    made = begin("# The sea\nThe §sea§ is wide.", TEXTS[1])
    engines, _ = engines_that(voice=lambda brief: EngineError("No such sign.") if "§" in brief.text else None)

    made.run(engines)

    assert made.video.status is VideoStatus.COMPLETED
    assert json.loads(made.scenes[0].substitution)["used"] == "a simpler text"


def test_a_renderer_in_another_attempt_goes_on_where_the_ladder_stood(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    engines, pictures = engines_that(
        picture=refuse_scene(1, REFUSED), clip=lambda shot: BUSY if shot.brief.number == 1 else None
    )
    with pytest.raises(UnavailableError):
        made.run(engines)
    refused = len(pictures.drawn)

    made.again()
    engines, pictures = engines_that(picture=refuse_scene(1, REFUSED))
    made.run(engines)

    assert refused == 3  # asked, simpler, and that of scene 2
    assert pictures.drawn == []
    assert made.video.status is VideoStatus.COMPLETED
    assert len([s for s in made.events("asset_made") if "title-card" in s]) == 1


# ---- when nothing helps


def test_when_every_scene_lost_its_picture_the_video_fails_with_the_first_cause_s3_34_s4_45(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    engines, _ = engines_that(picture=lambda brief: EngineError(f"Nobody paints scene {brief.number}."))

    made.run(engines)

    video = made.video
    assert (video.status, video.error_code) == (VideoStatus.FAILED, "all_scenes_failed")
    assert video.error_message == "No scene could be made as asked. Nobody paints scene 1."
    assert video.stage == f"Failed while the scenes were made: {video.error_message}"
    assert video.progress > 10
    assert made.renderer.jobs == []


def test_a_scene_that_nothing_helps_fails_alone_and_the_video_with_its_cause_s2_33_s4_39(begin: Begin) -> None:
    made = begin(*TEXTS[:3])
    engines, _ = engines_that(clip=lambda shot: EngineError("The camera is blind.") if shot.brief.number == 2 else None)

    made.run(engines)

    video = made.video
    assert [s.status for s in made.scenes] == [SceneStatus.RENDERED, SceneStatus.FAILED, SceneStatus.RENDERED]
    assert (video.status, video.error_code) == (VideoStatus.FAILED, "scene_failed")
    assert video.error_message == "Scene 2 could not be made: The camera is blind."
    assert video.progress > 10
    assert made.events("scene_failed") == ["Scene 2 could not be made: The camera is blind."]

    control.retry(made.parts, video, build_choices(SETTINGS))
    made.run(engines_that()[0])

    assert made.video.status is VideoStatus.COMPLETED
    assert made.video.substitutions == ""


def test_what_the_machine_lacks_is_said_and_not_covered_by_a_title_card(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    missing = MissingToolError("The disk is full; free some space and try again.", code="disk_full")
    engines, _ = engines_that(picture=refuse_scene(1, missing))

    made.run(engines)

    assert made.video.status is VideoStatus.FAILED
    assert made.video.error_message == f"Scene 1 could not be made: {missing.sentence}"
    assert made.scenes[0].substitution == ""


def test_a_video_that_is_deleted_in_the_middle_ends_the_call_quietly(begin: Begin) -> None:
    made = begin(TEXTS[0])

    def deleted(_: PictureBrief) -> Exception | None:
        made.parts.store.forget(made.id)
        return REFUSED

    made.run(engines_that(picture=deleted)[0])

    assert made.scenes == []


def test_users_read_a_clean_sentence_and_the_server_logs_the_cause_s3_35(
    begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    made = begin(*TEXTS[:2])
    engines, _ = engines_that(picture=refuse_scene(1, KeyError("/secret/path")))

    made.run(engines)

    told = " ".join([made.video.stage, made.video.substitutions, *(s.substitution for s in made.scenes)])
    told += " ".join(made.events("substituted"))
    assert "The engine broke (KeyError)." in told
    assert "/secret/path" not in told
    assert "/secret/path" in caplog.text


def test_a_stopped_renderer_keeps_nothing_more(begin: Begin) -> None:
    made = begin(*TEXTS[:2])

    def cancelled(_: PictureBrief) -> Exception | None:
        control.cancel(made.parts, made.video)
        made.parts.clock.sleep(5)  # the time of the next look
        wait_for(lambda: all(t.name != "progress" for t in threading.enumerate()), "the call to see that it must stop")
        return None

    engines, pictures = engines_that(picture=cancelled)
    made.run(engines)

    assert made.video.status is VideoStatus.CANCELLED
    assert {a.kind for a in made.parts.store.assets(made.id)} <= {"storyboard", "voice"}
    assert len(pictures.drawn) == 1

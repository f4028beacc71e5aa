"""Scenes that Manim programs animate: run in the sandbox, kept, mended by a language model that remembers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from appwrite.exception import AppwriteException
from appwrite.services.users import Users

from core import control, doctor_engines
from core.adapters.appwrite_memory import AppwriteMemory
from core.adapters.modal_isolated import ModalIsolated
from core.doctor import look_at
from core.documents import FPS, Scene
from core.engine_ports import Engines, Lesson
from core.engines.clip_manim import FIXES, ManimFootage
from core.engines.fonts import INTER
from core.engines.manim_program import Stage, source_of
from core.engines.manim_run import LocalRun, RemoteRun
from core.engines.manim_writer import ModelWriter
from core.engines.script_gemini import GeminiModel
from core.engines.script_slots import Slots
from core.errors import UnavailableError
from core.findings import WELL, Finding
from core.media import probe
from core.routes import Call, answer
from core.schema import FILMS, MEMORY, database_id
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.wiring import build_choices
from core.wishes import SceneEdit
from tests import on_modal
from tests.contract.cells import ROOT
from tests.contract.conftest import client_of
from tests.contract.making import SETTINGS, TEXTS, Begin, Clock, Made, engines_that, frame_of
from tests.contract.test_sandbox_manim import PYTHON, why_not
from tests.emulator.conftest import Running
from tests.plane import Plane
from tests.standins import gemini as vendor
from tests.standins.gemini import Gemini

SETTING = "from manim import *\n\n\nclass Shown(Scene):\n    def construct(self):\n        "
WORDS = SETTING + ("word = Text('Energy').scale_to_fit_width(3)\n        self.play(FadeIn(word), run_time=DURATION)\n")
FORMULA = SETTING + (
    "law = MathTypst('E = m c^2', color=LIGHT_2)\n        self.play(FadeIn(law.scale(2)), run_time=DURATION)\n"
)
FLOOD = SETTING + (
    "wall = Rectangle(width=6, height=9, fill_opacity=1, color=PURE_RED)\n"
    "        self.add(wall)\n        self.wait(DURATION)\n"
)
BROKEN = FLOOD.replace("Rectangle(", "Rektangle(")


@pytest.fixture(scope="module", autouse=True)
def manim() -> None:
    """Manim, and a sandbox to run it in."""
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def google() -> Iterator[Gemini]:
    """A language model that writes what a test says."""
    with vendor.gemini() as running:
        yield running
        assert running.wrong == []


@pytest.fixture
def memory(appwrite: Running) -> AppwriteMemory:
    """Of the embedded server."""
    return AppwriteMemory(client_of(appwrite))


@pytest.fixture(scope="module")
def people(appwrite: Running) -> dict[str, dict[str, str]]:
    """Two users, by what they show to be known."""
    users = Users(appwrite.client(key=appwrite.key))
    shown = {}
    for name in ("ada", "eve"):
        with suppress(AppwriteException):  # there from another test
            users.create(name)
        shown[name] = {"x-appwrite-session": users.create_session(name).secret}
    return shown


def engines_with(manim: ManimFootage) -> Engines:
    """The real engines with this one for scenes that move."""
    return replace(engines_that()[0], footage={"manim": manim})


def writing(google: Gemini, memory: AppwriteMemory, *programs: str) -> Engines:
    """Engines whose programs are written by the model: these, one after another."""
    google.reset()
    google.programs = list(programs)
    writer = ModelWriter(GeminiModel(vendor.KEY, url=google.url), Slots(None, Clock(), 0, 0), Clock())  # type: ignore[arg-type]
    return engines_with(ManimFootage(LocalRun(str(PYTHON), 60), writer, memory))


def animated(made: Made, *codes: str) -> Made:
    """Let these scenes be animated; an empty program is to be written."""
    for scene, code in zip(made.scenes, codes, strict=True):
        made.parts.store.advance(scene, engine="manim", code=code)
    return made


def program_of(made: Made, scene: Scene, path: Path) -> str:
    """The program that a scene says it was made by, fetched from storage."""
    asset = made.parts.store.asset(json.loads(scene.assets)["code"])
    assert asset is not None
    assert (asset.bucket_id, asset.kind) == ("source_code", "code")
    assert scene.code_url == made.parts.files.view_url(asset.bucket_id, asset.file_id)
    made.parts.files.download(asset.bucket_id, asset.file_id, path)
    return path.read_text()


def test_three_scenes_with_programs_of_their_own_become_a_film(begin: Begin, tmp_path: Path) -> None:
    made = animated(begin(*TEXTS[:3]), WORDS, FORMULA, FLOOD)
    seen: list[tuple[int, str]] = []
    store, advance = made.parts.store, made.parts.store.advance

    def watched(document, **changes):  # type: ignore[no-untyped-def]
        if isinstance(document, Scene) and "status" in changes:
            seen.append((document.scene_number, changes["status"]))
        return advance(document, **changes)

    store.advance = watched  # type: ignore[method-assign]
    made.run(engines_with(ManimFootage(LocalRun(str(PYTHON), 60))))

    video, scenes = made.video, made.scenes
    assert video.status is VideoStatus.COMPLETED, video.error_message
    assert video.substitutions == ""
    coded = [SceneStatus.CODED, SceneStatus.RENDERING, SceneStatus.RENDERED]
    assert seen == [(number, status) for number in (1, 2, 3) for status in coded]
    for scene, program in zip(scenes, (WORDS, FORMULA, FLOOD), strict=True):
        assert program_of(made, scene, tmp_path / "scene.py") == program
    made.parts.files.download(FILMS, video.final_file_id, tmp_path / "film.mp4")
    starts = np.cumsum([0, *(round(s.duration_seconds * FPS) - 10 for s in scenes)])
    frames = [frame_of(tmp_path / "film.mp4", int(start) + 45)[:480] for start in starts[:3]]
    assert frames[0].max() > 150 and frames[0].mean() < 60  # words on the style's ground
    assert np.ptp(frames[1], axis=2).max() > 90  # a formula in colour
    assert frames[2][..., 0].mean() > 200 and frames[2][..., 1:].mean() < 60  # red all over


def shown_to(made: Made, user: str) -> list[dict[str, Any]]:
    """The scenes as GET /videos/{id} tells them."""
    call = Call("http", "", "GET", f"/videos/{made.id}", {}, "", user, "")
    return list(answer(made.parts, build_choices(SETTINGS), call).body["scenes"])


def test_the_program_that_was_written_is_downloaded_by_its_owner_alone(
    begin: Begin, google: Gemini, memory: AppwriteMemory, people: dict[str, dict[str, str]]
) -> None:
    made = animated(begin(TEXTS[0]), "")
    made.run(writing(google, memory, FLOOD))
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message

    (scene,) = shown_to(made, "ada")
    url = scene["codeUrl"]
    got = {name: requests.get(url, headers=session, timeout=20) for name, session in people.items()}
    assert (got["ada"].status_code, got["ada"].text) == (200, FLOOD)
    assert got["eve"].status_code == requests.get(url, timeout=20).status_code == 404

    (question,) = google.questions
    assert question["wanted"]["frame"]["width"] == 4.5 and question["wanted"]["frame"]["bottom"] > -2.4
    assert question["user"]["scene"]["narration"] == "The sea is wide."
    spent = [row for row in json.loads(made.video.costs).values() if row["machine"] == vendor.MODEL]
    assert [list(row["items"]) for row in spent] == [["1/code"]]
    assert made.video.cost_usd == pytest.approx(1200 * 0.25e-6 + 900 * 1.5e-6)

    # drawn instead, it has no program any more
    control.edit(made.parts, made.video, 1, SceneEdit(engine="cards"))
    made.run(writing(google, memory))
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    assert (made.scenes[0].code_url, "code" in json.loads(made.scenes[0].assets)) == ("", False)
    assert google.bodies == []


def test_a_broken_program_is_mended_by_the_second_answer_and_the_mend_is_remembered(
    begin: Begin, google: Gemini, memory: AppwriteMemory, tmp_path: Path
) -> None:
    engines = writing(google, memory, BROKEN, FLOOD)
    made = animated(begin(TEXTS[0]), "")
    made.run(engines)

    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    assert made.video.substitutions == ""
    assert program_of(made, made.scenes[0], tmp_path / "scene.py") == FLOOD
    first, second = google.questions
    assert "code" not in first["user"]
    assert "Rektangle" not in json.dumps(first["user"]["lessons"])
    assert second["user"]["code"] == BROKEN
    error = second["user"]["error"]
    assert error.endswith("NameError: name 'Rektangle' is not defined")
    assert 'File "scene.py", line 6, in construct' in error and "/" not in error.replace("scene.py", "")

    # another video: who writes is warned, and who meets the error again is told what mended it
    lesson = {
        "error": "NameError: name 'Rektangle' is not defined",
        "wrong": BROKEN.splitlines()[5],
        "right": FLOOD.splitlines()[5],
    }
    engines = writing(google, memory, BROKEN, FLOOD)
    again = animated(begin(TEXTS[1]), "")
    again.run(engines)
    assert again.video.status is VideoStatus.COMPLETED, again.video.error_message
    first, second = google.questions
    assert lesson in first["user"]["lessons"]
    assert second["user"]["lessons"][0] == lesson
    known = memory.recall(lesson["error"])
    assert known is not None and known.uses == 2


def test_a_program_whose_drawing_stands_outside_of_the_frame_is_mended(
    begin: Begin, google: Gemini, memory: AppwriteMemory, tmp_path: Path
) -> None:
    outside = SETTING + "self.add(Circle(color=LIGHT_1).shift(9 * RIGHT))\n        self.wait(DURATION)\n"
    engines = writing(google, memory, outside, FLOOD)
    made = animated(begin(TEXTS[0]), "")
    made.run(engines)

    assert (made.video.status, made.video.substitutions) == (VideoStatus.COMPLETED, ""), made.video.error_message
    assert program_of(made, made.scenes[0], tmp_path / "scene.py") == FLOOD
    assert google.questions[1]["user"]["error"].endswith("BlankFrames: nothing is to be seen in 100 % of the film")
    assert "x -2.25 to 2.25" in google.questions[1]["user"]["error"]


def test_a_program_that_cannot_be_mended_becomes_a_title_card(
    begin: Begin, google: Gemini, memory: AppwriteMemory
) -> None:
    refused = FLOOD.replace("Rectangle(", "MathTex(")  # is never run, so that this takes no time
    engines = writing(google, memory, refused)
    made = begin(*TEXTS[:2])
    made.parts.store.advance(made.scenes[1], engine="manim")
    made.run(engines)

    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    (said,) = json.loads(made.video.substitutions)
    assert (said["scene"], said["used"]) == (2, "a title card")
    assert said["why"].startswith(f"The program of the animation fails after {FIXES} fixes: Line 6: MathTex cannot")
    assert len(google.bodies) == 1 + FIXES
    assert made.scenes[1].code_url

    # tried again: what was written is not written anew, only mended
    engines = writing(google, memory, refused)
    control.retry(made.parts, made.video, build_choices(SETTINGS))
    made.run(engines)
    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    assert [question["user"].get("code") for question in google.questions] == [refused.strip() + "\n"] * FIXES


def test_a_scenes_own_program_that_fails_is_told_to_nobody_without_a_writer(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    made.parts.store.advance(made.scenes[1], engine="manim", code=BROKEN)
    made.run(engines_with(ManimFootage(LocalRun(str(PYTHON), 60))))

    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    (said,) = json.loads(made.video.substitutions)
    assert (said["scene"], said["used"]) == (2, "a title card")
    assert said["why"] == "The scene's own program fails: NameError: name 'Rektangle' is not defined."


def test_without_a_sandbox_nothing_is_run_and_the_video_says_why(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sandbox.landlock.abi", lambda: 0)
    made = begin(*TEXTS[:2])
    made.parts.store.advance(made.scenes[1], engine="manim", code=FLOOD)
    made.run(engines_with(ManimFootage(LocalRun(str(PYTHON), 60))))

    assert made.video.status is VideoStatus.COMPLETED, made.video.error_message
    (said,) = json.loads(made.video.substitutions)
    assert (said["scene"], said["used"]) == (2, "a title card")
    assert "needs Linux 6.2 or newer with Landlock" in said["why"]


def test_lines_and_numbers_are_seen_on_a_bright_ground(tmp_path: Path) -> None:
    stage = Stage((360, 640), FPS, 0.1, {"GROUND": "#ffffff", "INK": "#000000"}, "Inter", (str(INTER),))
    axes = "axes = Axes(x_range=[0, 3], y_range=[0, 3], x_length=3, y_length=3).add_coordinates()"
    code = f"{SETTING}{axes}\n        self.add(axes)\n        self.wait(DURATION)\n"

    assert LocalRun(str(PYTHON), 60)(source_of(code, stage), tmp_path / "film.mp4", lambda: None) == ""

    dark = frame_of(tmp_path / "film.mp4", 1).max(axis=2) < 100
    assert dark.any(axis=1).sum() > 200  # the axis upright
    assert dark[:, 60:110].sum() > 50 and dark[445:480].sum() > 50  # numbers beside and below


def test_on_modal_programs_run_in_containers_of_their_own(tmp_path: Path) -> None:
    stage = Stage((360, 640), FPS, 0.5, {"GROUND": "#101010", "INK": "#ffffff"}, "Inter", (str(INTER),))
    ticks: list[int] = []
    with Plane(python=PYTHON) as plane:
        plane.deploy("-m modal_app::isolated_app", cwd=ROOT)
        with plane.speaking():
            run = RemoteRun(ModalIsolated(on_modal.APP), 60)
            right = run(source_of(FLOOD, stage), tmp_path / "film.mp4", lambda: ticks.append(1))
            wrong = run(source_of(BROKEN, stage), tmp_path / "none.mp4", lambda: None)
            lost = RemoteRun(ModalIsolated("elsewhere"), 60)
            with pytest.raises(UnavailableError, match="modal deploy -m modal_app::isolated_app"):
                lost(source_of(FLOOD, stage), tmp_path / "none.mp4", lambda: None)

    assert right == ""
    assert ticks
    assert probe.frames(tmp_path / "film.mp4") == 15
    assert wrong.endswith("NameError: name 'Rektangle' is not defined")
    assert not (tmp_path / "none.mp4").exists()


def test_the_doctor_sees_manim_in_the_sandbox_or_says_what_is_missing() -> None:
    def seen(python: str) -> Finding:
        settings = Settings(pictures="cards,manim", manim_python=python)
        (look,) = (look for part, look in doctor_engines.looks(settings, deep=False) if part == "manim")
        return look_at("manim", look)

    assert seen(str(PYTHON)) == Finding("manim", WELL, "Scenes can be animated by Manim 0.22.0, in the sandbox")
    assert seen(sys.executable).sentence == "Manim cannot be used: ModuleNotFoundError: No module named 'manim'."
    assert "SCENEWRIGHT_MANIM_PYTHON" in seen("").sentence


def test_what_is_remembered_is_no_clients_to_read(
    appwrite: Running, memory: AppwriteMemory, people: dict[str, dict[str, str]]
) -> None:
    memory.learn(Lesson("ValueError: kept from clients", "wrong", "right"))
    path = f"{appwrite.endpoint}/tablesdb/{database_id()}/tables/{MEMORY}/rows"
    for headers in ({}, people["ada"]):
        shown = {"x-appwrite-project": appwrite.project, **headers}
        seen = requests.get(path, headers=shown, timeout=20)
        written = requests.post(path, headers=shown, json={"rowId": "mine", "data": {"error": "x"}}, timeout=20)
        assert seen.json() == {"total": 0, "rows": []}
        assert written.status_code == 401
    assert [lesson.error for lesson in memory.most_used(100)].count("ValueError: kept from clients") == 1

"""What people bring for their scenes: their pictures, films and recordings in one film with what engines make."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest
from PIL import Image

from core import control
from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.create import create_video
from core.documents import CROSSFADE_FRAMES, FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Video
from core.engines.storyboard_text import TextStoryboard
from core.errors import InvalidInputError
from core.material import edited
from core.media.run import run
from core.plan import plan
from core.ports import CallState, Parts
from core.request import Choices, validate
from core.schema import FILMS, UPLOADS, VIDEOS, database_id
from core.settings import Settings
from core.status import VideoStatus
from core.wiring import build_choices
from core.wishes import SceneEdit, scene_edit
from tests.contract.conftest import client_of
from tests.contract.making import Clock, Made, engines_that, frame_of
from tests.contract.test_footage import moving
from tests.contract.told import Renderer
from tests.emulator.conftest import Running

SETTINGS = Settings(tries_max=1, report_seconds=0.1)
CHOICES = build_choices(SETTINGS)
SMALL = {"resolution": 360, "style": "lagoon", "seed": 7, "captions": "off"}
TELLS = "The sea is wide and the wind is strong today."


@dataclass(frozen=True)
class Desk:
    """Where people put their files and ask for videos."""

    parts: Parts
    renderer: Renderer
    client: AppwriteClient

    def put(self, path: Path, owner: str = "ada", file_id: str = "") -> str:
        """Upload a file as its owner would; its id."""
        return self.parts.files.upload(UPLOADS, file_id or secrets.token_hex(8), path, owner).file_id

    def ask(self, scenes: list[dict[str, Any]], owner: str = "ada", **options: Any) -> Made:
        """Ask for a video of these scenes, and plan it."""
        request = validate({"scenes": scenes, **SMALL, **options}, CHOICES)
        video = create_video(self.parts, request, owner)
        plan(self.parts, video.id, CHOICES)
        return Made(self.parts, self.renderer, video.id)

    def row_by_hand(self, scenes: str) -> Video:
        """A row as somebody with a key makes it, planned."""
        video_id = secrets.token_hex(8)
        data = {"owner_id": "ada", "plan": scenes, "options": json.dumps(SMALL)}
        path = f"/tablesdb/{database_id()}/tables/{VIDEOS}/rows"
        self.client.ask("post", path, "a row", {"rowId": video_id, "data": data})
        plan(self.parts, video_id, CHOICES)
        return self.parts.store.get_video(video_id)

    def edit(self, made: Made, number: int, **body: Any) -> Video:
        """Change a scene, as the function does."""
        return control.edit(self.parts, made.video, number, scene_edit(body, CHOICES.engines))


@pytest.fixture
def desk(appwrite: Running) -> Desk:
    """In the embedded server."""
    client, renderer = client_of(appwrite), Renderer(parallel_calls=1, state=CallState.DONE)
    store, files = AppwriteStore(client), AppwriteFiles(client)
    return Desk(Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock()), renderer, client)


# ---- files as people have them


def flag(path: Path, size: tuple[int, int] = (300, 200), orientation: int = 1) -> Path:
    """A picture, red at its left and green at its right half, as a camera stores it in that orientation."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = pixels[:, size[0] // 2 :, 1] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def film(path: Path, seconds: float = 1.0) -> Path:
    """A moving pattern."""
    return moving(path, seconds)


def hum(path: Path, *parts: tuple[float, float]) -> Path:
    """A recording: (seconds, loudness) one after the other."""
    rng = np.random.default_rng(5)
    noise = [rng.normal(0, level, round(seconds * 44_100)) for seconds, level in parts]
    raw = np.clip(np.concatenate(noise), -1, 1).astype("<f4").tobytes()
    run(ffmpeg.input("pipe:0", f="f32le", ar=44_100, ac=1).output(str(path), ac=2).get_args(), feed=[raw])
    return path


def levels_of(path: Path) -> np.ndarray:
    """How loud each frame of a film or sound is: RMS, 0 to 1."""
    raw = run(ffmpeg.input(str(path)).audio.output("pipe:1", f="f32le", ac=1, ar=SAMPLE_RATE).get_args()).stdout
    sound = np.frombuffer(raw, "<f4")
    whole = sound[: sound.size // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    return np.asarray(np.sqrt((whole**2).mean(axis=1)))


def voice_facts(made: Made, number: int) -> dict[str, Any]:
    """What is kept of a scene's sound."""
    wanted = json.loads(made.scenes[number - 1].assets)["voice"]
    return dict(next(a.facts for a in made.parts.store.assets(made.id) if a.id == wanted))


def film_of(made: Made, folder: Path) -> tuple[Path, list[int]]:
    """The finished film, and the frame in the middle of each of its scenes."""
    video = made.video
    assert video.status is VideoStatus.COMPLETED, video.error_message
    made.parts.files.download(FILMS, video.final_file_id, folder / "film.mp4")
    frames = [round(s.duration_seconds * FPS) for s in made.scenes]
    starts = [sum(frames[:i]) - CROSSFADE_FRAMES * i for i in range(len(frames))]
    return folder / "film.mp4", [start + count // 2 for start, count in zip(starts, frames, strict=True)]


# ---- one film of everything


def test_own_picture_clip_and_recording_stand_in_one_film_with_a_drawn_scene(desk: Desk, tmp_path: Path) -> None:
    brings = [
        {"narration": TELLS, "picture_file_id": desk.put(flag(tmp_path / "turned.jpg", (300, 200), orientation=6))},
        {"narration": TELLS, "clip_file_id": desk.put(film(tmp_path / "pattern.mov"))},
        {
            "narration": "One two three.",
            "title": "Heard",
            "audio_file_id": desk.put(hum(tmp_path / "take.mp3", (0.5, 0.0), (1.0, 0.1), (0.7, 0.0), (2.0, 0.1))),
        },
        {"narration": TELLS, "title": "Drawn", "visual_prompt": "a lighthouse"},
    ]
    made = desk.ask(brings)
    engines, pictures = engines_that()
    made.run(engines)
    assert made.video.substitutions == ""
    path, middles = film_of(made, tmp_path)

    # the camera was turned: what it stored at the left is at the top
    first = frame_of(path, middles[0])
    assert first[120, :, 0].mean() > first[120, :, 1].mean() + 100
    assert first[-120, :, 1].mean() > first[-120, :, 0].mean() + 100
    assert np.ptp(frame_of(path, middles[1]), axis=2).mean() > 60, "the coloured pattern fills the picture"
    assert np.abs(frame_of(path, middles[1] + 15) - frame_of(path, middles[1])).mean() > 3, "and it moves"
    assert [brief.number for brief in pictures.drawn] == [3, 4]

    # the recording is heard as loud as the narrations; its words lie where it is not silent, by their letters
    levels = levels_of(path)
    scene = made.scenes[2]
    assert scene.duration_seconds == pytest.approx(0.35 + 3.7 + 0.40, abs=0.1)
    assert levels[middles[2] + 20] > 0.02
    facts = voice_facts(made, 3)
    assert [text for text, _, _ in facts["words"]] == ["One", "two", "three."]
    (_, one, one_ends), (_, two, two_ends), (_, three, three_ends) = facts["words"]
    assert 0.3 < one < 0.4 < one_ends == pytest.approx(two, abs=0.9)
    assert two < two_ends <= three < three_ends == pytest.approx(scene.duration_seconds - 0.4, abs=0.1)
    assert made.scenes[0].parsed_material.picture is not None
    (storyboard,) = [a for a in made.parts.store.assets(made.id) if a.kind == "storyboard"]
    assert (storyboard.facts["strategy"], storyboard.facts["scenes"]) == ("given", 4)


def test_a_recording_without_a_narration_needs_no_words_and_no_captions(desk: Desk, tmp_path: Path) -> None:
    """Its film is black and stands still: that is their wish, and no fault."""
    song = desk.put(hum(tmp_path / "song.wav", (3.5, 0.05)))
    night = desk.put(moving(tmp_path / "night.mp4", 1.0, "color=c=black:s=320x240:r=12"))
    made = desk.ask(
        [{"audio_file_id": song, "clip_file_id": night}, {"narration": TELLS, "audio_file_id": song}],
        captions="highlight",
    )
    engines, _ = engines_that()
    made.run(engines)
    path, middles = film_of(made, tmp_path)

    assert (voice_facts(made, 1)["words"], len(voice_facts(made, 2)["words"])) == ([], len(TELLS.split()))
    top, bottom = 640 * 0.795, 640 * 0.925
    band = slice(round(top), round(bottom))
    bare, captioned = (frame_of(path, middle)[band].max() for middle in middles)
    assert captioned > 230 > bare, (captioned, bare)


# ---- what is refused before anything is recorded


@pytest.fixture(scope="module")
def oddities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that are not what they are called."""
    folder = tmp_path_factory.mktemp("oddities")
    texts = {
        "text.jpg": "This is no picture.",
        "list.mp4": "#EXTM3U\nfile:///etc/passwd\n",
        "page.mp3": "<html></html>",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    flag(folder / "flag.png")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("field", "name", "code", "says"),
    [
        ("picture_file_id", "text.jpg", "bad_picture", "text.jpg, the picture of scene 2, cannot be used"),
        ("clip_file_id", "list.mp4", "bad_clip", "it must be MP4, WebM or MOV"),
        ("clip_file_id", "flag.png", "bad_clip", "flag.png, the clip of scene 2"),
        ("audio_file_id", "page.mp3", "bad_audio", "it must be MP3, WAV, M4A, OGG or FLAC"),
        ("picture_file_id", "", "picture_not_found", "upload the picture of scene 2 first"),
        ("audio_file_id", "", "audio_not_found", "upload the audio of scene 2 first"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_scene_and_field(
    field: str, name: str, code: str, says: str, desk: Desk, oddities: dict[str, Path]
) -> None:
    file_id = desk.put(oddities[name]) if name else "not-there"

    with pytest.raises(InvalidInputError) as caught:
        desk.ask([{"narration": TELLS}, {"narration": TELLS, field: file_id}])

    assert (caught.value.code, caught.value.field) == (code, f"scenes[1].{field}")
    assert says in caught.value.sentence


def test_nobody_may_use_what_somebody_else_uploaded(desk: Desk, tmp_path: Path) -> None:
    theirs = desk.put(flag(tmp_path / "flag.png"), owner="eve")
    mine = desk.ask([{"narration": TELLS}])

    def refused(ask: Callable[[], object], field: str) -> None:
        with pytest.raises(InvalidInputError) as caught:
            ask()
        assert (caught.value.code, caught.value.field) == ("picture_not_found", field)
        assert "of yours" in caught.value.sentence

    refused(lambda: desk.ask([{"narration": TELLS, "picture_file_id": theirs}]), "scenes[0].picture_file_id")
    refused(lambda: desk.edit(mine, 1, picture_file_id=theirs), "picture_file_id")
    by_hand = desk.row_by_hand(json.dumps([{"narration": TELLS, "picture_file_id": theirs}]))
    assert (by_hand.status, by_hand.error_code) == (VideoStatus.FAILED, "picture_not_found")


def test_a_row_made_by_hand_may_give_its_scenes_too(desk: Desk, tmp_path: Path) -> None:
    picture = desk.put(flag(tmp_path / "flag.png"))

    video = desk.row_by_hand(json.dumps([{"narration": TELLS, "picture_file_id": picture}, {"narration": "Done."}]))

    assert video.status is VideoStatus.RENDERING, video.error_message
    first, second = desk.parts.store.scenes(video.id)
    assert first.parsed_material.picture is not None
    assert (first.parsed_material.picture.file_id, second.material) == (picture, "")
    assert first.parsed_material.picture.mark == hashlib.md5((tmp_path / "flag.png").read_bytes()).hexdigest()
    assert desk.row_by_hand("no JSON").error_code == "bad_plan"
    assert desk.row_by_hand("{}").error_code == "not_a_list"


def test_the_same_key_with_other_scenes_is_another_request(desk: Desk) -> None:
    def ask(narration: str) -> Video:
        return create_video(desk.parts, validate({"scenes": [{"narration": narration}], **SMALL}, CHOICES), "ada", key)

    key = secrets.token_hex(8)
    assert ask(TELLS).id == ask(TELLS).id
    with pytest.raises(Exception, match="another request"):
        ask(TELLS + " And tomorrow.")


# ---- what turns out later to be unusable


def test_what_cannot_be_decoded_is_stood_in_for_and_the_video_says_which_file_and_why(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "cut.jpg").write_bytes(flag(tmp_path / "whole.jpg").read_bytes()[:700])
    (tmp_path / "cut.mp4").write_bytes(film(tmp_path / "whole.mp4").read_bytes()[:900])
    gone = desk.put(flag(tmp_path / "gone.png"))
    brings = [
        {"narration": TELLS},
        {"narration": TELLS, "picture_file_id": desk.put(tmp_path / "cut.jpg")},
        {"narration": TELLS, "clip_file_id": desk.put(tmp_path / "cut.mp4")},
        {"narration": TELLS, "audio_file_id": desk.put(hum(tmp_path / "still.wav", (1.0, 0.0)))},
        {"narration": TELLS, "picture_file_id": gone},
    ]
    made = desk.ask(brings)
    desk.parts.files.delete(UPLOADS, gone)
    desk.put(flag(tmp_path / "other.png", (80, 80)), file_id=gone)
    engines, _ = engines_that()
    made.run(engines)
    video = made.video
    assert video.status is VideoStatus.COMPLETED, video.error_message
    said = [(row["scene"], row["what"], row["used"], row["why"]) for row in json.loads(video.substitutions)]
    assert said == [
        (
            2, "picture", "a title card",
            "The picture of scene 2 (picture_file_id) cannot be read as a JPEG, PNG or WebP.",
        ),
        (3, "picture", "a title card", "The clip of scene 3 (clip_file_id) cannot be read as a film."),
        (4, "voice", "the narration, spoken", "The audio of scene 4 (audio_file_id) is silent."),
        (
            5, "picture", "a title card",
            "The picture of scene 5 (picture_file_id) is another file now: give it again to use that one.",
        ),
    ]  # fmt: skip
    assert "the sound of scene 4 was replaced by its narration, spoken" in video.stage


# ---- changes


def test_a_scene_gets_another_picture_and_loses_it_again_and_the_others_are_reused(desk: Desk, tmp_path: Path) -> None:
    one = desk.put(flag(tmp_path / "flag.png"))
    made = desk.ask([{"narration": TELLS, "picture_file_id": one}, {"narration": TELLS}])
    engines, pictures = engines_that()

    def clips() -> list[str]:
        return [json.loads(scene.assets)["clip"] for scene in made.scenes]

    made.run(engines)
    first, drawn = clips(), len(pictures.drawn)
    assert desk.edit(made, 1, picture_file_id=one) == made.video, "the same file is no change"

    # other bytes under the same id
    desk.parts.files.delete(UPLOADS, one)
    desk.put(flag(tmp_path / "turned.png", orientation=3), file_id=one)
    desk.edit(made, 1, picture_file_id=one)
    made.run(engines)
    second = clips()
    path, middles = film_of(made, tmp_path)
    assert (second[0] != first[0], second[1] == first[1]) == (True, True)
    left = frame_of(path, middles[0])[320, 60]
    assert left[1] > 150 > left[0], "green is at the left now"

    # a clip takes its place; it is retried and kept; then nothing is left of both
    desk.edit(made, 1, clip_file_id=desk.put(film(tmp_path / "pattern.mp4")))
    made.run(engines)
    material = made.scenes[0].parsed_material
    assert (material.picture, material.clip is not None) == (None, True)
    assert len(pictures.drawn) == drawn
    desk.edit(made, 1, clip_file_id="")
    made.run(engines)
    assert made.scenes[0].material == ""
    assert [brief.number for brief in pictures.drawn[drawn:]] == [1]
    assert made.video.status is VideoStatus.COMPLETED


def test_a_retry_keeps_what_a_scene_brings(desk: Desk, tmp_path: Path) -> None:
    made = desk.ask(
        [{"narration": TELLS, "picture_file_id": desk.put(flag(tmp_path / "flag.png"))}, {"narration": "Voice."}]
    )
    engines, _ = engines_that()
    broken = replace(engines, takers=None)
    made.run(broken)
    assert "takes no files" in json.loads(made.video.substitutions)[0]["why"]

    control.retry(desk.parts, made.video, CHOICES)
    made.run(engines)

    assert made.video.substitutions == ""
    path, middles = film_of(made, tmp_path)
    assert frame_of(path, middles[0])[320, 60, 0] > 150


def test_a_scene_without_a_narration_keeps_its_recording_until_it_has_one(desk: Desk, tmp_path: Path) -> None:
    made = desk.ask([{"audio_file_id": desk.put(hum(tmp_path / "song.ogg", (1.0, 0.05)))}])
    scene_without_it = "Scene 1 would have nothing to be heard"
    with pytest.raises(InvalidInputError, match=scene_without_it) as caught:
        desk.edit(made, 1, audio_file_id="")
    assert caught.value.field == "audio_file_id"
    engines, _ = engines_that()
    made.run(engines)

    desk.edit(made, 1, audio_file_id="", narration=TELLS)
    made.run(engines)

    assert made.scenes[0].material == ""
    assert [text for text, _, _ in voice_facts(made, 1)["words"]] == TELLS.split()


def test_deleting_a_video_leaves_the_files_that_others_use(desk: Desk, tmp_path: Path) -> None:
    picture = desk.put(flag(tmp_path / "flag.png"))
    gone, stays = (desk.ask([{"narration": TELLS, "picture_file_id": picture}]) for _ in range(2))

    control.delete(desk.parts, gone.video)
    control.cancel(desk.parts, stays.video)

    assert desk.parts.files.stat(UPLOADS, picture) is not None


# ---- programs and engines


def test_each_scene_has_its_own_engine_and_a_program_goes_to_the_one_that_runs_programs(desk: Desk) -> None:
    choices = replace(CHOICES, engines=("cards", "sdxl", "manim"))
    scenes: list[dict[str, Any]] = [
        {"narration": TELLS},
        {"narration": TELLS, "engine": "auto"},
        {"narration": TELLS, "engine": "cards"},
        {"narration": TELLS, "code": "class Waves(Scene):\n    pass"},
    ]
    assert isinstance(choices, Choices)
    video = create_video(desk.parts, validate({"scenes": scenes, "engine": "sdxl", **SMALL}, choices), "ada")
    plan(desk.parts, video.id, choices)

    rows = desk.parts.store.scenes(video.id)

    assert [row.engine for row in rows] == ["sdxl", "sdxl", "cards", "manim"]
    auto = scene_edit({"engine": "auto"}, choices.engines)
    assert edited(desk.parts, video, rows[2], auto)["engine"] == "sdxl"
    assert rows[3].code == "class Waves(Scene):\n    pass"
    desk.renderer.jobs.clear()
    edit = scene_edit({"code": "class Tides(Scene): ..."}, choices.engines)
    assert edit == SceneEdit(code="class Tides(Scene): ...", engine="manim")

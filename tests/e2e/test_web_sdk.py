"""A whole video through the unmodified web SDK, as an anonymous user; and what another user sees of it: nothing."""

from __future__ import annotations

import io
import itertools
import json
import re
import struct
import wave
from pathlib import Path

import pytest
from appwrite.query import Query
from PIL import Image

from core.adapters.appwrite_client import AppwriteClient
from core.documents import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Canvas, Scene, Video
from core.media import probe
from core.ports import Parts
from core.wiring import build_parts
from tests.waiting import renderer_ready, wait_for

from .captions_seen import (
    TOLERANCE,
    Light,
    Narration,
    band_frames,
    frame_after,
    frame_before,
    lights,
    lit_share,
    narrations,
)
from .conftest import RunningStack
from .web_programs import WEB, Made, finish, node_version, program, spoken_lines

SCRIPT = """Volcanoes
A volcano is a mountain that opens, and hot rock flows out of it.

Pressure
Deep below, gas builds up like a shaken bottle.

Ash
Grey ash rises high and rides on the wind for days.

Life
Years later, green forests grow on the same slopes."""
REQUEST = {"script": SCRIPT, "resolution": 720, "style": "cobalt", "seed": 7}
CANVAS = Canvas.of("9:16", 720)
COUNT = 4


pytestmark = [
    pytest.mark.skipif(node_version() < 20, reason="needs Node 20 or newer"),
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="needs `make node-modules`"),
]


@pytest.fixture(scope="module")
def made(running_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One video, made while a stranger listens, who then tries to see it."""
    film = tmp_path_factory.mktemp("web") / "film.mp4"
    at = {"endpoint": running_stack.endpoint, "project": running_stack.project}
    # a renderer that is still starting lets a video wait, and nothing moves meanwhile
    wait_for(lambda: renderer_ready(running_stack.settings), "the render processes")
    with program("stranger.mjs", at) as stranger:
        heard = list(itertools.islice(spoken_lines(stranger), 2))
        with program("make_video.mjs", at | {"request": REQUEST, "out": str(film)}) as maker:
            lines = finish(maker, "")
        (shown,) = (line["body"] for line in lines if line["kind"] == "shown")
        urls = [shown[name] for name in ("videoUrl", "captionsUrl", "subtitlesUrl", "thumbnailUrl")]
        urls += [scene[name] for scene in shown["scenes"] for name in ("videoUrl", "imageUrl", "audioUrl")]
        asked = {"videoId": shown["videoId"], "fileId": shown["videoUrl"].split("/files/")[1].split("/")[0]}
        seen = finish(stranger, json.dumps(asked | {"urls": urls}) + "\n")
    return Made(lines, heard + seen, film)


@pytest.fixture(scope="module")
def parts(running_stack: RunningStack) -> Parts:
    """The same documents, read by the service."""
    return build_parts(running_stack.settings)


@pytest.fixture(scope="module")
def voices(made: Made, parts: Parts) -> list[Narration]:
    """What is heard in the film, scene by scene."""
    video: Video = parts.store.get_video(made.shown["videoId"])
    scenes: list[Scene] = parts.store.scenes(video.id)
    return narrations(parts, video, scenes)


@pytest.fixture(scope="module")
def decoded(made: Made) -> probe.Decoded:
    """Everything that decoding the film shows; captions are left out, whose words would hide a frozen picture."""
    return probe.decode(
        made.film,
        rate=FPS,
        picture_share=CANVAS.caption_band[0] / CANVAS.height,
        black_seconds=0.05,
        frozen_seconds=1.0,
        silent_seconds=1.0,
    )


# ---- what the events told


def test_the_answer_comes_at_once_with_the_id_and_the_channels(made: Made) -> None:
    (created,) = made.of_kind("created")

    assert created["status"] == 202
    assert created["body"]["status"] == "queued"
    assert created["body"]["success"] is True
    assert created["body"]["channels"] == [
        f"databases.video_metadata.tables.videos.rows.{made.shown['videoId']}",
        "databases.video_metadata.tables.scenes.rows",
    ]


def test_every_state_is_seen_in_its_order_by_events_alone(made: Made) -> None:
    states = [status for status, _ in itertools.groupby(event["status"] for event in made.events("videos"))]

    assert states == ["queued", "planning", "rendering", "combining", "completed"]


def test_the_last_event_alone_carries_the_link_to_the_film(made: Made) -> None:
    links = [event["combined_video_url"] for event in made.events("videos")]

    assert "/buckets/final_videos/files/" in links[-1]
    assert not any(links[:-1])


def test_every_scene_is_seen_planned_then_rendering_then_rendered(made: Made) -> None:
    for number in range(1, COUNT + 1):
        states = [e["status"] for e in made.events("scenes") if e["scene_number"] == number]
        assert [status for status, _ in itertools.groupby(states)] == ["planned", "rendering", "rendered"], number


def test_progress_never_falls_and_passes_its_marks_in_order(made: Made) -> None:
    progress = [event["progress"] for event in made.events("videos")]
    reached = [next(i for i, value in enumerate(progress) if value >= mark) for mark in (10, 50, 70, 100)]

    assert progress == sorted(progress)
    assert progress[-1] == 100
    assert reached == sorted(set(reached))


def test_the_current_scene_never_falls_and_ends_at_the_last(made: Made) -> None:
    current = [event["current_scene"] for event in made.events("videos")]

    assert current == sorted(current)
    assert {1, COUNT} <= set(current) <= set(range(COUNT + 1))


def test_something_is_heard_at_least_every_two_seconds(made: Made) -> None:
    pairs = itertools.pairwise(made.events("videos"))
    largest, before, after = max(((b["at"] - a["at"]) / 1000, a["stage"], b["stage"]) for a, b in pairs)
    print(f"largest gap: {largest:.2f} s between {before!r} and {after!r}")  # noqa: T201 - shown by `pytest -s`

    assert largest <= 2.0, (before, after)


def test_no_write_is_missed_and_each_grows_the_revision_by_one(made: Made) -> None:
    revisions = [event["revision"] for event in made.events("videos")]

    assert revisions == list(range(1, len(revisions) + 1))
    assert len({event["updatedAt"] for event in made.events("videos")}) == len(revisions)


def test_there_is_no_state_without_a_sentence(made: Made) -> None:
    assert all(event["stage"].strip() for event in made.events("videos"))


def test_a_video_costs_at_most_two_writes_a_second_beside_those_of_its_stages(
    made: Made, running_stack: RunningStack
) -> None:
    """Eight writes begin and end the stages: create, plan, hand out twice with the calls' ids, join, complete."""
    events, at = made.events("videos"), running_stack.settings
    seconds = (events[-1]["at"] - events[0]["at"]) / 1000
    print(f"{len(events)} writes of the video in {seconds:.1f} s")  # noqa: T201 - shown by `pytest -s`

    assert len(events) <= 8 + 2 * seconds
    beats = len(made.events("scenes")) - 3 * COUNT  # recorded, taken, rendered; and each renderer's beat every 2 s
    assert 0 <= beats <= at.parallel_calls * seconds / at.beat_seconds


def test_logs_of_function_and_renderer_carry_video_attempt_and_action(made: Made, running_stack: RunningStack) -> None:
    video = made.shown["videoId"]
    worker = (running_stack.data / "logs" / "worker.log").read_text(encoding="utf-8")
    operator = AppwriteClient(running_stack.endpoint, running_stack.project, running_stack.key)
    wanted = {"queries": [Query.limit(100), Query.order_desc("$createdAt")]}
    executions = operator.call("get", "/functions/video_generation/executions", params=wanted)["executions"]
    function = "\n".join(execution["logs"] for execution in executions)

    assert re.search(rf"action=scene_rendered video={video} attempt=\d+ scene=1 \|", worker)
    assert re.search(rf"action=planned video={video} attempt=\d+ \|", function)


# ---- the film


def test_the_play_url_plays_without_cookies(made: Made) -> None:
    assert made.of_kind("downloaded") == [{"kind": "downloaded", "status": 200, "type": "video/mp4"}]


def test_the_film_has_the_size_rate_and_colours_that_were_asked_for(made: Made) -> None:
    header = probe.streams(made.film)
    assert header.video is not None
    assert header.audio is not None

    assert (header.video.width, header.video.height, header.video.fps) == (CANVAS.width, CANVAS.height, FPS)
    assert (header.video.codec, header.video.pixel_format) == ("h264", "yuv420p")
    assert "bt709" in header.video.colour
    assert (header.audio.codec, header.audio.sample_rate, header.audio.channels) == ("aac", SAMPLE_RATE, 2)


def test_the_index_of_the_film_stands_before_its_data(made: Made) -> None:
    boxes, at, data = [], 0, made.film.read_bytes()
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        boxes.append(name)
        at += size if size > 1 else struct.unpack_from(">Q", data, at + 8)[0]

    assert boxes.index(b"moov") < boxes.index(b"mdat")


def test_picture_and_sound_end_within_a_frame_of_each_other_as_announced(made: Made, decoded: probe.Decoded) -> None:
    assert abs(decoded.samples / SAMPLE_RATE - decoded.frames / FPS) <= 1 / FPS
    assert made.shown["durationSeconds"] == pytest.approx(decoded.frames / FPS, abs=0.001)
    assert decoded.irregular == 0
    assert decoded.complaints == ()


def test_the_film_is_as_loud_as_platforms_want_it(decoded: probe.Decoded) -> None:
    assert decoded.loudness.integrated == pytest.approx(-16, abs=1)
    assert decoded.loudness.true_peak <= -1.45  # the meter rounds to a tenth


def test_the_film_is_nowhere_black_frozen_or_silent(decoded: probe.Decoded) -> None:
    assert decoded.black == ()
    assert decoded.frozen == ()
    assert decoded.silent == ()


# ---- captions


_SRT_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)[,.](\d{3}) --> (\d\d):(\d\d):(\d\d)[,.](\d{3})")


def cues_of(text: str) -> list[tuple[float, float, str]]:
    """(start, end, text) of every cue of a SubRip or WebVTT file."""
    cues = []
    for block in re.split(r"\n\s*\n", text.removeprefix("WEBVTT").strip()):
        lines = block.splitlines()
        (index,) = (i for i, line in enumerate(lines) if "-->" in line)
        match = _SRT_TIME.fullmatch(lines[index])
        assert match is not None, block
        h, m, s, ms, h2, m2, s2, ms2 = map(int, match.groups())
        start, end = h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000
        cues.append((start, end, " ".join(lines[index + 1 :])))
    return cues


@pytest.mark.parametrize("name", ["subtitlesUrl", "captionsUrl"])
def test_subtitles_say_every_word_when_it_is_spoken(made: Made, voices: list[Narration], name: str) -> None:
    text = made.open(made.shown[name]).decode("utf-8")
    assert text.startswith("WEBVTT\n" if name == "captionsUrl" else "1\n")
    cues = cues_of(text)
    spoken = [(w.text, w.start + v.start, w.end + v.start) for v in voices for w in v.words]

    assert [word for *_, said in cues for word in said.split()] == [word for word, *_ in spoken]
    assert all(start < end for start, end, _ in cues)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(cues))
    at = 0
    for start, end, said in cues:
        words = spoken[at : at + len(said.split())]
        at += len(words)
        assert abs(start - words[0][1]) <= TOLERANCE, said
        assert end >= words[-1][2] - TOLERANCE, said


@pytest.fixture(scope="module")
def highlights(voices: list[Narration], tmp_path_factory: pytest.TempPathFactory) -> list[Light]:
    """Every highlighted word of the film."""
    folder = tmp_path_factory.mktemp("captions")
    return [light for voice in voices for light in lights(voice, CANVAS, folder)]


def test_every_word_lights_up_when_it_is_spoken(highlights: list[Light]) -> None:
    assert len(highlights) >= 30
    for light in highlights:
        assert abs(light.on - light.word.start) <= TOLERANCE, light.word
        assert light.off >= light.word.end - TOLERANCE, light.word


def test_the_words_of_a_cue_stand_in_reading_order(highlights: list[Light]) -> None:
    """The places that the pictures are compared with are those of the words, not just any."""
    for before, after in itertools.pairwise(highlights):
        if after.same_cue:
            (top, bottom), (left, right) = extent(before)
            (next_top, _), (next_left, next_right) = extent(after)
            next_line = next_top > (top + bottom) / 2
            assert (next_left < left) if next_line else (next_left > left and next_right > right), after.word


def extent(light: Light) -> tuple[tuple[int, int], tuple[int, int]]:
    """(top, bottom) and (left, right) of a word's place, px."""
    rows, columns = light.place.nonzero()
    return (int(rows.min()), int(rows.max())), (int(columns.min()), int(columns.max()))


def test_the_highlight_stands_in_the_place_of_the_word_that_is_heard(made: Made, highlights: list[Light]) -> None:
    long_enough = [light for light in highlights if light.word.end - light.word.start > TOLERANCE + 1 / FPS]
    assert len(long_enough) >= 20
    numbers = {frame_after(light.word.start + TOLERANCE) for light in long_enough}
    numbers |= {frame_before(light.word.start - TOLERANCE) for light in long_enough if light.same_cue}
    frames = band_frames(["-i", str(made.film)], sorted(numbers), CANVAS)

    for light in long_enough:
        lit, elsewhere = lit_share(frames[frame_after(light.word.start + TOLERANCE)], light.place)
        assert lit >= 0.6, light.word
        assert elsewhere <= 0.1, light.word
        if light.same_cue:
            lit, _ = lit_share(frames[frame_before(light.word.start - TOLERANCE)], light.place)
            assert lit <= 0.2, light.word


# ---- the files of the scenes


def test_every_scene_has_a_clip_a_picture_and_a_voice_for_its_owner(made: Made, tmp_path: Path) -> None:
    scenes = made.shown["scenes"]
    assert [scene["sceneNumber"] for scene in scenes] == list(range(1, COUNT + 1))
    for scene in scenes:
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(made.open(scene["videoUrl"]))
        video = probe.streams(clip).video
        assert video is not None
        assert (video.width, video.height) == (CANVAS.width, CANVAS.height)

        with Image.open(io.BytesIO(made.open(scene["imageUrl"]))) as picture:
            picture.load()
            assert picture.width / picture.height == pytest.approx(CANVAS.width / CANVAS.height, rel=0.01)

        with wave.open(io.BytesIO(made.open(scene["audioUrl"]))) as voice:
            assert (voice.getframerate(), voice.getnchannels(), voice.getsampwidth()) == (SAMPLE_RATE, 1, 2)
            assert voice.getnframes() == pytest.approx(scene["durationSeconds"] * SAMPLE_RATE, abs=SAMPLES_PER_FRAME)


def test_the_thumbnail_is_a_picture_of_the_films_shape(made: Made) -> None:
    with Image.open(io.BytesIO(made.open(made.shown["thumbnailUrl"]))) as picture:
        picture.load()
        assert picture.format == "JPEG"
        assert picture.width / picture.height == pytest.approx(CANVAS.width / CANVAS.height, rel=0.01)


# ---- somebody else


def test_a_stranger_hears_nothing(made: Made) -> None:
    assert [line["kind"] for line in made.stranger[:2]] == ["signed_in", "listening"]
    assert [line for line in made.stranger if line["kind"] == "event"] == []


def test_a_stranger_sees_no_row_and_no_file(made: Made) -> None:
    attempts = {line["name"]: line for line in made.stranger if line["kind"] == "attempt"}

    assert len(attempts) == 5 + 4 + 3 * COUNT + 2
    assert all(attempt["seen"] == "" for attempt in attempts.values())
    refused = [a for name, a in attempts.items() if not name.startswith("list")]
    assert {attempt["status"] for attempt in refused} <= {401, 404}


def test_a_stranger_is_told_that_there_is_no_such_video(made: Made) -> None:
    attempts = {line["name"]: line for line in made.stranger if line["kind"] == "attempt"}

    assert (attempts["show"]["status"], attempts["show"]["error"]) == (404, "Video not found")
    assert (attempts["list"]["status"], attempts["list"]["total"]) == (200, 0)


# ---- a line that is cut


def test_a_browser_that_was_cut_off_reads_what_it_missed_and_hears_the_rest(
    running_stack: RunningStack, tmp_path: Path
) -> None:
    at = {"endpoint": running_stack.endpoint, "project": running_stack.project, "cutAt": 20}
    request = REQUEST | {"resolution": 360}
    with program("make_video.mjs", at | {"request": request, "out": str(tmp_path / "film.mp4")}) as maker:
        lines = finish(maker, "")
    (cut,) = (i for i, line in enumerate(lines) if line["kind"] == "cut")
    told = [line for line in lines[cut + 1 :] if line.get("table") == "videos"]
    revisions = [line["revision"] for line in told]

    assert told[0]["kind"] == "read"
    assert revisions[0] > lines[cut]["revision"]  # something was missed, and is there again
    assert revisions == sorted(set(revisions))
    assert told[-1]["status"] == "completed"

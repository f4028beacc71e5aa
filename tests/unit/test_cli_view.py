"""How a video looks in a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from core.cli_view import LineView, bar, details, free_path, line, slug, spoken_time
from core.documents import Video
from core.status import VideoStatus

RENDERING = Video(
    id="v", status=VideoStatus.RENDERING, progress=42, stage="Scene 2 of 5: filming", current_scene=2, scene_count=5
)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("How Volcanoes Work!", "how-volcanoes-work"),
        ("../../etc/passwd", "etc-passwd"),
        ("Über die Berge", "über-die-berge"),
        ("火山是如何形成的", "火山是如何形成的"),
        ("***", "video"),
        ("", "video"),
    ],
)
def test_a_title_becomes_a_file_name(title: str, name: str) -> None:
    assert slug(title) == name


@given(st.text(max_size=300))
def test_no_title_can_leave_the_folder_or_be_too_long(title: str) -> None:
    name = slug(title)

    assert name
    assert Path(name).name == name
    assert not name.startswith((".", "-"))
    assert len(name.encode()) <= 60


def test_a_film_never_takes_the_name_of_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a-2.srt").touch()

    assert free_path(tmp_path / "a.mp4") == tmp_path / "a-3.mp4"
    assert free_path(tmp_path / "b.mp4") == tmp_path / "b.mp4"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (44.6, "45 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (4200, "1 h 10 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert spoken_time(seconds) == said


def test_the_time_left_counts_down_and_never_below_a_second() -> None:
    video = replace(RENDERING, eta_seconds=30)

    assert details(video, since=12.0)[-1] == "about 18 s left"
    assert details(video, since=99.0)[-1] == "about 1 s left"


def test_a_finished_video_has_no_time_left() -> None:
    done = replace(RENDERING, status=VideoStatus.COMPLETED, progress=100, eta_seconds=0, stage="Your video is ready")

    assert line(done) == "100 % | Your video is ready"


@pytest.mark.parametrize("width", [24, 40, 63, 64, 80, 200])
def test_the_bar_fits_every_terminal_and_says_the_same(width: int) -> None:
    console = Console(width=width, record=True, file=Path("/dev/null").open("w"), force_terminal=True)  # noqa: SIM115
    console.print(bar(replace(RENDERING, eta_seconds=30), width))
    console.file.close()
    lines = console.export_text().splitlines()

    assert all(len(text.rstrip()) <= width for text in lines)
    assert "42 %" in "\n".join(lines)
    assert "scene 2 of 5" in "\n".join(lines)


def test_plain_lines_tell_each_step_once(capsys: pytest.CaptureFixture[str]) -> None:
    with LineView(Console(width=80)) as view:
        for progress in (42, 43, 44, 48):
            view.show(replace(RENDERING, progress=progress))
        view.show(replace(RENDERING, progress=48, stage="Joining 5 scenes"))

    assert [text.strip().split(" ", 1)[0] for text in capsys.readouterr().out.splitlines()] == ["42", "48", "48"]

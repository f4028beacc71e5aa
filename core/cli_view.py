"""How a video looks in a terminal: a live bar, plain lines, or JSON; and the tables of the other commands."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from core.documents import Scene, Video
from core.prices import dollars
from core.status import SceneStatus, VideoStatus

_NARROW = 64  # columns; below it the details stand under the bar
_LINE_EVERY = 5  # per cent between two plain lines that say nothing else new
_COLOURS: dict[str, str] = {
    VideoStatus.COMPLETED: "green",
    VideoStatus.FAILED: "red",
    VideoStatus.CANCELLED: "yellow",
    SceneStatus.RENDERED: "green",
}


# ---- words


def slug(text: str) -> str:
    """A file name out of a title: letters and digits of any script, hyphens between; never empty, no path."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"[^\W_]+", plain)
    name = ""
    for word in words:
        if len(f"{name}-{word}".encode()) > 60:
            break
        name = f"{name}-{word}" if name else word
    return name or "video"


def free_path(film: Path) -> Path:
    """The path itself if nothing of its name is there, else the same with -2, -3, ... before the suffix."""
    number, path = 1, film
    while any(path.with_suffix(s).exists() for s in (film.suffix, ".srt", ".vtt")):
        number += 1
        path = film.with_name(f"{film.stem}-{number}{film.suffix}")
    return path


def spoken_time(seconds: float) -> str:
    """Seconds as people say them: 45 s, 2 min 05 s, 1 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def details(video: Video, since: float = 0.0) -> list[str]:
    """Scene and time left, as far as they are known; `since`: seconds since this state came."""
    found = []
    if video.scene_count and not video.is_terminal:
        found.append(f"scene {max(1, video.current_scene)} of {video.scene_count}")
    if video.eta_seconds is not None and not video.is_terminal:
        found.append(f"about {spoken_time(max(1.0, video.eta_seconds - since))} left")
    return found


def stage_of(video: Video) -> str:
    """The sentence of a state."""
    return video.stage or video.status.capitalize()


def line(video: Video) -> str:
    """A state as one plain line."""
    return " | ".join([f"{video.progress:3d} %", stage_of(video), *details(video)])


def state(video: Video) -> dict[str, Any]:
    """A state for programs."""
    return {
        "video_id": video.id,
        "status": str(video.status),
        "progress": video.progress,
        "stage": video.stage,
        "current_scene": video.current_scene,
        "scene_count": video.scene_count,
        "eta_seconds": video.eta_seconds,
        "cost_usd": video.cost_usd,
        "revision": video.revision,
        "error": {"code": video.error_code, "message": video.error_message} if video.error_code else None,
    }


def scene_state(scene: Scene) -> dict[str, Any]:
    """A scene for programs."""
    return {
        "scene_number": scene.scene_number,
        "status": str(scene.status),
        "title": scene.title,
        "duration_seconds": scene.duration_seconds,
        "error": scene.error_message or None,
    }


# ---- a video while it is made


class View(Protocol):
    """Something that shows states as they come; a context manager."""

    def show(self, video: Video) -> None:
        """Show a newer state."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def bar(video: Video, width: int, since: float = 0.0) -> RenderableType:
    """A state as a sentence over a bar; `width`: columns of the terminal."""
    colour = _COLOURS.get(video.status, "cyan")
    more = Text(" · ".join(details(video, since)), style="dim", no_wrap=True, overflow="ellipsis")
    narrow = width < _NARROW
    row = Table.grid(padding=(0, 1))
    drawn = ProgressBar(
        total=100,
        completed=video.progress,
        width=max(10, min(40, width - (8 if narrow else 40))),
        complete_style=colour,
        finished_style=colour,
    )
    cells: list[RenderableType] = [drawn, Text(f"{video.progress:3d} %", style="bold")]
    row.add_row(*cells, *([] if narrow else [more]))
    sentence = Text(stage_of(video), no_wrap=True, overflow="ellipsis")
    return Group(sentence, row, more) if narrow and more.plain else Group(sentence, row)


class BarView:
    """A live bar on a terminal; the time left counts down between two states."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._video: Video | None = None
        self._since = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._drawn)

    def _drawn(self) -> RenderableType:
        if self._video is None:
            return Text("Waiting for the first word...")
        return bar(self._video, self._console.width, time.monotonic() - self._since)

    def show(self, video: Video) -> None:
        """See View."""
        self._video, self._since = video, time.monotonic()
        self._live.refresh()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class LineView:
    """A line per step, where nothing can be drawn over: pipes, logs, CI."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[str, int] = ("", -_LINE_EVERY)

    def show(self, video: Video) -> None:
        """See View."""
        sentence, progress = self._last
        if stage_of(video) != sentence or video.progress >= progress + _LINE_EVERY:
            self._last = (stage_of(video), video.progress)
            self._console.print(line(video), markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class JsonView:
    """One JSON object per state on standard output."""

    def __init__(self, out: Console) -> None:
        self._out = out

    def show(self, video: Video) -> None:
        """See View."""
        print_json(self._out, state(video))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def view_for(console: Console, out: Console, as_json: bool) -> View:
    """The view that suits: JSON when asked for, a bar on a terminal, lines elsewhere."""
    if as_json:
        return JsonView(out)
    if console.is_terminal and not console.is_dumb_terminal:
        return BarView(console)
    return LineView(console)


def print_json(out: Console, value: object) -> None:
    """One line of JSON, never wrapped or coloured."""
    out.print(json.dumps(value, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)


# ---- tables


def _coloured(status: str) -> Text:
    return Text(status, style=_COLOURS.get(status, ""))


def videos_table(videos: Sequence[Video], total: int) -> RenderableType:
    """The newest videos, one per row."""
    if not videos:
        return Text("No videos yet. Make one: scenewright make --script FILE")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("ID", "STATUS", "%", "MADE AT", "STAGE"):
        table.add_column(name, no_wrap=True, justify="right" if name == "%" else "left")
    for video in videos:
        at = video.created_at[5:16].replace("T", " ")
        said = Text(stage_of(video), overflow="ellipsis", no_wrap=True)
        table.add_row(video.id, _coloured(video.status), str(video.progress), at, said)
    more = total - len(videos)
    return Group(table, Text(f"... and {more} older", style="dim")) if more > 0 else table


def video_table(video: Video, scenes: Sequence[Scene]) -> RenderableType:
    """One video with its scenes."""
    facts = Table.grid(padding=(0, 2))
    rows: list[tuple[str, RenderableType]] = [
        ("video", Text(video.id)),
        ("status", _coloured(video.status)),
        ("progress", Text(" · ".join([f"{video.progress} %", *details(video)]))),
        ("stage", Text(stage_of(video))),
        ("attempt", Text(f"{video.attempt} (tried {video.tries} times since it was asked for)")),
    ]
    if video.duration_seconds:
        rows.append(("length", Text(spoken_time(video.duration_seconds))))
    if video.cost_usd:
        rows.append(("cost", Text(dollars(video.cost_usd))))
    if video.error_code:
        rows.append(("error", Text(f"{video.error_code}: {video.error_message}", style="red")))
    for name, value in rows:
        facts.add_row(Text(name, style="dim"), value)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "STATUS", "LENGTH", "TITLE"):
        table.add_column(name)
    for scene in scenes:
        length = spoken_time(scene.duration_seconds) if scene.duration_seconds else ""
        table.add_row(
            str(scene.scene_number), _coloured(scene.status), length, Text(scene.error_message or scene.title)
        )
    return Group(facts, Text(), table) if scenes else facts


def pairs_table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> RenderableType:
    """Plain columns of text."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in head:
        table.add_column(name)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table

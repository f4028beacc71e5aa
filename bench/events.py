"""How soon a written document reaches a Realtime client, and how often a video's documents are written."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

from appwrite.query import Query

from bench import local
from bench.figures import Figure, Topic, busiest, percentile, widest_gap
from core import stack as stacks
from core.schema import ASSETS, CLAIMS, EVENTS, SCENES, VIDEOS, database_id
from core.status import TERMINAL

_EVENT_MS = 5.0
_VIDEO_WRITES_PER_SECOND = 2.0
_SILENCE_SECONDS = 2.0
_SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "volcano.txt"


def measure(*, quick: bool) -> Topic:
    """Write one row again and again, then make a video, and listen to both."""
    writes = 100 if quick else 500
    script = _SCRIPT.read_text(encoding="utf-8")
    if quick:
        script = "\n\n".join(script.split("\n\n")[:2])
    with local.running() as stack:
        delays = _delays(stack, writes)
        seen = _writes_of_a_video(stack, script)
    return Topic(
        "events",
        f"{writes} updates of one row over a kept connection, one after the other, each timed from before its request; "
        f"then one video of {seen.scenes} scenes, every change of its rows heard by its owner.",
        (
            Figure("write to event, median", median(delays), "ms", _EVENT_MS, beside="of one client on loopback"),
            Figure("write to event, 99th percentile", percentile(delays, 0.99), "ms"),
            *seen.figures(),
        ),
    )


def _delays(stack: stacks.Stack, writes: int) -> list[float]:
    """Milliseconds from the sending of each write to its event."""
    session = local.user(stack)
    rows = f"/tablesdb/{database_id()}/tables/{SCENES}/rows"
    row = {"rowId": "bench", "data": {"video_id": "bench", "scene_number": 1, "status": "planned"}}
    row["permissions"] = [f'read("user:{session.user_id}")']
    local.operator(stack).call("post", rows, {"content-type": "application/json"}, row)
    at = stack.settings
    wire = local.Wire(at.endpoint, {"x-appwrite-project": at.project_id, "x-appwrite-key": at.api_key})
    delays = []
    with local.listening(session, SCENES) as socket:
        for number in range(writes):
            begun = time.perf_counter()
            wire.send("PATCH", f"{rows}/bench", {"data": {"narration": f"Write {number}."}})
            event = local.heard(socket)
            delays.append((time.perf_counter() - begun) * 1000)
            status, _ = wire.answer()
            if status != 200 or event["data"]["payload"]["narration"] != f"Write {number}.":
                raise ValueError(f"write {number} was answered {status}, and its event was {event}")
    wire.close()
    return delays


class _Seen:
    """When which table was written while a video was made."""

    def __init__(self) -> None:
        self.scenes = 0
        self.tables: Counter[str] = Counter()
        self.video: list[float] = []  # seconds, writes of the video's own row
        self.stages: list[str] = []  # what each of them said
        self.all: list[float] = []
        self.film_seconds = 0.0

    def figures(self) -> tuple[Figure, ...]:
        """What a video costs its database."""
        span, gap = self.video[-1] - self.video[0], widest_gap(self.video)
        before = next(
            (said for said, (a, b) in zip(self.stages, pairwise(self.video), strict=False) if b - a == gap), ""
        )
        by_table = ", ".join(f"{name} {count}" for name, count in self.tables.most_common())
        return (
            Figure("writes for the whole video", self.tables.total(), "writes", beside=by_table),
            Figure("writes per second of work", self.tables.total() / span, "1/s", beside=f"{span:.1f} s of work"),
            Figure(
                "writes of the video's row per second of work",
                len(self.video) / span,
                "1/s",
                _VIDEO_WRITES_PER_SECOND,
                beside=f"most in any second {busiest(self.video, 1.0)}",
            ),
            Figure("longest silence of the video's row", gap, "s", _SILENCE_SECONDS, beside=f"after: {before}"),
            Figure("most writes in any second", busiest(self.all, 1.0), "writes"),
        )


def _writes_of_a_video(stack: stacks.Stack, script: str) -> _Seen:
    """Listen to the making of a video."""
    session, seen = local.user(stack), _Seen()
    with local.listening(session, VIDEOS, SCENES, ASSETS, EVENTS) as socket:
        video_id = local.create(session, script)
        while True:
            data = local.heard(socket)["data"]
            now = time.perf_counter()
            row, table = data["payload"], data["payload"]["$tableId"]
            seen.tables[table] += 1
            seen.all.append(now)
            if table == VIDEOS:
                seen.video.append(now)
                seen.stages.append(f"{row['status']} {row['progress']} %: {row['stage']}")
                if row["status"] in TERMINAL:
                    break
    video = local.finished(stack, video_id, 1)
    claims = local.operator(stack).call(
        "get",
        f"/tablesdb/{database_id()}/tables/{CLAIMS}/rows",
        params={"queries": [Query.equal("video_id", [video_id]), Query.limit(1)]},
    )
    seen.tables[CLAIMS] = int(claims["total"])  # nobody may read them, so nobody hears of them
    seen.scenes, seen.film_seconds = video.scene_count, video.duration_seconds
    return seen

"""What a change to one scene costs against making the whole video: the time, and what is made anew."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import mean, median

from bench import local
from bench.figures import Figure, Topic
from core import stack as stacks
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Asset, Video
from core.journal import EventKind
from core.status import VideoStatus
from core.watch import Session, execute, follow

_SCENES, _SCENES_QUICK = 12, 3
_SHARE = 0.15
_CHANGES = 5
_LOOKED_SECONDS = 3.0  # a person looks at the film first; right after its last write a video rests for a second
_SAID = "Number {} of our stories begins at the harbour, where the boats come home with the tide in the evening."
# as long as what it replaces, within a tenth of a second: a change that makes a scene longer makes more of it
_NEW = "Nobody is at the harbour now: the boats have left with tide {}, and the gulls went with them."
_WANTED = Counter(voice=1, picture=1, clip=1, fade=2, film=1, srt=1, vtt=1)


@dataclass(frozen=True, slots=True)
class _Run:
    """One way to a film: the seconds until it was completed, and what there was made by then."""

    video: Video
    seconds: float
    joining: float  # seconds of it after the last scene was made
    assets: dict[str, Asset]


def measure(*, quick: bool) -> Topic:
    """Make a video, change a scene in its middle a few times, make another such video, and compare."""
    count, side = (_SCENES_QUICK, 360) if quick else (_SCENES, 1080)
    with local.running() as stack:
        session = local.user(stack)

        def whole() -> _Run:
            script = "\n\n".join(_SAID.format(number + 1) for number in range(count))
            begun = time.perf_counter()
            return _finished(stack, session, local.create(session, script, resolution=side), begun)

        def change(video_id: str, tide: int) -> _Run:
            time.sleep(_LOOKED_SECONDS)
            begun = time.perf_counter()
            path, body = f"/videos/{video_id}/scenes/{count // 2 + 1}", {"narration": _NEW.format(tide)}
            execute(session.client(), "PATCH", path, body)
            return _finished(stack, session, video_id, begun)

        first = whole()
        changes = [change(first.video.id, tide + 1) for tide in range(1 if quick else _CHANGES)]
        # a machine that others use too is not as quick after a minute as it was: the whole is measured on both sides
        wholes = [first] if quick else [first, whole()]
    if first.video.scene_count != count:
        raise ValueError(f"the video has {first.video.scene_count} scenes instead of {count}")
    seconds, against = median(run.seconds for run in changes), mean(run.seconds for run in wholes)
    return Topic(
        "edit",
        f"Films of {count} scenes, {first.video.duration_seconds:.0f} s, {side} px wide, made by the local stack; "
        f"then the narration of scene {count // 2 + 1} is changed to one as long, from the request until the film is "
        f"completed again; the median of {len(changes)}; against the mean of the films made before and after "
        f"({len(wholes)}).",
        (
            Figure("making it all", against, "s", beside=_told(wholes)),
            Figure("after a change", seconds, "s", beside=_told(changes)),
            # few scenes share the cost of one join among few: there the bound says nothing
            Figure("a change against all", seconds / against, "x", None if quick else _SHARE),
            Figure(
                "made anew beside that scene and the film", max(map(_needless, [first, *changes], changes)), "files", 0
            ),
        ),
    )


def _told(runs: Sequence[_Run]) -> str:
    """How long each took, and the joining of it."""
    return f"{', '.join(f'{run.seconds:.1f}' for run in runs)}; joining {median(run.joining for run in runs):.1f} s"


def _needless(before: _Run, after: _Run) -> int:
    """How many files a change made that it need not have. Raises ValueError if it did not make what it must."""
    fresh = Counter(asset.kind for name, asset in after.assets.items() if before.assets.get(name) != asset)
    if fresh & _WANTED != _WANTED:
        raise ValueError(f"a change to one scene made {dict(fresh)}")
    return sum((fresh - _WANTED).values())


def _finished(stack: stacks.Stack, session: Session, video_id: str, begun: float) -> _Run:
    """Follow a video by its events, as a page does, until it has ended."""
    *_, video = follow(session, video_id)
    seconds = time.perf_counter() - begun
    if video.status is not VideoStatus.COMPLETED or video.error_code:
        raise ValueError(f"the video is {video.status}: {video.error_message}")
    store = AppwriteStore(local.operator(stack))
    at = {event.kind: event.at for event in store.events(video_id)}  # the last of each kind
    joining = _between(at[EventKind.COMBINING], video.updated_at)
    return _Run(video, seconds, joining, {asset.id: asset for asset in store.assets(video_id)})


def _between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()

"""What must hold of finished videos: made once, whole, and a log in order."""

from __future__ import annotations

from collections import Counter

from core.documents import Video
from core.journal import EventKind
from core.ports import Parts
from core.status import SceneStatus, VideoStatus
from tests.simulation.rules import out_of_order

_PAGE = 100


def events_of(parts: Parts, video_id: str) -> list[tuple[str, int, int, str]]:
    """A video's whole log as (kind, scene, attempt, sentence)."""
    found: list[tuple[str, int, int, str]] = []
    while True:
        page = parts.store.events(video_id, limit=_PAGE, offset=len(found))
        found += [(e.kind, e.scene_number, e.attempt, e.sentence) for e in page]
        if len(page) < _PAGE:
            return found


def lost(videos: list[Video]) -> list[str]:
    """Videos that did not complete."""
    return [f"{v.id} is {v.status}: {v.stage} {v.error_message}" for v in videos if v.status != VideoStatus.COMPLETED]


def duplicated(parts: Parts, video: Video) -> list[str]:
    """Scenes and assets that are there twice, or were made twice though their maker had kept them."""
    scenes = parts.store.scenes(video.id)
    assets = parts.store.assets(video.id)
    found = []
    if [s.scene_number for s in scenes] != list(range(1, video.scene_count + 1)):
        found.append(f"{video.id} has the scenes {[s.scene_number for s in scenes]}")
    for what, count in Counter(asset.key for asset in assets).items():
        if count > 1:
            found.append(f"{video.id} keeps {count} assets under {what}")
    made = Counter(
        (scene, sentence) for kind, scene, _, sentence in events_of(parts, video.id) if kind == EventKind.ASSET_MADE
    )
    found += [f"{video.id} scene {scene}: {count} times: {what}" for (scene, what), count in made.items() if count > 1]
    return found


def broken(parts: Parts, video: Video) -> list[str]:
    """Assets whose file is not there whole, and steps that the log tells in an order that cannot be."""
    found = []
    for asset in parts.store.assets(video.id):
        file = parts.files.stat(asset.bucket_id, asset.file_id)
        if file is None or not file.complete or file.bytes != asset.bytes:
            found.append(f"{video.id}: the {asset.kind} {asset.file_id} is not whole")
    found += [
        f"{video.id}: scene {s.scene_number} is {s.status}"
        for s in parts.store.scenes(video.id)
        if s.status is not SceneStatus.RENDERED
    ]
    told = events_of(parts, video.id)
    ends = [i for i, (kind, *_) in enumerate(told) if kind == EventKind.COMPLETED]
    if len(ends) > 1 or any(i != len(told) - 1 for i in ends):
        found.append(f"{video.id}: completed is told at {ends} of {len(told)}")
    return found + out_of_order(video.id, [(kind, attempt) for kind, _, attempt, _ in told])

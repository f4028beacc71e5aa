"""Orders what a service films for all scenes of a call before the first one is made: it films them side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from core import assets, costs
from core.documents import FPS, Scene
from core.engine_ports import FootageBrief, OrderedFootage
from core.errors import ConflictError, ScenewrightError, StoppedError, UnavailableError
from core.orders import ORDER
from core.ports import Parts
from core.scene_assets import Orders, SceneNotes, Studio
from core.scene_inputs import footage_key, inputs_of
from core.status import SceneStatus
from core.text import estimate_seconds

log = logging.getLogger(__name__)

_CONFLICT_TRIES = 8
_TAKEN = (SceneStatus.RENDERING, SceneStatus.RENDERED)


def order_ahead(studio: Studio, numbers: Iterable[int]) -> None:
    """Order the footage of all these scenes that nobody has begun.

    What cannot be ordered now, because of a limit, too, is left to the turn of its scene, where it is told.

    Raises:
        StoppedError: the video is not wanted any more.
    """
    if not any(isinstance(engine, OrderedFootage) for engine in studio.engines.footage.values()):
        return
    rows = studio.parts.store.scenes(studio.video.id)
    for scene in (s for s in rows if s.scene_number in numbers and s.status not in _TAKEN):
        engine = studio.engines.footage.get(scene.engine)
        if not isinstance(engine, OrderedFootage) or scene.parsed_material.shows:
            continue
        studio.reporter.check()
        try:
            _order(studio, scene, engine)
        except StoppedError:
            continue  # somebody else has the scene
        except ScenewrightError as error:
            facts = {"action": "not_ordered_ahead", "video": studio.video.id}
            log.info("scene %d is not ordered ahead: %s", scene.scene_number, error.sentence, extra=facts)
            return


def _order(studio: Studio, scene: Scene, engine: OrderedFootage) -> None:
    parts, meter, number = studio.parts, studio.reporter.meter, scene.scene_number
    inputs = inputs_of(studio.video, scene)
    silence = inputs.voice.lead + inputs.voice.tail
    frames = round((estimate_seconds([scene.narration], inputs.voice.speed) + silence) * FPS)
    brief = FootageBrief(inputs.picture, frames, (), scene.code)
    key = footage_key(engine, brief)
    if assets.find(parts, studio.video.id, key) is not None:
        return
    notes = SceneNotes(scene, key, _writer(parts, scene))
    studio.orders[number] = (engine, notes)
    if not notes.get(ORDER):
        costs.check_asset(
            parts, studio.video.id, meter, 0.0, f"The footage of scene {number}", order=engine.price(brief)
        )
        with meter.span(f"{number}/footage"):
            engine.order(brief, notes)


def _writer(parts: Parts, scene: Scene) -> Callable[[str], None]:
    """Sets the notes of a scene that nobody holds. Raises StoppedError once somebody does: it is theirs."""
    current = scene

    def write(notes: str) -> None:
        nonlocal current
        for _ in range(_CONFLICT_TRIES):
            try:
                current = parts.store.advance(current, notes=notes)
            except ConflictError:
                before = current.notes
                (current,) = (s for s in parts.store.scenes(scene.video_id) if s.id == scene.id)
                if current.status in _TAKEN or current.notes != before:
                    raise StoppedError(f"Scene {scene.scene_number} was taken over.") from None
                continue
            return
        raise UnavailableError(f"Scene {scene.scene_number} changed too often to be written.")

    return write


def take_back(orders: Orders) -> None:
    """Take back what is ordered and not fetched: nobody waits for it any more. Never fails."""
    for engine, notes in orders.values():
        engine.cancel(notes)

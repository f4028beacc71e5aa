"""What a person asks in the very moment in which others work: it is kept, or it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from core import control
from core.dispatch import read_handle
from core.documents import Scene, Video
from core.engine_ports import Shot
from core.errors import ConflictError
from core.status import SceneStatus, VideoStatus
from core.wishes import SceneEdit
from tests.contract.making import TEXTS, Begin, Made, engines_that

NEW = SceneEdit(narration="Two gulls follow the boat.")
T = TypeVar("T", Video, Scene)


class Interrupted:
    """The real documents; in the middle of some writes the test does something first, or right after."""

    def __init__(self, store: Any, before: Callable[[Any, dict[str, Any]], None], after: Callable[[Any], None]) -> None:
        """Nothing is written yet."""
        self._store, self._before, self._after = store, before, after

    def __getattr__(self, name: str) -> Any:
        """Everything else is the store's own."""
        return getattr(self._store, name)

    def advance(self, document: T, **changes: Any) -> T:
        """See ports.Store."""
        self._before(document, changes)
        written: T = self._store.advance(document, **changes)
        self._after(written)
        return written


def nothing(*_: object) -> None:
    """Let the write pass."""


def test_a_scene_that_is_changed_while_the_film_is_joined_is_in_the_film_as_it_was_changed(begin: Begin) -> None:
    made = begin(*TEXTS[:3])

    def changed(_: Shot) -> Exception | None:
        scene = made.scenes[1]
        if scene.narration != NEW.narration:
            with suppress(ConflictError):  # two fades are made at a time
                made.parts.store.advance(scene, status=SceneStatus.PLANNED, narration=NEW.narration)
        return None

    made.run(engines_that(fade=changed)[0])

    assert (made.video.status, made.video.progress) == (VideoStatus.COMPLETED, 100)
    assert [s.status for s in made.scenes] == [SceneStatus.RENDERED] * 3
    voices = [s for s in made.events("asset_made") if "the voice was made" in s]
    assert sorted(s.split(":")[0] for s in voices) == ["Scene 1", "Scene 2", "Scene 2", "Scene 3"]


def test_a_scene_that_is_taken_right_after_a_cancel_is_let_go_before_anything_is_made(begin: Begin) -> None:
    made = begin(*TEXTS[:2])

    def cancelled(document: Video | Scene, changes: dict[str, Any]) -> None:
        if isinstance(document, Scene) and changes.get("status") is SceneStatus.RENDERING:
            control.cancel(made.parts, made.video)

    engines, pictures = engines_that()
    interrupted: Any = Interrupted(made.parts.store, cancelled, nothing)
    Made(replace(made.parts, store=interrupted), made.renderer, made.id).run(engines)

    assert made.video.status is VideoStatus.CANCELLED
    assert [s.status for s in made.scenes] == [SceneStatus.PLANNED] * 2
    assert [s.holder for s in made.scenes] == [""] * 2
    assert (pictures.drawn, made.events("asset_made")) == ([], [])


def test_a_change_that_is_cancelled_before_it_was_begun_touches_no_scene(begin: Begin) -> None:
    made = begin(*TEXTS[:2])
    made.run(engines_that()[0])
    before = made.scenes

    def cancelled(written: Video | Scene) -> None:
        if isinstance(written, Video) and "asked" in read_handle(written):
            control.cancel(made.parts, made.video)

    interrupted: Any = Interrupted(made.parts.store, nothing, cancelled)
    control.edit(replace(made.parts, store=interrupted), made.video, 2, NEW)

    assert made.video.status is VideoStatus.CANCELLED
    assert made.scenes == before
    assert made.renderer.jobs == []

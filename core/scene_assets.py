"""Makes the voice, the picture and the clip of one scene: what is kept is reused, what fails is stood in for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from core import assets, costs
from core.documents import Asset, Scene, Video
from core.errors import EngineError, ScenewrightError
from core.identity import digest
from core.journal import EventKind, note
from core.ladder import (
    TRIES,
    CannotMakeError,
    Ladder,
    Rung,
    StandIn,
    Step,
    descend,
    may_stand_in,
    said_of,
    simpler_prompt,
    simpler_text,
    with_tries,
)
from core.ports import Engines, Parts, PictureBrief, PictureEngine, Shot, Voice, VoiceBrief, VoiceEngine
from core.progress import Reporter
from core.scene_inputs import caption_text, inputs_of, picture_key, picture_name, span_of, voice_key, voice_of
from core.times import took

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Studio:
    """What a running call makes the scenes of one video with."""

    parts: Parts
    engines: Engines
    video: Video
    folder: Path  # scratch
    reporter: Reporter

    @property
    def last_attempt(self) -> bool:
        """Whether nobody will hand the video out again if this attempt fails."""
        return self.video.tries >= self.parts.settings.tries_max


class SceneAssets:
    """The assets of the scene in hand. `voice` and `picture` may be called side by side."""

    def __init__(self, studio: Studio, scene: Scene) -> None:
        self._studio = studio
        self._parts, self._engines = studio.parts, studio.engines
        self._video, self._number = studio.video, scene.scene_number
        self._inputs = inputs_of(studio.video, scene)
        self._ladder = Ladder(scene, self._write_step)

    # ---- what is made

    def voice(self) -> tuple[Voice, Asset]:
        """The narration; a simpler text, then silence, when it cannot be said."""
        brief, engine = self._inputs.voice, self._engines.voice
        simpler = simpler_text(brief.text)
        rungs: list[Rung[tuple[Voice, Asset]]] = [(None, lambda: self._spoken(engine, brief))]
        if simpler and simpler != brief.text:
            rungs.append((StandIn.SIMPLER_TEXT, lambda: self._spoken(engine, replace(brief, text=simpler))))
        rungs.append((StandIn.SILENCE, lambda: self._spoken(self._engines.silence, brief)))
        return self._descend("voice", rungs)

    def picture(self) -> Asset:
        """The picture; one of a simpler prompt, then a title card, when it cannot be drawn."""
        scene, brief = self._inputs.scene, self._inputs.picture
        engine = self._engines.pictures.get(scene.engine)
        simpler = simpler_prompt(brief.title, brief.prompt)
        rungs: list[Rung[Asset]] = [(None, lambda: self._drawn(engine, brief))]
        if engine and simpler and simpler != brief.prompt:
            rungs.append((StandIn.SIMPLER_PROMPT, lambda: self._drawn(engine, replace(brief, prompt=simpler))))
        rungs.append((StandIn.TITLE_CARD, self._title_card))
        return self._descend("picture", rungs)

    def clip(self, voice: Voice, picture: Asset) -> tuple[Asset, Asset]:
        """(picture, clip): the picture filmed, or a title card when it cannot be."""
        rungs: list[Rung[tuple[Asset, Asset]]] = [(None, lambda: (picture, self._filmed(voice, picture)))]
        if self._ladder.at("picture") is not StandIn.TITLE_CARD:
            rungs.append((StandIn.TITLE_CARD, lambda: self._card_filmed(voice)))
        return self._descend("clip", rungs)

    # ---- one asset of one engine, found or made

    def _spoken(self, engine: VoiceEngine, brief: VoiceBrief) -> tuple[Voice, Asset]:
        key = voice_key(engine, brief)
        path = self._studio.folder / f"{key}.wav"
        asset = assets.find(self._parts, self._video.id, key)
        if asset is None:
            self._afford("voice")
            begun = time.monotonic()
            voice = self._by_engine("voice", lambda: engine.speak(brief, path))
            facts = {
                "frames": voice.frames,
                "words": [[w.text, w.start, w.end] for w in voice.words],
                "silent": engine is self._engines.silence,
            }
            asset = self._keep("voice", key, path, {**facts, **took(engine.id, begun)})
        return voice_of(asset, path), asset

    def _drawn(self, engine: PictureEngine | None, brief: PictureBrief) -> Asset:
        if engine is None:
            sentence = f"This renderer has no engine {self._inputs.scene.engine!r}."
            raise CannotMakeError(EngineError(sentence, code="no_such_engine"))
        key = picture_key(engine, brief)
        asset = assets.find(self._parts, self._video.id, key)
        if asset is not None:
            return asset
        self._afford("picture")
        reporter, path, begun = self._studio.reporter, self._studio.folder / f"{key}{engine.suffix}", time.monotonic()

        def report(share: float) -> None:
            reporter.check()
            if engine is not self._engines.title_card:  # it may come after the clip was begun
                reporter.tell(reporter.clip_from * share)

        facts = self._by_engine("picture", lambda: engine.draw(brief, path, report))
        # a clip or a fade made of it later must know how it was drawn
        made = {"suffix": engine.suffix, "prompt": brief.prompt}
        return self._keep("picture", key, path, {**facts, **made, **took(engine.id, begun)})

    def _title_card(self) -> Asset:
        return self._drawn(self._engines.title_card, self._inputs.picture)

    def _card_filmed(self, voice: Voice) -> tuple[Asset, Asset]:
        card = self._title_card()
        return card, self._filmed(voice, card)

    def _filmed(self, voice: Voice, picture: Asset) -> Asset:
        engine, reporter = self._engines.clip, self._studio.reporter
        span = span_of(self._number, self._video.scene_count, voice.frames)
        text = caption_text(self._inputs, voice.words, span)
        key = digest(
            "clip", engine.id, engine.version, picture.key, picture.sha256, voice.frames, [span.start, span.stop], text
        )
        asset = assets.find(self._parts, self._video.id, key)
        if asset is not None:
            return asset
        self._afford("clip")
        shot = shot_of(self._inputs.picture, picture, self._fetched(picture), voice.frames)
        path = self._studio.folder / f"{key}.mp4"
        begin, begun = reporter.clip_from, time.monotonic()

        def report(share: float) -> None:
            reporter.check()
            reporter.tell(begin + (1 - begin) * share)

        facts = self._by_engine("clip", lambda: engine.film(shot, span, text, path, report))
        look = self._by_engine("clip", lambda: self._engines.film.look(path, shot.brief.canvas))
        seen = {"look": asdict(look), "frames": len(span)}
        asset = self._keep("clip", key, path, {**facts, **seen, **took(engine.id, begun)})
        path.unlink()  # a long video must not fill the scratch folder
        return asset

    def _fetched(self, picture: Asset) -> Path:
        return assets.fetch(self._parts, picture, self._studio.folder / picture_name(picture))

    # ---- how

    def _afford(self, what: str) -> None:
        """Raise LimitError when making it is expected to go over a limit."""
        seconds = self._studio.reporter.pace.asset(what, self._inputs.scene)
        said = f"The {what} of scene {self._number}"
        costs.check_asset(self._parts, self._video.id, self._studio.reporter.meter, seconds, said)

    def _by_engine(self, what: str, make: Callable[[], T]) -> T:
        """Let an engine work, again while its errors may pass. Raises CannotMakeError, ScenewrightError."""
        studio = self._studio

        def again(number: int, error: ScenewrightError) -> None:
            studio.reporter.check()
            said = f"retrying the {what} ({number} of {TRIES})"
            studio.reporter.tell(
                studio.reporter.clip_from if what == "clip" else 0.0,
                f"Scene {self._number} of {self._video.scene_count}: {said}",
            )
            sentence = f"Scene {self._number}: {said}: {error.sentence}"
            note(self._parts, self._video, EventKind.RETRYING, sentence, scene=self._number)

        try:
            with studio.reporter.meter.span(f"{self._number}/{what}"):
                return with_tries(make, self._parts.clock, self._parts.settings.backoff_seconds, again)
        except ScenewrightError as error:
            if may_stand_in(error, last_attempt=studio.last_attempt):
                facts = {"action": "cannot_make", "video": self._video.id, "attempt": self._video.attempt}
                log.warning("%s of scene %d: %s", what, self._number, error.sentence, exc_info=error, extra=facts)
                raise CannotMakeError(error) from error
            raise

    def _keep(self, kind: str, key: str, path: Path, facts: dict[str, object]) -> Asset:
        self._studio.reporter.check()  # whoever is not wanted any more writes nothing
        asset = assets.keep(self._parts, self._video, kind, key, path, facts)
        sentence = f"Scene {self._number}: the {kind} was made by {facts['engine']}."
        seconds, usd = float(str(facts["seconds"])), self._studio.reporter.meter.usd(f"{self._number}/{kind}")
        note(
            self._parts, self._video, EventKind.ASSET_MADE, sentence, scene=self._number, seconds=seconds, cost_usd=usd
        )
        return asset

    def _descend(self, what: str, rungs: list[Rung[T]]) -> T:
        return descend(rungs, self._ladder.at(what), lambda used, error: self._ladder.step(what, used, error))

    def _write_step(self, column: str, step: Step) -> None:
        self._studio.reporter.advance_scene(substitution=column)
        said = said_of(self._number, step)
        note(self._parts, self._video, EventKind.SUBSTITUTED, said[0].upper() + said[1:], scene=self._number)


def shot_of(brief: PictureBrief, picture: Asset, path: Path, frames: int) -> Shot:
    """A scene as the camera sees it, with the prompt its picture was really drawn from."""
    return Shot(brief=replace(brief, prompt=picture.facts.get("prompt", brief.prompt)), picture=path, frames=frames)

"""Makes the voice, the picture and the clip of one scene: what is kept is reused, what fails is stood in for."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from core import assets, costs
from core.documents import Asset, Scene, Video
from core.engine_ports import (
    Brought,
    CodedFootage,
    Engines,
    FootageBrief,
    FootageEngine,
    Notes,
    OrderedFootage,
    PictureBrief,
    PictureEngine,
    Shot,
    Takers,
    Voice,
    VoiceBrief,
    VoiceEngine,
)
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
from core.material import brought
from core.orders import ORDER, account_of
from core.ports import Parts
from core.progress import Reporter
from core.scene_code import Programs
from core.scene_inputs import (
    caption_text,
    file_name,
    footage_key,
    inputs_of,
    picture_key,
    span_of,
    voice_key,
    voice_of,
)
from core.times import took

log = logging.getLogger(__name__)

T = TypeVar("T")
Orders = dict[int, tuple[OrderedFootage, Notes]]  # number of the scene -> with whom, and where it is noted


@dataclass(frozen=True, slots=True)
class Studio:
    """What a running call makes the scenes of one video with."""

    parts: Parts
    engines: Engines
    video: Video
    folder: Path  # scratch
    reporter: Reporter
    orders: Orders  # that are open

    @property
    def last_attempt(self) -> bool:
        """Whether nobody will hand the video out again if this attempt fails."""
        return self.video.tries >= self.parts.settings.tries_max

    def programs(self, number: int, engine: CodedFootage) -> Programs:
        """The programs of a scene."""
        return Programs(self.parts, self.video, self.reporter.meter, self.folder, number, engine)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the camera gets of a scene: a picture, and the footage it is a frame of where the scene moves by itself."""

    picture: Asset
    footage: Asset | None = None
    program: Asset | None = None  # that made the footage


class SceneNotes:
    """Implements engine_ports.Notes in the scene's own row, each footage under its key."""

    def __init__(self, scene: Scene, key: str, write: Callable[[str], object]) -> None:
        """write: sets the row's column."""
        self._write, self._key = write, key[:12]
        self._all: dict[str, dict[str, str]] = json.loads(scene.notes or "{}")

    def get(self, name: str) -> str:
        """See engine_ports.Notes."""
        return self._all.get(self._key, {}).get(name, "")

    def put(self, name: str, value: str) -> None:
        """See engine_ports.Notes. Those of other footage of this scene are dropped: nobody waits for it any more."""
        self._all = {self._key: {**self._all.get(self._key, {}), name: value}}
        self._write(json.dumps(self._all, ensure_ascii=False))


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
        """The sound that was brought, or the narration; a simpler text, then silence, when it cannot be said."""
        brief, engine = self._inputs.voice, self._engines.voice
        own, simpler = self._own("audio"), simpler_text(brief.text)
        rungs: list[Rung[tuple[Voice, Asset]]] = []
        if own is not None:
            rungs.append((None, lambda: self._spoken(self._takers.voice(own), brief)))
        if brief.text or own is None:
            rungs.append((StandIn.SPOKEN if own else None, lambda: self._spoken(engine, brief)))
        if simpler and simpler != brief.text:
            rungs.append((StandIn.SIMPLER_TEXT, lambda: self._spoken(engine, replace(brief, text=simpler))))
        rungs.append((StandIn.SILENCE, lambda: self._spoken(self._engines.silence, brief)))
        return self._descend("voice", rungs)

    def picture(self, voice: Callable[[], Voice]) -> Drawn:
        """The picture, or the footage where the scene moves by itself; of a simpler prompt, or a title card, else.

        `voice` waits for the narration: only footage needs its length.
        """
        scene, brief = self._inputs.scene, self._inputs.picture
        simpler = simpler_prompt(brief.title, brief.prompt)
        rungs: list[Rung[Drawn]] = [(None, lambda: self._shown(brief, voice))]
        # a program was mended already: another one is no simpler
        coded = isinstance(self._engines.footage.get(scene.engine), CodedFootage)
        makes = self._knows_engine and not (coded or scene.parsed_material.shows)
        if makes and simpler and simpler != brief.prompt:
            rungs.append((StandIn.SIMPLER_PROMPT, lambda: self._shown(replace(brief, prompt=simpler), voice)))
        rungs.append((StandIn.TITLE_CARD, self._title_card))
        return self._descend("picture", rungs)

    def clip(self, voice: Voice, drawn: Drawn) -> tuple[Drawn, Asset]:
        """(what it shows, clip): the picture filmed, or a title card when it cannot be."""
        rungs: list[Rung[tuple[Drawn, Asset]]] = [(None, lambda: (drawn, self._filmed(voice, drawn)))]
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

    def _own(self, kind: str) -> Brought | None:
        return brought(self._parts, self._video, self._inputs.scene, kind)

    @property
    def _takers(self) -> Takers:
        if self._engines.takers is None:
            raise CannotMakeError(EngineError("This renderer takes no files of people.", code="no_such_engine"))
        return self._engines.takers

    @property
    def _knows_engine(self) -> bool:
        name = self._inputs.scene.engine
        return name in self._engines.pictures or name in self._engines.footage

    def _shown(self, brief: PictureBrief, voice: Callable[[], Voice]) -> Drawn:
        """What was brought for the scene, or what its engine makes."""
        clip, picture = self._own("clip"), self._own("picture")
        if clip is not None:
            return self._shot(self._takers.clip(clip), brief, voice())
        if picture is not None:
            return Drawn(self._drawn(self._takers.picture(picture), brief))
        name = self._inputs.scene.engine
        if name in self._engines.footage:
            return self._shot(self._engines.footage[name], brief, voice())
        if name in self._engines.pictures:
            return Drawn(self._drawn(self._engines.pictures[name], brief))
        raise CannotMakeError(EngineError(f"This renderer has no engine {name!r}.", code="no_such_engine"))

    def _shot(self, engine: FootageEngine, brief: PictureBrief, voice: Voice) -> Drawn:
        """The footage as its engine made it, then at the length of the narration, and a frame of that."""
        wanted = FootageBrief(brief, voice.frames, voice.words, self._inputs.scene.code)
        raw = self._raw(engine, wanted)
        program = self._programs(engine).known(wanted) if isinstance(engine, CodedFootage) else None
        film, canvas = self._engines.film, brief.canvas
        key = digest("fitted", film.id, film.version, raw.key, raw.sha256, asdict(canvas), voice.frames)
        path = self._studio.folder / f"{key}.mp4"
        fitted = assets.find(self._parts, self._video.id, key)
        if fitted is None:
            begun, source = time.monotonic(), self._fetched(raw)
            facts = self._by_engine("footage", lambda: film.fit(source, canvas, voice.frames, path, holds=engine.holds))
            fitted = self._keep("fitted", key, path, {**facts, **took(film.id, begun)})
        poster_key = digest("poster", fitted.key, fitted.sha256)
        poster = assets.find(self._parts, self._video.id, poster_key)
        if poster is None:
            begun, image = time.monotonic(), self._studio.folder / f"{poster_key}.jpg"
            assets.fetch(self._parts, fitted, path)
            self._by_engine("footage", lambda: film.still(path, voice.frames // 2, image))
            made = {"suffix": ".jpg", "prompt": brief.prompt, **took(film.id, begun)}
            poster = self._keep("picture", poster_key, image, made)
        return Drawn(poster, fitted, program)

    def _raw(self, engine: FootageEngine, wanted: FootageBrief) -> Asset:
        key, reporter = footage_key(engine, wanted), self._studio.reporter
        asset = assets.find(self._parts, self._video.id, key)
        if asset is None:
            notes = SceneNotes(self._inputs.scene, key, lambda text: reporter.advance_scene(notes=text))
            if isinstance(engine, OrderedFootage):
                self._afford("footage", 0.0 if notes.get(ORDER) else engine.price(wanted))
                self._studio.orders[self._number] = (engine, notes)
            else:
                self._afford("footage")
            path, begun = self._studio.folder / f"{key}.mp4", time.monotonic()

            def shoot() -> Mapping[str, Any]:
                if isinstance(engine, CodedFootage):
                    return self._played(engine, wanted, path, notes)
                return engine.shoot(wanted, path, notes, self._report_picture)

            try:
                facts = self._by_engine("footage", shoot)
            except CannotMakeError:
                if isinstance(engine, OrderedFootage) and notes.get(ORDER):
                    engine.cancel(notes)  # something else stands in: nobody comes back for it
                raise
            asset = self._keep("footage", key, path, {**facts, **took(engine.id, begun)})
        self._pay(asset)
        return asset

    def _played(self, engine: CodedFootage, wanted: FootageBrief, path: Path, notes: Notes) -> Mapping[str, Any]:
        """Run the scene's program; one that had to be mended takes its place."""
        programs, reporter = self._programs(engine), self._studio.reporter
        program = programs.kept(wanted)
        given = programs.text(program)
        url = assets.url_of(self._parts, program)
        try:
            facts = dict(engine.shoot(replace(wanted, program=given), path, notes, self._report_picture))
        finally:
            programs.pay()
        used = str(facts.pop("program"))
        if used != given:
            url = assets.url_of(self._parts, programs.mended(wanted, used))
        reporter.advance_scene(code_url=url)
        return facts

    def _programs(self, engine: CodedFootage) -> Programs:
        return self._studio.programs(self._number, engine)

    def _pay(self, footage: Asset) -> None:
        """Count what a footage took that was ordered: at once, and also if whoever fetched it came not so far."""
        self._studio.orders.pop(self._number, None)
        order, usd = str(footage.facts.get("order", "")), float(footage.facts.get("usd", 0.0))
        if usd and account_of(order) not in costs.accounts_of(self._video):
            machine, meter = str(footage.facts.get("model", "")), self._studio.reporter.meter
            meter.charge(order, costs.Line(self._number, "footage", machine, 0.0, usd))
            meter.settle(self._parts, self._video.id)

    def _report_picture(self, share: float) -> None:
        reporter = self._studio.reporter
        reporter.check()
        reporter.tell(reporter.clip_from * share)

    def _drawn(self, engine: PictureEngine, brief: PictureBrief) -> Asset:
        key = picture_key(engine, brief)
        asset = assets.find(self._parts, self._video.id, key)
        if asset is not None:
            return asset
        self._afford("picture")
        path, begun = self._studio.folder / f"{key}{engine.suffix}", time.monotonic()

        def report(share: float) -> None:
            if engine is self._engines.title_card:  # it may come after the clip was begun
                self._studio.reporter.check()
            else:
                self._report_picture(share)

        facts = self._by_engine("picture", lambda: engine.draw(brief, path, report))
        # a clip or a fade made of it later must know how it was drawn
        made = {"suffix": engine.suffix, "prompt": brief.prompt}
        return self._keep("picture", key, path, {**facts, **made, **took(engine.id, begun)})

    def _title_card(self) -> Drawn:
        return Drawn(self._drawn(self._engines.title_card, self._inputs.picture))

    def _card_filmed(self, voice: Voice) -> tuple[Drawn, Asset]:
        card = self._title_card()
        return card, self._filmed(voice, card)

    def _filmed(self, voice: Voice, drawn: Drawn) -> Asset:
        engine, reporter = self._engines.clip, self._studio.reporter
        span = span_of(self._number, self._video.scene_count, voice.frames)
        text = caption_text(self._inputs, voice.words, span)
        shown = drawn.footage or drawn.picture
        key = digest(
            "clip", engine.id, engine.version, shown.key, shown.sha256, voice.frames, [span.start, span.stop], text
        )
        asset = assets.find(self._parts, self._video.id, key)
        if asset is not None:
            return asset
        self._afford("clip")
        footage = self._fetched(drawn.footage) if drawn.footage else None
        shot = shot_of(self._inputs.picture, drawn.picture, self._fetched(drawn.picture), voice.frames, footage)
        path = self._studio.folder / f"{key}.mp4"
        begin, begun = reporter.clip_from, time.monotonic()

        def report(share: float) -> None:
            reporter.check()
            reporter.tell(begin + (1 - begin) * share)

        facts = self._by_engine("clip", lambda: engine.film(shot, span, text, path, report))
        look = self._by_engine("clip", lambda: self._engines.film.look(path, shot.brief.canvas, text))
        blemish = "" if drawn.footage or self._inputs.scene.parsed_material.shows else self._engines.film.blemish(look)
        if blemish:  # seen here it costs a scene, in the film it would cost the film
            raise CannotMakeError(EngineError(blemish, code="bad_picture"))
        seen = {"look": asdict(look), "frames": len(span)}
        asset = self._keep("clip", key, path, {**facts, **seen, **took(engine.id, begun)})
        path.unlink()  # a long video must not fill the scratch folder
        return asset

    def _fetched(self, asset: Asset) -> Path:
        return assets.fetch(self._parts, asset, self._studio.folder / file_name(asset))

    # ---- how

    def _afford(self, what: str, order: float = 0.0) -> None:
        """Raise LimitError when making it, or an order of so many dollars, is expected to go over a limit."""
        seconds = self._studio.reporter.pace.asset(what, self._inputs.scene)
        said = f"The {what} of scene {self._number}"
        costs.check_asset(self._parts, self._video.id, self._studio.reporter.meter, seconds, said, order)

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


def shot_of(brief: PictureBrief, picture: Asset, path: Path, frames: int, footage: Path | None = None) -> Shot:
    """A scene as the camera sees it, with the prompt its picture was really drawn from."""
    drawn = replace(brief, prompt=picture.facts.get("prompt", brief.prompt))
    return Shot(brief=drawn, picture=path, frames=frames, footage=footage)

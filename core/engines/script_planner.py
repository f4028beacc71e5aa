"""Storyboards by a language model: asked in parts, checked, repaired once, else made from the words alone."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from core.documents import AUTO, SceneSpec, Spent, Storyboard
from core.engine_ports import StoryboardBrief
from core.engines import script_answers as answers
from core.engines import script_prompts as prompts
from core.engines.script_answers import Character, Pictured, Pictures, Story, Told, UnusableError
from core.engines.script_model import LanguageModel, ModelError, Question, Reply, Trouble
from core.engines.script_slots import Slots
from core.engines.storyboard_text import TextStoryboard, default_storyboard, scene_of, scene_title
from core.errors import InvalidInputError, WaitError
from core.ports import Clock
from core.prices import tokens_usd
from core.text import TOPIC_SCENE_SECONDS, TOPIC_SECONDS, Piece, parts_of, speech_rate, split

log = logging.getLogger(__name__)

_CALL_SHARE = 0.6  # of the time that is left, for one call: a silent one leaves room for another
_LEAST_SECONDS = 2.0  # a call is not begun with less
_TRIES = 4  # calls for one answer that did not come
_BACKOFF_SECONDS = 1.0  # before the first repetition; doubled each time
_SHORT_WAIT_SECONDS = 15.0  # for a slot, once planning has begun
_LONG_WAIT = timedelta(minutes=5)  # a script rather goes without the model
_USUAL_TOKENS = (2_000, 3_000)  # in and out, of one storyboard
_GOOD_FOR = {
    "cards": "illustrated title cards, drawn from the keywords",
    "sdxl": "a painted or photographic picture of people, places and things",
    "manim": "an animated formula, diagram, graph, proof or algorithm",
    "luma": "a filmed shot in which somebody or something moves",
}
A = TypeVar("A", Story, Pictures)


class _GivenUp(Exception):
    """The model is of no help here; the text says why."""

    def __init__(self, sentence: str, trouble: Trouble | None = None) -> None:
        super().__init__(sentence)
        self.trouble = trouble


@dataclass(slots=True)
class _Work:
    """One storyboard in the making."""

    ends: float  # time.monotonic
    paid: Callable[[Spent], None]
    calls: int = 0
    used: list[Reply] = field(default_factory=list)
    seconds: float = 0.0  # in which the model was waited for

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()


class ScriptPlanner:
    """Implements engine_ports.StoryboardEngine with a language model."""

    def __init__(
        self,
        model: LanguageModel,
        slots: Slots,
        clock: Clock,
        *,
        seconds: float,
        offers: Sequence[str],
        scenes_max: int,
    ) -> None:
        """Nothing is asked yet.

        Args:
            model: who is asked.
            slots: how many calls there are for all.
            clock: for waiting.
            seconds: for one storyboard, waiting included.
            offers: makers of pictures of this deployment, the default first.
            scenes_max: of one film.
        """
        self._model, self._slots, self._clock = model, slots, clock
        self._seconds, self._offers, self._scenes_max = seconds, tuple(offers), scenes_max
        self._topic, self._pictures = prompts.load("topic"), prompts.load("pictures")
        self.id = model.id
        self.usd = tokens_usd(model.name, *_USUAL_TOKENS) or 0.0
        self.version = f"1/{model.name}/{self._topic.name}/{self._pictures.name}/{TextStoryboard.version}"

    def plan(self, brief: StoryboardBrief, paid: Callable[[Spent], None] = lambda _: None, /) -> Storyboard:
        """A topic is told by the model; of a script it finds pictures and titles, the words stay as they are.

        Raises:
            WaitError: no call is free now.
            InvalidInputError: the model refuses this topic, or the deployment's key: codes planner_blocked and
                planner_misconfigured. A script needs no model and is never refused.
        """
        work = _Work(time.monotonic() + self._seconds, paid)
        made = self._with_pictures(brief, work) if brief.script.strip() else self._told(brief, work)
        for warning in made.warnings:
            log.warning("%s", warning, extra={"action": "planned_without_model"})
        return replace(made, spent=self._spent(work)) if work.calls else made

    # ---- a topic

    def _told(self, brief: StoryboardBrief, work: _Work) -> Storyboard:
        told: list[SceneSpec] = []
        story: Story | None = None
        warnings: tuple[str, ...] = ()
        shares = self._shares(brief)
        for part, (text, count, seconds) in enumerate(shares, start=1):
            wanted = self._wanted(brief, part, len(shares), told, story) | _length(brief, count, seconds)
            user = {
                "topic": brief.topic,
                "description": text,
                "title": brief.options.title,
                "audience": brief.options.audience,
            }
            strict = _Strict(count, seconds, brief)
            try:
                got = self._asked(work, self._topic, Story, wanted, user, strict)
            except _GivenUp as error:
                if not told:
                    return self._without_model(brief, error)
                warnings = (f"The film ends after {len(told)} scenes, because the rest could not be planned: {error}",)
                break
            story = got if story is None else story.model_copy(update={"characters": _merged(story, got)})
            told += [self._scene(len(told) + i, s, story, brief) for i, s in enumerate(got.scenes, start=1)]
            told = told[: self._scenes_max]
        assert story is not None  # there is at least one part
        title = brief.options.title or answers.title_of(story.title) or brief.topic
        return Storyboard(title=title, scenes=tuple(told), strategy="model", warnings=warnings)

    def _shares(self, brief: StoryboardBrief) -> list[tuple[str, int, float]]:
        """(text, scenes, seconds) of each question: a long text is told in parts."""
        seconds = brief.options.target_seconds or TOPIC_SECONDS
        count = max(1, min(round(seconds / TOPIC_SCENE_SECONDS), self._scenes_max))
        texts = parts_of(brief.description, self._topic.max_chars)[:count] or [""]
        parts = max(len(texts), math.ceil(count / self._topic.max_scenes))
        counts = [count // parts + (i < count % parts) for i in range(parts)]
        return [(texts[i * len(texts) // parts], c, seconds * c / count) for i, c in enumerate(counts)]

    def _without_model(self, brief: StoryboardBrief, error: _GivenUp) -> Storyboard:
        if error.trouble in (Trouble.BLOCKED, Trouble.MISCONFIGURED):
            raise InvalidInputError(
                f"{error} Give a script, or another topic."
                if error.trouble is Trouble.BLOCKED
                else f"{error} Until then, give a script.",
                code=f"planner_{error.trouble}",
                field="topic",
            )
        said = f"The topic was told in five plain scenes, because the language model was of no help: {error}"
        return replace(default_storyboard(brief), warnings=(said,))

    def _scene(self, number: int, told: Told, story: Story, brief: StoryboardBrief) -> SceneSpec:
        narration = answers.line(told.narration, answers.NARRATION_CHARS)
        own = scene_title(Piece("", narration), brief.options.language)
        engine = self._engine(told.engine, brief)
        return SceneSpec(
            number=number,
            title=answers.title_of(told.title) or own,
            narration=narration,
            visual_prompt=self._visual(told, story, engine),
            engine=engine,
        )

    # ---- a script

    def _with_pictures(self, brief: StoryboardBrief, work: _Work) -> Storyboard:
        plain = TextStoryboard().plan(brief)
        _, pieces = split(brief.script)
        if not pieces:
            return plain
        scenes, found = list(plain.scenes), None
        warnings: tuple[str, ...] = ()
        for part, numbers in enumerate(groups := self._groups(pieces), start=1):
            wanted = self._wanted(brief, part, len(groups), [], found)
            told = [{"number": n, "narration": pieces[n - 1].narration} for n in numbers]
            user = {"topic": brief.topic, "scenes": told}
            try:
                got = self._asked(work, self._pictures, Pictures, wanted, user, _Covering(numbers))
            except _GivenUp as error:
                whole = "All scenes" if part == 1 else f"The scenes from {numbers[0]} on"
                warnings = (f"{whole} were planned from their own words, without the language model: {error}",)
                break
            except WaitError as error:
                if error.again_at - self._clock.now() < _LONG_WAIT:
                    raise
                warnings = (f"All scenes were planned from their own words: {error.sentence}",)
                break
            found = got if found is None else found.model_copy(update={"characters": _merged(found, got)})
            for scene in got.scenes:
                if scene.number in numbers:
                    scenes[scene.number - 1] = self._pictured(pieces[scene.number - 1], scene, found, brief)
        title = brief.options.title or brief.topic or (answers.title_of(found.title) if found else "") or plain.title
        return replace(plain, title=title, scenes=tuple(scenes), warnings=warnings)

    def _groups(self, pieces: Sequence[Piece]) -> list[range]:
        """Numbers of the scenes of each question: as many as its limits allow."""
        groups: list[range] = []
        first, chars = 1, 0
        for number, piece in enumerate(pieces, start=1):
            full = (
                number - first >= self._pictures.max_scenes or chars + len(piece.narration) > self._pictures.max_chars
            )
            if number > first and full:
                groups.append(range(first, number))
                first, chars = number, 0
            chars += len(piece.narration)
        return [*groups, range(first, len(pieces) + 1)]

    def _pictured(self, piece: Piece, seen: Pictured, found: Pictures, brief: StoryboardBrief) -> SceneSpec:
        plain = scene_of(seen.number, piece, brief.options)
        engine = self._engine(seen.engine, brief)
        return replace(
            plain,
            title=piece.heading or answers.title_of(seen.title) or plain.title,
            visual_prompt=self._visual(seen, found, engine),
            engine=engine,
        )

    # ---- of both

    def _wanted(
        self, brief: StoryboardBrief, part: int, parts: int, told: Sequence[SceneSpec], known: Story | Pictures | None
    ) -> dict[str, Any]:
        """What a question says of the film."""
        options = brief.options
        offered = self._offers if options.engine == AUTO else (options.engine,)
        return {
            "language": options.language,
            "part": f"{part} of {parts}",
            "told_before": [scene.title for scene in told],
            "style": known.style if known else "",
            "characters": [c.model_dump() for c in known.characters] if known else [],
            "engines": [{"name": name, "good_for": _GOOD_FOR.get(name, "")} for name in offered],
        }

    def _engine(self, suggested: str, brief: StoryboardBrief) -> str:
        if brief.options.engine != AUTO:
            return brief.options.engine
        return suggested if suggested in self._offers else AUTO

    def _visual(self, scene: Told | Pictured, known: Story | Pictures, engine: str) -> str:
        drawn_by = self._offers[0] if engine == AUTO else engine
        return answers.visual_prompt(scene, known.characters, known.style, cards=drawn_by == "cards")

    # ---- asking

    def _asked(
        self,
        work: _Work,
        prompt: prompts.Prompt,
        kind: type[A],
        wanted: Mapping[str, Any],
        user: Mapping[str, Any],
        check: Callable[[A, bool], None],
    ) -> A:
        """An answer that can be used; one that cannot is asked for once more, with the complaint.

        Raises:
            _GivenUp: there is none.
            WaitError: no call is free, and none was made yet.
        """
        complaint = ""
        for first in (True, False):
            extra = {"complaint": complaint} if complaint else {}
            text = prompts.question({**wanted, **extra}, user)
            try:
                reply = self._reply(work, Question(prompt.text, text, kind, prompt.max_output_tokens))
                answer = answers.parse(kind, reply.text)
                check(answer, first)
            except UnusableError as error:
                complaint = str(error)
                log.info("%s", complaint, extra={"action": "answer_unusable"})
                continue
            return answer
        raise _GivenUp(complaint)

    def _reply(self, work: _Work, question: Question) -> Reply:
        """What the model says, asked again while that may help and there is time. Raises _GivenUp, UnusableError."""
        for number in range(1, _TRIES + 1):
            self._take(work)
            seconds = work.left if work.left < 2 * _LEAST_SECONDS else work.left * _CALL_SHARE
            if seconds < _LEAST_SECONDS:
                raise _GivenUp("There was no time left for another call.")
            begun = time.monotonic()
            work.calls += 1
            try:
                reply = self._model.ask(question, seconds)
            except ModelError as error:
                work.seconds += time.monotonic() - begun
                if error.used is not None:
                    self._pay(work, error.used)
                if error.trouble is Trouble.CUT:
                    raise UnusableError(error.sentence) from error
                self._wait_after(error, number, work)
                continue
            work.seconds += time.monotonic() - begun
            self._pay(work, reply)
            return reply
        raise AssertionError("the last try raises")

    def _wait_after(self, error: ModelError, number: int, work: _Work) -> None:
        """Wait before the next try. Raises _GivenUp when there is to be none."""
        wait = error.again_after if error.again_after is not None else _BACKOFF_SECONDS * 2 ** (number - 1)
        last = 2 if error.trouble is Trouble.BLOCKED else _TRIES
        log.info("%s", error.sentence, extra={"action": "model_trouble"})
        if error.trouble is Trouble.MISCONFIGURED or number >= last or wait > work.left - _LEAST_SECONDS:
            raise _GivenUp(error.sentence, error.trouble) from error
        self._clock.sleep(wait)

    def _take(self, work: _Work) -> None:
        """Take a slot; one that is soon there is waited for when work has begun."""
        while True:
            try:
                return self._slots.take()
            except WaitError as error:
                wait = (error.again_at - self._clock.now()).total_seconds()
                if not work.calls:
                    raise
                if wait > min(_SHORT_WAIT_SECONDS, work.left - _LEAST_SECONDS):
                    raise _GivenUp(error.sentence) from error
                self._clock.sleep(max(wait, 0.1))

    def _pay(self, work: _Work, reply: Reply) -> None:
        work.used.append(reply)
        work.paid(self._spent(work))

    def _spent(self, work: _Work) -> Spent:
        into, out = sum(r.input_tokens for r in work.used), sum(r.output_tokens for r in work.used)
        usd = tokens_usd(self._model.name, into, out)
        return Spent(self._model.name, work.calls, into, out, round(work.seconds, 3), usd)


@dataclass(frozen=True, slots=True)
class _Strict:
    """How strictly a part of a story is looked at: its length can be wrong once."""

    count: int
    seconds: float
    brief: StoryboardBrief

    def __call__(self, story: Story, first: bool) -> None:
        options = self.brief.options
        answers.check_story(story, self.count, self.seconds, options.language, options.speed, length=first)


@dataclass(frozen=True, slots=True)
class _Covering:
    """Every scene of a question must have its picture."""

    numbers: range

    def __call__(self, pictures: Pictures, _first: bool) -> None:
        answers.check_pictures(pictures, self.numbers)


def _length(brief: StoryboardBrief, count: int, seconds: float) -> dict[str, Any]:
    """How many scenes, and how much the voice can say in one, at its speed."""
    unit, rate = speech_rate(brief.options.language)
    return {
        "scenes": count,
        "length_per_scene": max(4, round(rate * brief.options.speed * seconds / 60 / count)),
        "unit": unit,
    }


def _merged(known: Story | Pictures, more: Story | Pictures) -> list[Character]:
    """Characters of all parts; whoever is known is not described anew."""
    known_names = {c.name.strip().lower() for c in known.characters}
    return [*known.characters, *(c for c in more.characters if c.name.strip().lower() not in known_names)]

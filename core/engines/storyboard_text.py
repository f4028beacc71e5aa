"""The storyboard without a model: the script's own words, split into scenes with titles and pictures."""

from __future__ import annotations

import re

from core.documents import Options, SceneSpec, Storyboard
from core.engine_ports import StoryboardBrief
from core.engines.illustrations import keywords
from core.errors import InvalidInputError
from core.text import SCENE_CHARS, Piece, sentences, speakable, split

_TITLE_CHARS = 40  # an on-screen title longer than this is cut, where a phrase ends if it can be
_SHORT_WORDS = 5  # what is kept where no phrase ends
_LEADING = {  # words a title does not begin with, by language
    "en": frozenset("and but so then now also because however or yet".split()),
    "de": frozenset("und aber denn oder doch".split()),
    "fr": frozenset("et mais alors donc or".split()),
    "es": frozenset("y e pero entonces o".split()),
}
_TRAILING = frozenset(
    "a an the of in on at to for from with by and or but that which who is are was were be as than into its their his "
    "her your our my this these those it they we you i not very so when while if der die das ein eine und oder von zu "
    "mit im in le la les un une de des du et el los las y en con que".split()
)
# a phrase ends before these
_BREAKS = frozenset(
    "than that which who when while where because and or but with from into by for at on in of to through over under "
    "around between during after before until like as als weil wenn und oder aber mit von bei nach vor durch auf dans "
    "avec pour sur par et ou mais que con por para en sobre desde hasta y o pero".split()
)
_DEFAULT_COUNT = 5
_DEFAULT_SCENES = {  # names of the scenes of a film that has only a subject, by language; others go without
    "en": ("Opening", "The idea", "A closer look", "What it means", "In short"),
    "de": ("Zu Beginn", "Die Idee", "Genauer betrachtet", "Was es bedeutet", "Kurz gesagt"),
    "fr": ("Pour commencer", "L'idée", "De plus près", "Ce que cela signifie", "En bref"),
    "es": ("Para empezar", "La idea", "Más de cerca", "Lo que significa", "En resumen"),
}


def scene_title(piece: Piece, language: str) -> str:
    """A short on-screen title out of the narration's own words."""
    if piece.heading:
        return piece.heading
    first = (sentences(piece.narration) or [piece.narration])[0]
    clause = re.split(r"[,;:—–()\"“”]|\s-\s|[.!?…。！？؟।、，]", first.strip())[0].strip()
    words = (clause if len(clause) >= 3 else first).split()
    leading = _LEADING.get(language.split("-", maxsplit=1)[0].lower(), frozenset())
    while len(words) > 2 and words[0].lower() in leading:
        words = words[1:]
    words = _phrase(words)
    title = " ".join(words)[: _TITLE_CHARS + 8].rstrip(" .,;:!…。、，")
    return title[:1].upper() + title[1:]


def _phrase(words: list[str]) -> list[str]:
    """The longest beginning that fits and ends where a phrase does."""
    fitting = [n for n in range(1, len(words) + 1) if len(" ".join(words[:n])) <= _TITLE_CHARS] or [1]
    if fitting[-1] == len(words):
        return words
    ends = [n for n in fitting if n > 1 and words[n].lower() in _BREAKS]
    kept = words[: max(ends, default=min(_SHORT_WORDS, fitting[-1]))]
    while len(kept) > 1 and kept[-1].lower() in _TRAILING:
        kept = kept[:-1]
    return kept


class TextStoryboard:
    """Implements engine_ports.StoryboardEngine without any model."""

    id = "text"
    version = "2"
    usd = 0.0

    def plan(self, brief: StoryboardBrief, _paid: object = None, /) -> Storyboard:
        """Split the script; a topic alone cannot be told without a model.

        Raises:
            InvalidInputError: there is a topic but no script.
        """
        if not brief.script.strip():
            raise InvalidInputError(
                "A topic alone needs a language model: set GEMINI_API_KEY, or give a script.",
                code="topic_needs_model",
                field="script",
            )
        strategy, pieces = split(brief.script)
        if strategy == "default":
            return default_storyboard(brief)
        language = brief.options.language
        scenes = tuple(scene_of(number, piece, brief.options) for number, piece in enumerate(pieces, start=1))
        title = brief.options.title or brief.topic or scene_title(pieces[0], language)
        return Storyboard(title=title, scenes=scenes, strategy=strategy)


def scene_of(number: int, piece: Piece, options: Options) -> SceneSpec:
    """A scene out of its own words."""
    title = scene_title(piece, options.language)
    return SceneSpec(
        number=number,
        title=title,
        narration=piece.narration,
        visual_prompt=", ".join(keywords(piece.narration, options.language)[:5]) or title,
        engine=options.engine,
    )


def default_storyboard(brief: StoryboardBrief) -> Storyboard:
    """Five scenes out of topic and description, when there is nothing else to tell."""
    options = brief.options
    subject = " ".join((options.title or brief.topic or "this video").split())
    told = [s for s in sentences(" ".join(brief.description.split())) if speakable(s)]
    names = _DEFAULT_SCENES.get(options.language.split("-", maxsplit=1)[0].lower(), ("",) * _DEFAULT_COUNT)
    pieces = []
    for index, name in enumerate(names):
        said = " ".join(told[index * len(told) // _DEFAULT_COUNT : (index + 1) * len(told) // _DEFAULT_COUNT])
        lead = f"{name}: {subject}" if name else subject
        narration = f"{lead.rstrip('.!?')}. {said}".strip()
        pieces.append(Piece(name, narration[:SCENE_CHARS] if len(narration) > SCENE_CHARS else narration))
    scenes = tuple(scene_of(number, piece, options) for number, piece in enumerate(pieces, start=1))
    return Storyboard(title=subject, scenes=scenes, strategy="default")

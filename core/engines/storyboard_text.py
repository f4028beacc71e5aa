"""The storyboard without a model: the script's own words, split into scenes with titles and pictures."""

from __future__ import annotations

import re

from core.documents import SceneSpec, Storyboard
from core.engines.illustrations import keywords
from core.errors import InvalidInputError
from core.ports import StoryboardBrief
from core.text import Piece, sentences, split

_TITLE_CHARS = 38  # an on-screen title longer than this is cut at a word
_TITLE_WORDS = 6
_LEADING = frozenset("and but so then now also because however or yet und aber dann jetzt et mais alors y pero".split())
_TRAILING = frozenset(
    "a an the of in on at to for from with by and or but that which who is are was were be as than into its their his "
    "her your our my this these those it they we you i not very so when while if der die das ein eine und oder von zu "
    "mit im in le la les un une de des du et el los las y en con que".split()
)
_DEFAULT_SCENES = ("Opening", "The idea", "A closer look", "What it means", "In short")


def scene_title(piece: Piece) -> str:
    """A short on-screen title out of the narration's own words."""
    if piece.heading:
        return piece.heading
    first = (sentences(piece.narration) or [piece.narration])[0]
    clause = re.split(r"[,;:—–()\"“”]|\s-\s|[.!?…。！？؟।、，]", first.strip())[0].strip()
    words = (clause if len(clause) >= 3 else first).split()
    while len(words) > 2 and words[0].lower() in _LEADING:
        words = words[1:]
    if len(words) > _TITLE_WORDS:
        words = words[:_TITLE_WORDS]
    while len(words) > 1 and len(" ".join(words)) > _TITLE_CHARS:
        words = words[:-1]
    while len(words) > 1 and words[-1].lower() in _TRAILING:
        words = words[:-1]
    title = " ".join(words)[: _TITLE_CHARS + 10].rstrip(" .,;:!…。、，")
    return title[:1].upper() + title[1:]


class TextStoryboard:
    """Implements ports.StoryboardEngine without any model."""

    id = "text"
    version = "1"

    def plan(self, brief: StoryboardBrief) -> Storyboard:
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
            subject = brief.options.title or brief.topic or "this video"
            pieces = [Piece(name, f"{name}: {subject}.") for name in _DEFAULT_SCENES]
        language = brief.options.language
        scenes = tuple(
            SceneSpec(
                number=number,
                title=scene_title(piece),
                narration=piece.narration,
                visual_prompt=", ".join(keywords(piece.narration, language)[:5]) or scene_title(piece),
                engine=brief.options.engine,
            )
            for number, piece in enumerate(pieces, start=1)
        )
        title = brief.options.title or brief.topic or scenes[0].title
        return Storyboard(title=title, scenes=scenes, strategy=strategy)

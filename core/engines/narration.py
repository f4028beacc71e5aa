"""What every voice does with a text before and after speaking it: clean it, cut it, find its words in what was said."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

import emoji

from core.errors import EngineError, InvalidInputError
from core.text import sentences, speakable

SPEEDS = (0.5, 2.0)
_SENTENCE_PAUSE, _PARAGRAPH_PAUSE, _CUT_PAUSE = 0.3, 0.6, 0.1  # seconds at speed 1; models add some of their own
# a token is what stands between spaces; scripts written without spaces are timed by character
_SPACELESS = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = re.compile(rf"[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]+")
_JOINERS = "\u200c\u200d"  # invisible, but letters of Persian and of Indic scripts need them
_BREATHS = ",;:-–—،、，；："  # marks after which a sentence that is too long may be cut


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a narration that a model speaks at once."""

    text: str
    tokens: tuple[str, ...]
    pause: float  # seconds of silence after it, at speed 1


def sayable(text: str, speed: float) -> str:
    """The cleaned text of a narration. Raises InvalidInputError (speed) and EngineError (nothing to say)."""
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise InvalidInputError(f"The speed must be between {SPEEDS[0]} and {SPEEDS[1]}.", field="speed")
    cleaned = clean(text)
    if not any(c.isalnum() for c in cleaned):
        raise EngineError("There is nothing in this text that can be said aloud.", code="nothing_to_say")
    return cleaned


def clean(text: str) -> str:
    """What is spoken and shown: no emoji, no control or invisible characters, white space made plain.

    A blank line stays one, since it is a pause.
    """
    plain = emoji.replace_emoji(unicodedata.normalize("NFC", text), " ")
    kept = "".join(
        c
        for c in plain
        if c.isspace() or c in _JOINERS or (unicodedata.category(c)[0] != "C" and not "\ufe00" <= c <= "\ufe0f")
    )
    return re.sub(r"\s+", lambda gap: "\n\n" if gap[0].count("\n") > 1 else " ", kept).strip()


def tokens(text: str) -> list[str]:
    """The words of a clean text, as captions show them one by one."""
    return TOKEN.findall(text)


def pieces(text: str, longest: int) -> list[Piece]:
    """Cut a clean text at its sentences, and those over `longest` characters where a speaker may breathe.

    Together the pieces hold every token of the text in its order; a token is never cut.
    """
    found: list[Piece] = []
    for paragraph in text.split("\n\n"):
        matches = list(TOKEN.finditer(paragraph))
        at = 0
        for size in _sentence_sizes(paragraph):
            found += _breaths(paragraph, matches[at : at + size], longest)
            at += size
        if found:
            found[-1] = Piece(found[-1].text, found[-1].tokens, _PARAGRAPH_PAUSE)
    return found


def _sentence_sizes(paragraph: str) -> list[int]:
    """How many tokens each sentence has."""
    sizes = [len(tokens(sentence)) for sentence in sentences(paragraph)]
    whole = len(tokens(paragraph))
    return sizes if sum(sizes) == whole else [whole]


def _breaths(paragraph: str, matches: Sequence[re.Match[str]], longest: int) -> list[Piece]:
    """One sentence as pieces: whole, or cut after a mark in the last half of what fits, else after the last token."""
    found: list[Piece] = []
    while matches:
        begin = matches[0].start()
        fits = max(1, sum(match.end() - begin <= longest for match in matches))
        marks = [i for i in range(fits // 2, fits) if matches[i][0][-1] in _BREATHS]
        size = marks[-1] + 1 if marks and fits < len(matches) else fits
        text = paragraph[begin : matches[size - 1].end()]
        pause = _CUT_PAUSE if size < len(matches) else _SENTENCE_PAUSE
        found.append(Piece(text, tuple(match[0] for match in matches[:size]), pause))
        matches = matches[size:]
    return found


def can_be_said(piece: Piece) -> bool:
    """Whether there is a letter or digit in it: lone dashes and dots make some models babble."""
    return speakable(piece.text)


def starts_in(whole: str, parts: Sequence[str]) -> list[int | None]:
    """Where each part of an utterance begins in the symbols of the whole of it.

    whole: the symbols (letters or phonemes) of a sentence as the model was given them. parts: the symbols of each of
    its tokens alone; they differ from those in the sentence where sounds run together or numbers are read out.
    Returns one index into `whole` per part, never falling; None for parts without symbols.
    """
    spoken = [part for part in parts if part.strip()] if whole else []
    blocks = SequenceMatcher(None, " ".join(spoken), whole, autojunk=False).get_matching_blocks()
    edges = [block.a for block in blocks]

    def place(position: int) -> int:
        """Where a position among the parts lies in the whole; between what is alike in both, as near as can be."""
        after = bisect_right(edges, position)
        guess = blocks[after - 1].b + position - blocks[after - 1].a if after else position
        near = min(guess, blocks[after].b if after < len(blocks) else guess, len(whole) - 1)
        return next((i for i in range(near, len(whole)) if whole[i].isalnum()), near)

    begins = accumulate((len(part) + 1 for part in spoken), initial=0)
    places = iter([place(begin) for begin, _ in zip(begins, spoken, strict=False)])
    return [next(places, None) if part.strip() else None for part in parts]

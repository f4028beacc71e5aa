"""How a text falls into scenes: paragraphs, else sentences, else character chunks."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SCENE_CHARS = 420  # longest narration of one scene, about 28 s of speech
SENTENCE_SCENE_CHARS = 190  # aimed-at narration when sentences are gathered into scenes, about 12 s
CHUNK_CHARS = 160  # length of a chunk when a text has no sentence ends
TOPIC_SECONDS = 60  # of the film of a topic whose length nobody wished
TOPIC_SCENE_SECONDS = 10  # of one of its scenes, about
_HEADING_CHARS = 60  # a first line of a paragraph up to this long, without an end mark, is its heading

_END = "。！？｡\u0964\u0965\u1362\u1367\u104b\u17d4"  # need no space after them: CJK, Indic, Ethiopic, Burmese, Khmer
_PAUSES = "，、；,;،؛"  # where a sentence without spaces may be cut
_JOINER = "\u200d"  # joins emoji to one
_SIGN_CHARS = 24  # of the longest sign that is kept whole
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st vs etc e.g i.e no nr fig approx inc ltd co jr sr z.b d.h u.a usw bzw ca mme cf p.ej".split()
)
_SENTENCE = re.compile(rf"[^{_END}]+?(?:[.!?…؟۔։‼⁇⁈⁉]+[\"'”’»)\]]*(?=\s|$)|[{_END}]+[」』”’]*|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one scene."""

    heading: str  # given by the author, may be empty
    narration: str


def speakable(text: str) -> bool:
    """Whether there is at least one letter or digit to say."""
    return any(unicodedata.category(c)[0] in "LN" for c in text)


def is_dense(char: str) -> bool:
    """Whether a character stands for a syllable or a word: Han, Kana, Hangul."""
    return "⺀" <= char <= "鿿" or "가" <= char <= "힣" or "豈" <= char <= "﫿" or "\U00020000" <= char <= "\U0003ffff"


def sentences(text: str) -> list[str]:
    """Split at sentence ends of many scripts; abbreviations and decimal points do not end a sentence."""
    found: list[str] = []
    open_end = False
    for match in _SENTENCE.finditer(text):
        part = match.group().strip()
        if not part:
            continue
        if open_end:
            found[-1] += " " + part
        else:
            found.append(part)
        last_word = part.rsplit(maxsplit=1)[-1].rstrip(".").lower()
        open_end = part.endswith(".") and (last_word in _ABBREVIATIONS or bool(re.fullmatch(r"[a-z]", last_word)))
    return found


def _between_signs(text: str, near: int) -> int:
    """The last place up to `near` that tears nothing seen as one sign: accents, vowel signs, joined emoji."""
    for cut in range(near, max(near - _SIGN_CHARS, 0), -1):
        after, before = text[cut], text[cut - 1]
        is_added = unicodedata.category(after)[0] == "M" or after == _JOINER or "🏻" <= after <= "🏿"
        if not is_added and before != _JOINER:
            return cut
    return near


def _chunks(text: str, size: int) -> list[str]:
    """Cut at spaces (or anywhere, where a script has none) into even chunks of at most `size` characters."""
    parts: list[str] = []
    rest = text.strip()
    count = -(-len(rest) // size)
    aim = -(-len(rest) // max(count, 1))
    while len(rest) > size:
        cut = rest.rfind(" ", aim // 2, aim + 1)
        if cut <= 0:
            cut = max(rest.rfind(mark, aim // 2, aim) for mark in _PAUSES) + 1
        cut = cut if cut > 0 else _between_signs(rest, aim)
        parts.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*parts, rest] if rest else parts


def _gather(parts: list[str], size: int) -> list[str]:
    """Join neighbours evenly while they stay under `size` characters."""
    total = sum(map(len, parts)) + len(parts)
    aim = total / max(1, round(total / size + 0.3))
    gathered: list[str] = []
    for part in parts:
        if gathered and len(gathered[-1]) + 1 + len(part) <= max(aim * 1.15, size * 0.6):
            gathered[-1] += " " + part
        else:
            gathered.append(part)
    return gathered


def _fit(text: str) -> list[str]:
    """Cut one paragraph that is too long for a scene, at sentence ends where it has them."""
    if len(text) <= SCENE_CHARS:
        return [text]
    short = [piece for s in sentences(text) for piece in (_chunks(s, SCENE_CHARS) if len(s) > SCENE_CHARS else [s])]
    return _gather(short, SCENE_CHARS * 2 // 3)


def _paragraphs(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    pending = ""  # a heading that stands alone belongs to the next paragraph
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.strip().splitlines() if line.strip()]
        if not lines:
            continue
        first = lines[0].lstrip("#").strip()
        short = len(first) <= _HEADING_CHARS and first[-1:] not in f".!?…,;:؟{_END}"
        is_heading = lines[0].startswith("#") or (short and speakable(" ".join(lines[1:])))
        heading = first if is_heading else ""
        body = " ".join(lines[1:] if is_heading else lines)
        if heading and not speakable(body):
            pending = heading
            continue
        if not speakable(body):
            continue
        heading, pending = heading or pending, ""
        pieces += [Piece(heading if i == 0 else "", part) for i, part in enumerate(_fit(body))]
    return pieces + [Piece("", part) for part in _fit(pending) if speakable(part)]


def split(script: str) -> tuple[str, list[Piece]]:
    """Split a script into scenes.

    Returns:
        (strategy, pieces): "paragraphs" when the author wrote at least two, "sentences" for one running text,
        "characters" when it has no sentence ends, "default" with no pieces when nothing in it can be said.
    """
    text = script.replace("\r\n", "\n").replace("\r", "\n").strip()
    pieces = _paragraphs(text)
    if len(pieces) >= 2 and len(re.split(r"\n\s*\n", text)) >= 2:
        return "paragraphs", pieces
    heading = pieces[0].heading if pieces else ""
    running = " ".join(p.narration for p in pieces)
    parts = [s for s in sentences(running) if speakable(s)]
    if len(parts) >= 2:
        fitted = [piece for s in parts for piece in (_chunks(s, SCENE_CHARS) if len(s) > SCENE_CHARS else [s])]
        scenes = _gather(fitted, SENTENCE_SCENE_CHARS)
        return "sentences", [Piece(heading if i == 0 else "", s) for i, s in enumerate(scenes)]
    chunks = [c for c in _chunks(running, CHUNK_CHARS) if speakable(c)]
    if chunks:
        return "characters", [Piece(heading if i == 0 else "", c) for i, c in enumerate(chunks)]
    return "default", []


_CHARS_PER_SECOND = 15.0  # of spoken Latin text at speed 1
_CHARS_PER_SECOND_DENSE = 4.5  # of scripts that write a syllable or word per character
_CHARS_PER_WORD = 6.0  # with its space
_DENSE_LANGUAGES = frozenset("zh cmn yue hak ja ko".split())
_UNSPACED_LANGUAGES = frozenset("th my shn".split())
_SCENE_SILENCE = 0.6  # seconds around the words of one scene, fades taken off


def estimate_seconds(texts: list[str], speed: float) -> float:
    """How long these narrations will last, seconds, before any voice has spoken them."""
    seconds = 0.0
    for text in texts:
        dense = sum(map(is_dense, text))
        spoken = (len(text) - dense) / _CHARS_PER_SECOND + dense / _CHARS_PER_SECOND_DENSE
        seconds += spoken / speed + _SCENE_SILENCE
    return seconds


def speech_rate(language: str) -> tuple[str, float]:
    """What a text's length is counted in ("words" or "characters"), and how many are spoken a minute at speed 1."""
    code = language.lower().split("-", maxsplit=1)[0]
    if code in _DENSE_LANGUAGES:
        return "characters", 60 * _CHARS_PER_SECOND_DENSE
    if code in _UNSPACED_LANGUAGES:
        return "characters", 60 * _CHARS_PER_SECOND
    return "words", 60 * _CHARS_PER_SECOND / _CHARS_PER_WORD


def parts_of(text: str, size: int) -> list[str]:
    """A long text in stretches of at most `size` characters: at paragraphs, else sentences, else anywhere."""
    parts: list[str] = []
    for block in (b.strip() for b in re.split(r"\n\s*\n", text) if b.strip()):
        short = [block] if len(block) <= size else [c for s in sentences(block) for c in _chunks(s, size)]
        for index, piece in enumerate(short):
            mark = " " if index else "\n\n"
            if parts and len(parts[-1]) + len(mark) + len(piece) <= size:
                parts[-1] += mark + piece
            else:
                parts.append(piece)
    return parts

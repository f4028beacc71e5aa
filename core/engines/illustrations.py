"""Which emoji illustrate a text, found in its own words: no model, no images, the same answer every time."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

import emoji

from core.engines.illustration_words import ENGLISH
from core.engines.illustration_words_more import FALLBACK, MORE

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_UNSPACED = frozenset({"zh", "ja", "ko"})  # no spaces, or particles glued to the word: names are sought inside the text
_FIELD_WEIGHTS = (3.0, 2.0, 1.0)  # title, prompt, narration
_SURE = 0.95  # from this score on a picture is preferred to one of the theme's set
_NEWEST = 15.1  # emoji version that common fonts hold

_NOT_PICTURES = re.compile(  # never an illustration: signs, buttons, hours, marks, and people drawn by sex or age
    r"button|o’clock|thirty|square|circle|arrow|_sign$|mark|symbol|number|letter|person|people|^m[ae]n_|^wom[ae]n_|"
    r"^(man|woman|boy|girl|merman)$|couple|kiss|family|hand|finger|fist|hole|dash|hundred|_suit$|ophiuchus|medium|"
    r"tone|fuck|poo|underwear|bikini|middle|restroom|toilet|cigarette|coffin|pistol|"
    r"^(aries|taurus|gemini|cancer|leo|virgo|libra|scorpio|sagittarius|capricorn|aquarius|pisces)$"
)
_FRAMED = frozenset(  # drawn as small square scenes and signs
    "🌁🌃🌄🌅🌆🌇🌉🌌🌠🌫🎆🎇🎑🏙🏜🏞🗾👪🎦🔟🔠🔡🔤🔯🛗🛜🏧🕉☪☸✡☯☦♾ℹ☑🅰🅱🆎🅾🈁🈂"
)
_COMMON = frozenset(  # English words that are names of emoji, yet seldom mean the thing
    "link top back end on soon up new free cool ok info on collision sparkle dizzy exclamation label key hut date name "
    "wing mouth leg foot bone beverage pick screw pill save wheel ring bow hook saw level".split()
)
_WEAK = frozenset(  # words that often stand in a text without being its matter
    "time start starts started make makes give gives given see seen watch rise rises rising watched open opens "
    "opened say says note notes key group groups team number record rule rules level ask asks asked fast world "
    "system process "
    "human humans people control part build built power powerful gone change life living first move moves "
    "work best step steps plan why question word "
    "words never stop thank watching welcome hello view create creates created important wait second found find finds "
    "zeit jahre mensch menschen leute welt tiempo mundo gente monde temps gens".split()
)
_PLURALS = {"men": "man", "women": "woman", "children": "child", "feet": "foot", "geese": "goose", "oxen": "ox"}
_ARTICLES = re.compile(r"^(?:وال|بال|كال|فال|ال|لل)(?=\w{3})")


@dataclass(frozen=True, slots=True)
class _Match:
    """A word of the text and the emoji that stands for it."""

    word: str  # as it stands in the text, lower case
    emoji: str
    weight: float  # 0 to 1: how surely the word means the picture
    position: int  # in the text, in characters


def choose(
    prompt: str, title: str, narration: str, language: str, avoid: Collection[str], seed: int
) -> tuple[str, str, str]:
    """Choose (hero, accent, accent) for one scene: three different emoji.

    prompt, title, narration: what the scene is about; an emoji written in them is taken at its word.
    language: BCP 47. avoid: not to be the hero (the heroes of neighbouring scenes). seed: decides only what the text
    leaves open. Never flags or skin tones; faces only where the text has them.
    """
    ranked = _ranked((title, prompt, narration), language)
    filling = _filling(ranked, seed, f"{title} {prompt} {narration}")
    sure = _sure(ranked)
    order = list(dict.fromkeys([*sure, *(filling if sure else ()), *ranked, *filling]))
    hero = next((e for e in order if e not in avoid), order[0])
    accents = [e for e in order if e != hero]
    return hero, accents[0], accents[1]


def telling(prompt: str, title: str, narration: str, language: str) -> list[str]:
    """The emoji that a scene's words surely mean, the best first; maybe none."""
    return _sure(_ranked((title, prompt, narration), language))


def keywords(text: str, language: str) -> list[str]:
    """The words of the text that have a picture, lower case, each once, the most telling first."""
    scores: dict[str, float] = {}
    first: dict[str, int] = {}
    shown: dict[str, str] = {}  # one word for each picture: singular and plural are one matter
    for match in _matches(text, language):
        word = shown.setdefault(match.emoji, match.word)
        scores[word] = scores.get(word, 0.0) + match.weight
        first.setdefault(word, match.position)
    return sorted(scores, key=lambda word: (-scores[word], first[word]))


def theme(text: str, language: str) -> str:
    """What the text is about, roughly: nature, money, science, ... or "" when its words do not tell."""
    return _theme_of(_ranked((text, "", ""), language))


def _ranked(fields: tuple[str, str, str], language: str) -> dict[str, float]:
    """The emoji of all fields' words with their scores, the best first."""
    scores: dict[str, float] = {}
    for text, weight in zip(fields, _FIELD_WEIGHTS, strict=True):
        for match in _matches(text, language):
            early = 1 + 0.2 / (1 + match.position / 40)
            scores[match.emoji] = scores.get(match.emoji, 0.0) + weight * match.weight * early
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))  # stable: equal scores keep the text's order


def _sure(ranked: dict[str, float]) -> list[str]:
    """Those with enough words behind them."""
    return [e for e, score in ranked.items() if score >= _SURE]


def _filling(ranked: dict[str, float], seed: int, text: str) -> list[str]:
    """What may stand in where the words gave too little: the set of the theme most of them belong to."""
    pool = _plain(FALLBACK[_theme_of(ranked)]).split()
    digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    start = int.from_bytes(digest[:4], "big") % len(pool)
    return pool[start:] + pool[:start]


def _theme_of(ranked: dict[str, float]) -> str:
    """The theme most of the emoji belong to, each counting by its score."""
    votes: dict[str, float] = {}
    for found, score in ranked.items():
        name = _themes().get(found)
        if name is not None:
            votes[name] = votes.get(name, 0.0) + score
    return max(votes, key=lambda name: votes[name]) if votes else ""


def _matches(text: str, language: str) -> Iterator[_Match]:
    """Every word of the text that has a picture, in order."""
    for found in emoji.emoji_list(text):
        picture = str(found["emoji"])
        if not _is_flag(picture):
            yield _Match(picture, _plain(picture), 3.0, int(found["match_start"]))
    tongue = language.split("-", maxsplit=1)[0].lower()
    if tongue in _UNSPACED:
        yield from _inside(text, tongue)
        return
    words = [(m.group().lower().replace("’", "'"), m.start()) for m in _WORD.finditer(text)]
    index = _index(tongue)
    skip = False
    for (word, position), following in zip_longest(words, words[1:], fillvalue=("", 0)):
        if skip:
            skip = False
            continue
        pair = index.exact.get(f"{word} {_singular(following[0])}") if following[0] else None
        if pair is not None:
            skip = True
            yield _Match(f"{word} {following[0]}", pair, 1.2, position)
            continue
        found_one = index.find(word)
        if found_one is not None:
            weak = word in _WEAK or _singular(word) in _WEAK
            yield _Match(word, found_one[0], found_one[1] * (0.2 if weak else 1.0), position)


def _inside(text: str, tongue: str) -> Iterator[_Match]:
    """Names found anywhere in a text without spaces, the longest first, none overlapping."""
    taken = [False] * len(text)
    found = []
    for name, picture in _names_inside(tongue):
        at = text.find(name)
        while at >= 0:
            if not any(taken[at : at + len(name)]):
                taken[at : at + len(name)] = [True] * len(name)
                found.append(_Match(name, picture, min(1.0, 0.4 + 0.3 * len(name)), at))
            at = text.find(name, at + len(name))
    yield from sorted(found, key=lambda match: match.position)


@dataclass(frozen=True, slots=True)
class _Index:
    """The words of one language: whole ones, beginnings, and names of the emoji package as a last resort."""

    tongue: str
    exact: dict[str, str]
    stems: dict[str, str]
    names: dict[str, str]

    def find(self, word: str) -> tuple[str, float] | None:
        """The picture of a word and how sure that is, or None."""
        word = word.removesuffix("'s")
        if self.tongue == "ar":
            word = _ARTICLES.sub("", word)
        for form in (word, _singular(word) if self.tongue == "en" else word):
            if form in self.exact:
                return self.exact[form], 1.0
        for length in range(len(word), 2, -1):
            if word[:length] in self.stems:
                return self.stems[word[:length]], 1.0
        return self._named(word)

    def _named(self, word: str) -> tuple[str, float] | None:
        """The emoji called so; inflected languages may lack up to three letters at the end."""
        if self.tongue == "en":
            form = _singular(word)
            return (self.names[form], 0.9) if form in self.names and form not in _COMMON else None
        for length in range(len(word), max(3, len(word) - 3) - 1, -1):
            for name in (word[:length], word[:length] + "e", word[:length] + "a"):
                if len(name) > 3 and name in self.names:
                    return self.names[name], 0.8
        return None


@cache
def _index(tongue: str) -> _Index:
    """Read the tables of one language; a language without any has the English words (names, brands, loan words)."""
    tables = list(ENGLISH.values()) if tongue == "en" or tongue not in emoji.LANGUAGES else [MORE.get(tongue, "")]
    exact: dict[str, str] = {}
    stems: dict[str, str] = {}
    for table in tables:
        for row in table.strip().splitlines():
            picture, *words = row.split()
            for word in words:
                target = stems if word.endswith("*") else exact
                target.setdefault(word.rstrip("*").replace("_", " "), _plain(picture))
    names: dict[str, str] = {}
    for name, picture in _names(tongue if tongue in emoji.LANGUAGES else "en"):
        words_of_name = name.split()
        if len(words_of_name) == 1:
            names.setdefault(name, picture)
        elif len(words_of_name) == 2 and tongue == "en":
            exact.setdefault(name, picture)
    return _Index(tongue, exact, stems, names)


@cache
def _names(tongue: str) -> tuple[tuple[str, str], ...]:
    """(name, emoji) of everything that may be an illustration, lower case, spaces between words."""
    if tongue != "en":
        emoji.config.load_language(tongue)
    found = []
    for picture, facts in emoji.EMOJI_DATA.items():
        if facts["status"] == emoji.STATUS["fully_qualified"] and facts["E"] <= _NEWEST and _drawable(picture):
            english = str(facts["en"]).strip(":")
            name = str(facts.get(tongue, "")).strip(":").replace("_", " ").lower()
            if name and not _NOT_PICTURES.search(english) and picture[0] not in _FRAMED:
                found.append((name, _plain(picture)))
    return tuple(found)


@cache
def _names_inside(tongue: str) -> tuple[tuple[str, str], ...]:
    """Names to be sought inside unspaced text, longest first; a single kana or hangul syllable says nothing."""
    return tuple(
        sorted(
            ((name, e) for name, e in _names(tongue) if len(name) > 1 or "CJK" in unicodedata.name(name[0], "")),
            key=lambda pair: -len(pair[0]),
        )
    )


@cache
def _themes() -> dict[str, str]:
    """Emoji to theme."""
    rows = ((theme, row) for theme, table in ENGLISH.items() for row in table.strip().splitlines())
    return {_plain(row.split()[0]): theme for theme, row in rows}


def _plain(picture: str) -> str:
    """Without the variation selector: fonts and comparisons want one spelling."""
    return picture.replace("\ufe0f", "")


def _is_flag(picture: str) -> bool:
    """Whether it is a flag of a country or region."""
    return any(0x1F1E6 <= ord(c) <= 0x1F1FF or 0xE0020 <= ord(c) <= 0xE007F for c in picture)


def _drawable(picture: str) -> bool:
    """Whether it is one thing: no flag, no skin tone, no keycap, no face."""
    if _is_flag(picture) or any(0x1F3FB <= ord(c) <= 0x1F3FF or ord(c) == 0x20E3 for c in picture):
        return False
    first = ord(picture[0])
    return not (
        0x1F600 <= first <= 0x1F64F or 0x1F910 <= first <= 0x1F92F or 0x1F970 <= first <= 0x1F97A
        or 0x1FAE0 <= first <= 0x1FAEF or first in {0x263A, 0x2639, 0x1F9D0}
    )  # fmt: skip


def _singular(word: str) -> str:
    """The singular of a regular English plural, and of the common irregular ones."""
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if word.endswith("ves"):
        return word[:-3] + "f"
    return word[:-1]

"""Which languages the voices speak, for those who must know it without loading a voice."""

from __future__ import annotations

from collections.abc import Iterable

# language codes of the packaged espeak-ng voices; a test holds this list against the library.
# A deployment whose first voice is a model keeps espeak-ng for all other languages, so this is what every one speaks.
SPOKEN = frozenset(
    (
        "af am an ar as az ba be bg bn bpy bs ca chr-US-Qaaa-x-west cmn cs cv cy da de el en eo es et eu fa "
        "fi fr ga gd gn grc gu hak haw hbs he hi hr ht hu hy hyw ia id io is it iw jbo ka kk kl kn ko kok ku "
        "ky la lb lfn lt ltg lv mi mk ml mr ms mt mto my nb nci ne nl nn no nog om or pa pap piqd pl pt py "
        "qdb qu quc qya ro ru sd shn si sjn sk sl smj sq sr sv sw ta te th ti tk tn tr tt ug uk ur uz vi yue "
        "zh "
    ).split()
)

# what the models speak themselves; the tests with the models hold this against them
MODELS_SPEAK = {
    "vits": ("en",),
    "xtts": ("ar", "cs", "de", "en", "es", "fr", "hi", "hu", "it", "ko", "nl", "pl", "pt", "ru", "tr"),
}


def speaks(language: str) -> bool:
    """Whether there is a voice for a BCP 47 code; regions and scripts without a voice of their own are left away."""
    parts = _parts(language)
    return any("-".join(parts[:length]) in SPOKEN for length in range(len(parts), 0, -1))


def nearest(language: str, offered: Iterable[str]) -> str | None:
    """Which of a model's languages serves a BCP 47 code: the same, else a region's of the same language; or None."""
    wanted, codes = _parts(language), sorted(offered)
    same = [code for code in codes if _parts(code) == wanted]
    related = [code for code in codes if _parts(code)[0] == wanted[0]]
    return next(iter([*same, *related]), None)


def _parts(language: str) -> list[str]:
    return language.strip().lower().replace("_", "-").split("-")

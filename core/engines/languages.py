"""Which languages the embedded voice speaks, for those who must know it without loading the voice."""

from __future__ import annotations

# language codes of the packaged espeak-ng voices; a test holds this list against the library
SPOKEN = frozenset(
    (
        "af am an ar as az ba be bg bn bpy bs ca chr-US-Qaaa-x-west cmn cs cv cy da de el en eo es et eu fa "
        "fi fr ga gd gn grc gu hak haw hbs he hi hr ht hu hy hyw ia id io is it iw jbo ka kk kl kn ko kok ku "
        "ky la lb lfn lt ltg lv mi mk ml mr ms mt mto my nb nci ne nl nn no nog om or pa pap piqd pl pt py "
        "qdb qu quc qya ro ru sd shn si sjn sk sl smj sq sr sv sw ta te th ti tk tn tr tt ug uk ur uz vi yue "
        "zh "
    ).split()
)


def speaks(language: str) -> bool:
    """Whether there is a voice for a BCP 47 code; regions and scripts without a voice of their own are left away."""
    parts = language.strip().lower().replace("_", "-").split("-")
    return any("-".join(parts[:length]) in SPOKEN for length in range(len(parts), 0, -1))

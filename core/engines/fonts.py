"""Which font can write a text: Inter for most of the world's letters, else one of the system's."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FONTS = Path(__file__).resolve().parent.parent / "fonts"
INTER = FONTS / "Inter.ttf"  # variable: optical size 14 to 32, weight 100 to 900
EMOJI = FONTS / "NotoColorEmoji.ttf"  # vector glyphs (COLRv1)
INTER_FAMILY = "Inter ExtraBold"  # the family name of the static file that captions are set in

_IGNORED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs", "Mn", "Me"})  # marks follow their letter's font


def family_for(text: str) -> tuple[str, Path | None, bool]:
    """Choose a font for `text`: (family name, file, whether it has every letter).

    Inter when it covers the text; else the boldest plain system font that does; else ("Inter ExtraBold", None, False)
    and the caller warns that letters will be missing. Pictures among the text (emoji) are not letters.
    """
    needed = frozenset(ord(c) for c in text if _is_letter(c))
    if needed <= _inter_letters():
        return INTER_FAMILY, INTER, True
    found = _system_font(needed - _ascii())
    return (*found, True) if found else (INTER_FAMILY, None, False)


def writable(text: str) -> str:
    """What Inter can write of a text that no font covers; words that lose all their letters go."""
    kept = "".join(c for c in text if not _is_letter(c) or ord(c) in _inter_letters())
    return " ".join(word for word in kept.split() if any(c.isalnum() for c in word))


def missing_sentence(text: str) -> str:
    """What to tell a person when no font has the letters of `text`; empty when one has."""
    if family_for(text)[2]:
        return ""
    shown = text if len(text) <= 40 else text[:39] + "…"
    return (
        f"No font on this machine has the letters of “{shown}”, so pictures and captions leave them out; "
        "install a font for this script, for example one of the Noto family."
    )


def is_right_to_left(text: str) -> bool:
    """Whether the first letter with a direction runs from right to left."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in {"R", "AL"}:
            return True
        if direction == "L":
            return False
    return False


def _is_letter(character: str) -> bool:
    """Whether a font must have it: no space, control, joiner or pictogram."""
    return unicodedata.category(character) not in _IGNORED and not 0x1F000 <= ord(character) <= 0x1FBFF


def _ascii() -> frozenset[int]:
    """Signs that stand among any script; a font of that script that lacks one is still the best there is."""
    return frozenset(range(0x21, 0x30)) | frozenset(range(0x3A, 0x41))


@cache
def _inter_letters() -> frozenset[int]:
    """The code points that Inter has."""
    return _letters(INTER, 0)


@cache
def _letters(path: Path, number: int) -> frozenset[int]:
    """The code points of one font file; empty when it cannot be read."""
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(path, fontNumber=number, lazy=True) as font:
            return frozenset(font.getBestCmap() or {})
    except (TTLibError, OSError, AssertionError, KeyError):
        return frozenset()


@cache
def _family_name(path: Path) -> str:
    """The name by which libass knows the font (name 1: family)."""
    from fontTools.ttLib import TTFont

    with TTFont(path, fontNumber=0, lazy=True) as font:
        return str(font["name"].getDebugName(1) or path.stem)


@cache
def _system_font(needed: frozenset[int]) -> tuple[str, Path] | None:
    """The first system font, in order of preference, that has all of `needed`."""
    for path in _system_files():
        if needed <= _letters(path, 0):
            return _family_name(path), path
    return None


@cache
def _system_files() -> tuple[Path, ...]:
    """Every font file of the system, the most suitable for a heavy title first."""
    return tuple(sorted(_walk(), key=lambda path: (_unsuitable(path.stem.lower()), path.name)))


def _unsuitable(stem: str) -> int:
    """How badly a file name fits a bold sans-serif title; 0 is best."""
    faults = ("italic", "oblique", "mono", "condensed", "serif", "thin", "light", "math", "symbol")
    return sum(4 for fault in faults if fault in stem.replace("sansserif", "")) + (
        0 if any(weight in stem for weight in ("extrabold", "bold", "black", "heavy")) else 2
    ) + (0 if "noto" in stem or "sans" in stem else 1)  # fmt: skip


def _walk() -> Iterator[Path]:
    """Font files in the places where systems keep them."""
    home = Path.home()
    places = {
        "darwin": (Path("/Library/Fonts"), Path("/System/Library/Fonts"), home / "Library/Fonts"),
        "win32": (Path("C:/Windows/Fonts"), home / "AppData/Local/Microsoft/Windows/Fonts"),
    }.get(sys.platform, (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts"))
    for place in places:
        if place.is_dir():
            yield from (p for p in place.rglob("*") if p.suffix.lower() in {".ttf", ".otf", ".ttc"})

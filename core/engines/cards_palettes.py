"""The colours of cards, gathered into named styles, and the choice among them for one film."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from core.engines.illustrations import choose, theme

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """One set of colours, sRGB 0 to 255."""

    sentence: str  # what it looks like, for people who choose
    base: RGB  # of the ground
    glows: tuple[RGB, RGB, RGB]  # three lights on it; the rule and shapes run from the second to the third
    foot: RGB  # what the lower part fades to
    ink: RGB  # of letters
    light: bool = False  # dark letters on a bright ground

    @property
    def shade(self) -> RGB:
        """The colour of shadows."""
        return (70, 50, 60) if self.light else (0, 0, 0)


_WHITE: RGB = (255, 255, 255)
_NIGHT: RGB = (4, 4, 14)

PALETTES: dict[str, Palette] = {
    "aurora": Palette(
        "Violet, pink and teal light over a night-blue ground.",
        (14, 16, 38), ((88, 60, 255), (255, 94, 132), (0, 214, 201)), _NIGHT, _WHITE,
    ),
    "lagoon": Palette(
        "Deep sea green with a warm amber light.",
        (9, 24, 32), ((0, 150, 170), (255, 170, 60), (40, 90, 255)), (3, 9, 16), _WHITE,
    ),
    "ember": Palette(
        "Glowing red and orange over dark plum.",
        (30, 12, 30), ((255, 80, 60), (255, 190, 70), (150, 40, 220)), (14, 4, 14), _WHITE,
    ),
    "forest": Palette(
        "Moss and emerald with a touch of sun.",
        (8, 26, 20), ((20, 180, 120), (230, 220, 80), (10, 90, 160)), (3, 12, 10), _WHITE,
    ),
    "midnight": Palette(
        "Calm blues of a clear night.",
        (8, 11, 28), ((38, 74, 210), (110, 170, 255), (96, 64, 214)), (3, 4, 14), _WHITE,
    ),
    "orchid": Palette(
        "Magenta, coral and indigo, rich and theatrical.",
        (32, 10, 42), ((206, 56, 176), (255, 146, 112), (92, 76, 255)), (14, 4, 22), _WHITE,
    ),
    "gold": Palette(
        "Black velvet and warm gold.",
        (20, 17, 15), ((140, 96, 28), (255, 204, 96), (196, 120, 52)), (6, 5, 5), _WHITE,
    ),
    "cobalt": Palette(
        "Electric blue and cyan with a pink spark.",
        (8, 18, 58), ((28, 84, 255), (0, 214, 255), (255, 84, 164)), (4, 8, 30), _WHITE,
    ),
    "paper": Palette(
        "Warm cream paper, vermilion and deep teal.",
        (250, 243, 230), ((255, 216, 168), (238, 92, 66), (30, 130, 138)), (244, 230, 208), (44, 28, 30), light=True,
    ),
    "mint": Palette(
        "Fresh mint and white with a blue accent.",
        (238, 249, 245), ((158, 232, 208), (255, 128, 104), (52, 116, 246)), (214, 240, 236), (14, 40, 54), light=True,
    ),
    "blush": Palette(
        "Soft rose and lilac, bright and friendly.",
        (255, 242, 246), ((255, 196, 214), (248, 84, 136), (124, 92, 240)), (246, 222, 240), (54, 18, 54), light=True,
    ),
}  # fmt: skip

STYLES: dict[str, str] = {
    "auto": "Colours chosen by what the film is about, layouts varied from scene to scene.",
    **{name: palette.sentence for name, palette in PALETTES.items()},
}

_FITTING: dict[str, tuple[str, ...]] = {
    "nature": ("forest", "lagoon", "ember", "aurora", "mint"),
    "money": ("gold", "cobalt", "forest", "mint"),
    "science": ("aurora", "cobalt", "lagoon", "mint"),
    "space": ("midnight", "aurora", "orchid"),
    "tech": ("cobalt", "aurora", "midnight"),
    "history": ("ember", "gold", "paper", "midnight"),
    "learning": ("cobalt", "paper", "orchid", "aurora"),
    "people": ("blush", "orchid", "ember"),
    "health": ("mint", "lagoon", "blush"),
    "food": ("ember", "paper", "blush", "gold"),
    "travel": ("lagoon", "cobalt", "paper"),
    "art": ("orchid", "blush", "aurora"),
    "sport": ("ember", "cobalt", "forest"),
}


_EMBLEMS: dict[str, str] = {  # a film whose emblem this is has half its chances there
    "🌋": "ember", "🔥": "ember", "🌊": "lagoon", "💧": "lagoon", "🐟": "lagoon", "🌙": "midnight", "🪐": "midnight",
    "⭐": "midnight", "☀": "ember", "🌸": "blush", "❤": "blush", "🌲": "forest", "🌳": "forest", "🌱": "forest",
    "💰": "gold", "👑": "gold", "♟": "gold", "💎": "cobalt", "❄": "cobalt", "🤖": "cobalt", "📚": "paper",
}  # fmt: skip


def palette_name(style: str, film_title: str, language: str, seed: int) -> str:
    """The palette of one film: the style itself, or for "auto" (and unknown names) one that fits its title."""
    if style in PALETTES:
        return style
    fitting = _FITTING.get(theme(film_title, language), tuple(PALETTES))
    digest = hashlib.sha256(f"{seed}:{film_title}".encode()).digest()
    favourite = _EMBLEMS.get(choose("", film_title, "", language, (), seed)[0])
    if favourite is not None and digest[1] % 2:
        return favourite
    return fitting[digest[0] % len(fitting)]

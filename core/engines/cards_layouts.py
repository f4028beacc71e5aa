"""Where everything stands on a card: boxes only, no pixels; nothing cut, nothing overlapping."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.documents import Canvas
from core.engine_ports import PictureBrief
from core.engines.cards_text import Face, Setting, clean, face_for, fit, shown


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in canvas px."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height

    @property
    def centre(self) -> tuple[float, float]:
        """The middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def at(self, fx: float, fy: float, size: float) -> Box:
        """A square of `size` px round the point at the fractions (fx, fy) of this box."""
        return Box(self.x + fx * self.width - size / 2, self.y + fy * self.height - size / 2, size, size)

    def within(self, width: float, height: float) -> Box:
        """A smaller box with the same centre."""
        cx, cy = self.centre
        return Box(cx - width / 2, cy - height / 2, width, height)

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on the card. kind: panel, disc, sheet, polaroid, orbit (shapes); hero, accent; chip, title, rule."""

    kind: str
    box: Box
    tilt: float = 0.0  # degrees, clockwise
    index: int = 0  # among its kind
    lines: tuple[str, ...] = ()
    setting: Setting | None = None
    align: str = "left"


@dataclass(frozen=True, slots=True)
class Composition:
    """A card as boxes, in painting order."""

    layout: str
    items: tuple[Item, ...]
    focus: tuple[float, float]  # where the light and the lines gather, canvas px


Art = Callable[[Box, bool], list[Item]]  # (room, mirrored) -> items


def _panel(room: Box, mirrored: bool) -> list[Item]:
    """A glass panel with the hero in it and the accents over two opposite corners; a wide one holds all three."""
    if room.width > room.height * 1.5:
        panel = room
        size = room.height
        places = [(0.17, 0.56, -9.0), (0.83, 0.56, 9.0)]
        return [
            Item("panel", panel),
            Item("hero", panel.at(0.5, 0.5, size * 0.68)),
            *(Item("accent", panel.at(x, y, size * 0.40), t, i) for i, (x, y, t) in enumerate(places)),
        ]
    side = min(room.width, room.height) * 0.955
    panel = room.within(min(room.width * 0.955, side * 1.12), min(room.height * 0.955, side * 1.12))
    places = [(0.90, 0.93, 10.0), (0.09, 0.10, -12.0)]
    if mirrored:
        places = [(0.10, 0.93, -10.0), (0.91, 0.10, 12.0)]
    sizes = (side * 0.25, side * 0.20)
    return [
        Item("panel", panel),
        Item("hero", panel.at(0.5, 0.49, side * 0.62)),
        *(
            Item("accent", _inside(panel.at(x, y, size), room), t, i)
            for i, ((x, y, t), size) in enumerate(zip(places, sizes, strict=True))
        ),
    ]


def _orbit(room: Box, mirrored: bool) -> list[Item]:
    """The hero free in the middle of a thin ring on which the accents sit."""
    side = min(room.width, room.height)
    square = room.within(side, side)
    ring = square.at(0.5, 0.5, side * 0.86)
    places = [(0.86, 0.72, 8.0), (0.13, 0.30, -10.0)]
    if mirrored:
        places = [(0.14, 0.72, -8.0), (0.87, 0.30, 10.0)]
    return [
        Item("orbit", ring),
        Item("hero", square.at(0.5, 0.5, side * 0.60)),
        *(Item("accent", square.at(x, y, side * 0.22), t, i) for i, (x, y, t) in enumerate(places)),
    ]


def _bento(room: Box, mirrored: bool) -> list[Item]:
    """Three glass tiles, a large one and two small ones, an illustration in each."""
    gap = min(room.width, room.height) * 0.032
    if room.width > room.height * 1.25:  # the small ones stand beside the large one
        small = (room.height - gap) / 2
        small_width = min(small * 1.1, room.width * 0.36)
        large = Box(room.x, room.y, min(room.width - small_width - gap, room.height * 1.55), room.height)
        shift = (room.width - large.width - gap - small_width) / 2
        x = room.x + shift
        large = replace(large, x=x + (small_width + gap if mirrored else 0))
        side_x = x if mirrored else large.right + gap
        tiles = [Box(side_x, room.y + i * (small + gap), small_width, small) for i in range(2)]
    else:
        large_height = (room.height - gap) * 0.62
        large = Box(room.x, room.y, room.width, large_height)
        small = (room.width - gap) / 2
        rest = room.height - gap - large_height
        tiles = [Box(room.x + i * (small + gap), large.bottom + gap, small, rest) for i in range(2)]
    return [
        Item("panel", large),
        *(Item("panel", tile, index=i + 1) for i, tile in enumerate(tiles)),
        Item("hero", large.at(0.5, 0.5, min(large.width, large.height) * 0.70)),
        *(
            Item("accent", tile.at(0.5, 0.5, min(tile.width, tile.height) * 0.62), (8.0, -8.0)[i], i)
            for i, tile in enumerate(tiles)
        ),
    ]


def _disc(room: Box, mirrored: bool) -> list[Item]:
    """A large bright disc behind the hero, the accents at its rim."""
    side = min(room.width, room.height)
    square = room.within(side, side)
    shift = min(room.width - side, side * 0.1) / 2 * (-1 if mirrored else 1)
    square = replace(square, x=square.x + shift)
    places = [(0.12, 0.80, -9.0), (0.90, 0.22, 10.0)]
    if mirrored:
        places = [(0.88, 0.80, 9.0), (0.10, 0.22, -10.0)]
    return [
        Item("disc", square.at(0.5, 0.5, side * 0.94)),
        Item("hero", square.at(0.5, 0.5, side * 0.62)),
        *(
            Item("accent", _inside(square.at(x, y, side * (0.25, 0.20)[i]), room), t, i)
            for i, (x, y, t) in enumerate(places)
        ),
    ]


def _polaroid(room: Box, mirrored: bool) -> list[Item]:
    """An instant photograph, slightly turned, the accents stuck on it."""
    height = min(room.height * 0.93, room.width * 1.02)
    width = height * 0.86
    frame = room.within(width, height)
    turn = 4.0 if mirrored else -4.0
    places = [(0.98, 0.80, 12.0), (0.02, 0.13, -10.0)]
    if mirrored:
        places = [(0.02, 0.80, -12.0), (0.98, 0.13, 10.0)]
    return [
        Item("polaroid", frame, turn),
        Item("hero", frame.at(0.5, 0.445, width * 0.62), turn),
        *(
            Item("accent", _inside(frame.at(x, y, width * (0.30, 0.23)[i]), room), t, i)
            for i, (x, y, t) in enumerate(places)
        ),
    ]


def _sheet(room: Box, mirrored: bool) -> list[Item]:
    """A slanted sheet of colour that runs off the picture, the hero large on it."""
    side = min(room.width, room.height)
    places = [(0.5 + 0.40 * side / room.width, 0.83, 9.0), (0.5 - 0.41 * side / room.width, 0.22, -11.0)]
    if mirrored:
        places = [(0.5 - 0.40 * side / room.width, 0.83, -9.0), (0.5 + 0.41 * side / room.width, 0.22, 11.0)]
    return [
        Item("sheet", room, -1.0 if mirrored else 1.0),
        Item("hero", room.at(0.5, 0.5, side * 0.70)),
        *(
            Item("accent", _inside(room.at(x, y, side * (0.25, 0.20)[i]), room), t, i)
            for i, (x, y, t) in enumerate(places)
        ),
    ]


def _cluster(room: Box, mirrored: bool) -> list[Item]:
    """Hero and accents close together without any frame, for cards whose title is the picture."""
    side = min(room.height, room.width / 1.58)
    first, second = side * 0.46, side * 0.36
    left = room.x if mirrored else room.right - side * 1.58
    hero = Box(left if mirrored else left + side * 0.58, room.y + (room.height - side) / 2, side, side)
    near, far = (hero.right + side * 0.08, hero.right + side * 0.20) if mirrored else (left + side * 0.04, left)
    turn = 1 if mirrored else -1
    return [
        Item("hero", hero),
        Item("accent", Box(near, hero.bottom - first * 1.04, first, first), 9.0 * turn, 0),
        Item("accent", Box(far, hero.y + side * 0.10, second, second), -10.0 * turn, 1),
    ]


ARTS: dict[str, Art] = {
    "panel": _panel,
    "orbit": _orbit,
    "bento": _bento,
    "disc": _disc,
    "polaroid": _polaroid,
    "sheet": _sheet,
    "headline": _cluster,
}
_CENTRED = frozenset({"orbit"})
_SQUARE_BESIDE = frozenset({"orbit", "disc", "polaroid", "sheet"})  # on a square canvas the art stands beside the text


def layout_name(brief: PictureBrief) -> str:
    """The layout of one scene: an opening title, a calm end, and between them no two neighbours alike."""
    inner = ["panel", "orbit", "bento", "disc", "polaroid", "sheet"]
    digest = hashlib.sha256(f"layout:{brief.seed}:{brief.film_title}".encode()).digest()
    order = sorted(inner, key=lambda name: digest[inner.index(name)])
    if brief.number == 1:
        return "headline" if brief.count > 1 else order[0]
    last = order[(brief.number - 2) % len(order)]
    return "headline" if brief.number == brief.count and brief.count > 3 else last


def compose(brief: PictureBrief, layout: str) -> Composition:
    """Place everything of one card. The boxes lie inside the canvas and, with captions, outside the caption band."""
    canvas = brief.canvas
    safe = safe_area(canvas, captions=brief.captions)
    title = clean(brief.title) or clean(brief.film_title) or f"{brief.number}"
    face = face_for(title, 800)
    title = shown(title, face) or f"{brief.number} / {max(brief.count, brief.number)}"
    mirrored = hashlib.sha256(f"{brief.seed}:{brief.number}:{title}".encode()).digest()[0] % 2 == 1
    beside = canvas.width > canvas.height or (canvas.width == canvas.height and layout in _SQUARE_BESIDE)
    if layout == "headline":
        room, text = _headline(brief, safe, title, face)
        art = ARTS[layout](room, face.right_to_left)
    elif beside:
        mirrored = face.right_to_left  # a text is read before the picture
        room, text = _beside(brief, safe, title, face, mirrored)
        art = ARTS[layout](room, mirrored)
    else:
        room, text = _stacked(brief, safe, title, face, centred=layout in _CENTRED)
        art = ARTS[layout](room, mirrored)
    if art[0].kind == "sheet":
        art = _bled(art, canvas, beside=beside, mirrored=mirrored)
    hero = next(item for item in art if item.kind == "hero")
    return Composition(layout, (*art, *text), hero.box.centre)


def safe_area(canvas: Canvas, *, captions: bool) -> Box:
    """The part of the canvas that nothing of a player or a phone app covers, without the caption band."""
    w, h, s = canvas.width, canvas.height, canvas.short_side
    side, top = (0.09, 0.085) if h > w else (0.075, 0.08) if h == w else (0.07, 0.10)
    band_top = canvas.caption_band[0]
    bottom = band_top - 0.028 * s if captions else h * (0.90 if h > w else 0.92)
    return Box(w * side, h * top, w * (1 - 2 * side), bottom - h * top)


def _stacked(brief: PictureBrief, safe: Box, title: str, face: Face, *, centred: bool) -> tuple[Box, list[Item]]:
    """Art above, text below; what is left over is spread above and below."""
    s = brief.canvas.short_side
    square = brief.canvas.width == brief.canvas.height
    gap = s * (0.042 if square else 0.058)
    text_height = safe.height * (0.46 if square else 0.36)
    largest = round(s * (0.078 if square else 0.097))
    align = "center" if centred else "right" if face.right_to_left else "left"
    items, used = _text(brief, Box(safe.x, 0, safe.width, text_height), title, face, largest, align)
    art_height = min(safe.height - used - gap, safe.width * 1.02)
    top = safe.y + (safe.height - art_height - gap - used) * 0.5
    room = Box(safe.x, top, safe.width, art_height)
    return room, [_moved(item, 0, room.bottom + gap) for item in items]


def _beside(brief: PictureBrief, safe: Box, title: str, face: Face, mirrored: bool) -> tuple[Box, list[Item]]:
    """Text and art side by side, the text centred on the height of the art."""
    s = brief.canvas.short_side
    square = brief.canvas.width == brief.canvas.height
    gap = s * (0.05 if square else 0.09)
    art_width = safe.width * 0.50 if square else min(safe.width * 0.50, safe.height * 1.12)
    text_width = safe.width - art_width - gap
    largest = round(s * (0.074 if square else 0.105))
    align = "right" if face.right_to_left else "left"
    items, used = _text(brief, Box(0, 0, text_width, safe.height), title, face, largest, align)
    text_x = safe.right - text_width if mirrored else safe.x
    text_y = safe.y + (safe.height - used) / 2
    art_x = safe.x if mirrored else safe.right - art_width
    art_height = min(safe.height, art_width * 1.15)
    room = Box(art_x, safe.y + (safe.height - art_height) / 2, art_width, art_height)
    return room, [_moved(item, text_x, text_y) for item in items]


def _headline(brief: PictureBrief, safe: Box, title: str, face: Face) -> tuple[Box, list[Item]]:
    """The title as large as it goes, the illustrations small below it (beside it on a wide canvas)."""
    s = brief.canvas.short_side
    align = "right" if face.right_to_left else "left"
    if brief.canvas.width > brief.canvas.height:
        art_width = safe.width * 0.42
        gap = s * 0.08
        width = safe.width - art_width - gap
        items, used = _text(brief, Box(0, 0, width, safe.height), title, face, round(s * 0.15), align)
        x = safe.x + (art_width + gap if face.right_to_left else 0)
        art_x = safe.x if face.right_to_left else safe.right - art_width
        height = min(safe.height, art_width * 0.64)
        room = Box(art_x, safe.y + (safe.height - height) / 2, art_width, height)
        return room, [_moved(item, x, safe.y + (safe.height - used) / 2) for item in items]
    square = brief.canvas.width == brief.canvas.height
    gap = s * (0.05 if square else 0.10)
    share = 0.58 if square else 0.56
    largest = round(s * (0.115 if square else 0.148))
    items, used = _text(brief, Box(safe.x, 0, safe.width, safe.height * share), title, face, largest, align)
    art_height = min(safe.height - used - gap, safe.width * 0.60)
    top = safe.y + (safe.height - used - gap - art_height) * 0.45
    room = Box(safe.x, top + used + gap, safe.width, art_height)
    return room, [_moved(item, 0, top) for item in items]


def _text(
    brief: PictureBrief, column: Box, title: str, face: Face, largest: int, align: str
) -> tuple[list[Item], float]:
    """Chip, title and rule in a column that begins at y 0; and the height they take, px."""
    s = brief.canvas.short_side
    chip = _chip(brief, column, align)
    above = chip.box.height + s * 0.034
    rule_gap, rule_height = s * 0.032, max(3.0, s * 0.0105)
    setting = fit(
        title, face, column.width, column.height - above - rule_gap - rule_height, largest, round(largest * 0.52)
    )
    width = min(setting.width, column.width)
    box = Box(_start(column, width, align), above, width, setting.height)
    rule_width = s * 0.135
    rule = Box(_start(column, rule_width, align), box.bottom + rule_gap, rule_width, rule_height)
    items = [chip, Item("title", box, lines=setting.lines, setting=setting, align=align), Item("rule", rule)]
    return items, rule.bottom


def _chip(brief: PictureBrief, column: Box, align: str) -> Item:
    """The small pill above the title: the film's name and the number of the scene."""
    s = brief.canvas.short_side
    size = max(11, round(s * 0.0305))
    number = f"{brief.number:02d}"
    film = clean(brief.film_title).upper()
    face = face_for(film or number, 640)
    film = shown(film, face)
    padding = s * 0.084  # the dot and the round ends
    room = column.width - padding - face.width(f" · {number}", size)
    if clean(brief.title) == clean(brief.film_title) or face.width(film, size) > room:
        film = ""
    words = f"{film} · {number}" if film else f"{number} / {max(brief.count, brief.number):02d}"
    setting = Setting((words,), size, face)
    width = setting.width + padding
    height = s * 0.060
    return Item(
        "chip", Box(_start(column, width, align), 0.0, width, height), lines=(words,), setting=setting, align=align
    )


def _start(column: Box, width: float, align: str) -> float:
    """The left edge of something `width` px wide in the column."""
    free = column.width - width
    return column.x + {"left": 0.0, "center": free / 2, "right": free}[align]


def _moved(item: Item, dx: float, dy: float) -> Item:
    """The item elsewhere."""
    return replace(item, box=replace(item.box, x=item.box.x + dx, y=item.box.y + dy))


def _bled(art: list[Item], canvas: Canvas, *, beside: bool, mirrored: bool) -> list[Item]:
    """The sheet stretched over the edges of the canvas (above and to one side or both), the rest centred on it."""
    sheet, *rest = art
    bleed = canvas.short_side * 0.05
    bottom = sheet.box.bottom + (0.0 if beside else canvas.short_side * 0.012)
    left = 0.0 if not beside or mirrored else sheet.box.x
    right = sheet.box.right if beside and mirrored else float(canvas.width)
    dx = (left + right) / 2 - sheet.box.centre[0]
    dy = (canvas.height * 0.03 + bottom) / 2 - sheet.box.centre[1]
    x0 = left - bleed if left == 0 else left
    x1 = right + bleed if right == canvas.width else right
    whole = replace(sheet, box=Box(x0, -bleed, x1 - x0, bottom + bleed), index=int(beside))
    return [whole, *(_moved(item, dx, dy) for item in rest)]


def _inside(box: Box, room: Box) -> Box:
    """The box pushed into the room."""
    x = min(max(box.x, room.x), room.right - box.width)
    y = min(max(box.y, room.y), room.bottom - box.height)
    return replace(box, x=x, y=y)

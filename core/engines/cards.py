"""Illustrated cards: a scene's title and pictures drawn from its words, its palette and a seed, without any model."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from core.engine_ports import PictureBrief, Report
from core.engines import cards_paint as paint
from core.engines.cards_layouts import ARTS, Composition, Item, compose, layout_name
from core.engines.cards_palettes import PALETTES, STYLES, Palette, palette_name
from core.engines.cards_shelf import Shelf
from core.engines.cards_text import clean
from core.engines.fonts import missing_sentence
from core.engines.illustrations import choose, telling
from core.errors import of_system
from core.identity import digest
from core.media.layers import Layer, Role, merge

__all__ = ["ARTS", "STYLES", "CardPictures"]

_KEPT = 3  # cards whose layers are remembered: a clip follows its picture, a fade needs both its neighbours
_DEPTHS = {"panel": 0.35, "disc": 0.35, "sheet": 0.0, "polaroid": 0.45, "orbit": 0.40, "hero": 0.7, "accent": 1.0}


class CardPictures:
    """The picture engine without a model: what an illustrator would put on a slide."""

    id = "cards"
    version = "1"
    suffix = ".jpg"

    def __init__(self, shelf: Shelf | None = None) -> None:
        """shelf: where other processes find what this one painted, and the other way round."""
        self._shelf = shelf
        self._kept: OrderedDict[PictureBrief, list[Layer]] = OrderedDict()
        self._drawing = threading.Lock()  # fades are made side by side and share cards: each is drawn once

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write the card as JPEG. Facts: width, height, palette, layout, illustrations, warnings (sentences).

        Raises MissingToolError when the file cannot be written.
        """
        pixels = merge(self.layers(brief), brief.canvas)
        try:
            Image.fromarray(pixels).save(out, "JPEG", quality=92, subsampling=0)
        except OSError as error:
            raise of_system(error) from error
        report(1.0)
        return {
            "width": brief.canvas.width,
            "height": brief.canvas.height,
            "palette": _palette_name(brief),
            "layout": layout_name(brief),
            "illustrations": list(illustrations(brief)),
            "warnings": _warnings(brief),
        }

    def layers(self, brief: PictureBrief) -> list[Layer]:
        """The card in layers, the farthest first; the last few cards are remembered."""
        with self._drawing:
            if brief in self._kept:
                self._kept.move_to_end(brief)
                return self._kept[brief]
            layers = self._shelved(brief)
            self._kept[brief] = layers
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return layers

    def _shelved(self, brief: PictureBrief) -> list[Layer]:
        """The layers from the shelf, else painted, and put there."""
        key = digest("card", self.version, asdict(brief))
        layers = self._shelf.take(key) if self._shelf else None
        if layers is None:
            layers = _paint(brief, compose(brief, layout_name(brief)), _palette_name(brief), illustrations(brief))
            if self._shelf:
                self._shelf.put(key, layers)
        return layers


def _warnings(brief: PictureBrief) -> list[str]:
    """What a viewer could not read, on the card or in the captions over it; a sentence each."""
    texts = (brief.title, brief.narration if brief.captions else "")
    return sorted({sentence for text in texts if (sentence := missing_sentence(clean(text)))})


def illustrations(brief: PictureBrief) -> tuple[str, str, str]:
    """Hero and accents of one scene.

    A film's scenes speak of the same things, and none knows its neighbours. So the film's own emblem (the hero of
    its title) is hero only in every third scene, and every second scene takes its second best where the words give one.
    """
    emblem = choose("", brief.film_title, "", brief.language, (), brief.seed)[0]
    sure = telling(brief.prompt, brief.title, brief.narration, brief.language)
    avoid = {emblem} if brief.number % 3 != 1 else set()
    if brief.number % 2 == 0:
        avoid |= set([e for e in sure if e not in avoid][:1])
    if sure and avoid >= set(sure):
        avoid = {emblem} - {sure[0]}
    return choose(brief.prompt, brief.title, brief.narration, brief.language, avoid, brief.seed + brief.number)


def _palette_name(brief: PictureBrief) -> str:
    """The palette of the film this scene belongs to."""
    return palette_name(brief.style, brief.film_title, brief.language, brief.seed)


def _paint(brief: PictureBrief, composition: Composition, name: str, pictures: tuple[str, str, str]) -> list[Layer]:
    """Every item of the composition as a layer, over ground and lines."""
    canvas, palette = brief.canvas, PALETTES[name]
    digest = hashlib.sha256(f"{brief.seed}:{brief.number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    texts = [item.box for item in composition.items if item.kind in {"title", "chip"}]
    middle = (canvas.width / 2, canvas.height / 2)
    ground = paint.ground(canvas, palette, composition.focus, texts, seed, captions=brief.captions)
    rings = paint.lines(canvas, palette, composition.focus, seed)
    layers = [
        Layer(Role.GROUND, ground, 1 / paint.GROUND_STEP, *middle, 0.0),
        Layer(Role.LINES, rings, 1.0, *middle, 0.15),
    ]
    return layers + [_layer(item, palette, float(canvas.short_side), pictures) for item in composition.items]


def _layer(item: Item, palette: Palette, s: float, pictures: tuple[str, str, str]) -> Layer:
    """One item painted."""
    role, density = Role.PANEL, 1.0
    match item.kind:
        case "hero":
            role = Role.HERO
            pixels = paint.picture_of(pictures[0], item.box.width, item.tilt, density, palette, s)
        case "accent":
            role, density = Role.ACCENT, 1.2
            pixels = paint.picture_of(pictures[1 + item.index], item.box.width, item.tilt, density, palette, s)
        case "title":
            role, pixels = Role.TEXT, paint.title(item, palette)
        case "chip":
            role, pixels = Role.TEXT, paint.chip(item, palette, s)
        case "rule":
            role, pixels = Role.TEXT, paint.rule(item, palette)
        case "sheet":
            pixels = paint.sheet(item.box, palette, s, item.tilt, beside=bool(item.index))
        case "polaroid":
            pixels = paint.polaroid(item.box, palette, s, item.tilt)
        case "disc":
            pixels = paint.disc(item.box, palette, s)
        case "orbit":
            pixels = paint.orbit(item.box, palette, s)
        case _:
            pixels = paint.glass(item.box, palette, s)
    x, y = item.box.centre
    if role in {Role.TEXT, Role.PANEL}:  # on whole px, even ones for the half-size planes: edges stay crisp
        height, width = pixels.shape[:2]
        x, y = 2 * round((x - width / 2) / 2) + width / 2, 2 * round((y - height / 2) / 2) + height / 2
    return Layer(role, pixels, density, x, y, _DEPTHS.get(item.kind, 0.0))

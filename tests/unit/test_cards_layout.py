"""Boxes of cards: over all layouts, aspects and nasty titles nothing is cut and nothing overlaps."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.documents import ASPECTS, Canvas
from core.engine_ports import PictureBrief
from core.engines import fonts
from core.engines.cards_layouts import ARTS, Box, Composition, Item, compose, layout_name
from core.engines.cards_palettes import PALETTES, STYLES, palette_name
from core.engines.cards_text import clean
from core.media.layers import DRIFT

TEXTS = {"chip", "title", "rule"}
PICTURES = {"hero", "accent"}
NASTY = [
    "A",
    "How volcanoes work",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "W" * 60,
    "The quick brown fox jumps over the lazy dog and then keeps running for a very, very long time through it all",
    "i i i i i i i i i i i i i i i i i i i",
    "كيف تعمل البراكين في أعماق الأرض",
    "火山はどのように噴火するのか、そしてなぜ",
    "🌋🌋🌋",
    "  \n\t  ",
    "a\u0000b\u202ec",
]


def brief(canvas: Canvas, title: str, *, captions: bool = True, number: int = 2, film: str = "A film") -> PictureBrief:
    return PictureBrief(canvas, number, 6, film, title, "", "", "en", "auto", 1, captions)


def grown(box: Box, by: float) -> Box:
    return Box(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by)


def check(composition: Composition, canvas: Canvas, *, captions: bool) -> None:
    drift = DRIFT * canvas.short_side
    band_top, band_bottom = canvas.caption_band
    band = Box(0, band_top, canvas.width, band_bottom - band_top)
    texts = [item for item in composition.items if item.kind in TEXTS]
    pictures = [item for item in composition.items if item.kind in PICTURES]
    assert [item.kind for item in texts] == ["chip", "title", "rule"]
    assert sorted(item.kind for item in pictures) == ["accent", "accent", "hero"]
    for item in composition.items:
        room = item.box if item.kind in TEXTS else grown(item.box, drift)
        if item.kind != "sheet":  # a sheet runs off the picture on purpose
            assert room.x >= 0 and room.y >= 0, item
            assert room.right <= canvas.width and room.bottom <= canvas.height, item
        if captions:
            assert not room.overlaps(band), item
    for text in texts:
        for other in composition.items:
            if other.kind not in TEXTS:
                assert not text.box.overlaps(grown(other.box, drift * 0.5)), (text, other)
    for one, other in combinations(texts, 2):
        assert not one.box.overlaps(other.box)
    for text in texts[:2]:
        assert_lines_fit(text)


def assert_lines_fit(item: Item) -> None:
    assert item.setting is not None
    assert item.lines
    widest = max(item.setting.face.width(line, item.setting.size) for line in item.lines)
    assert widest <= item.box.width + 1
    assert item.setting.height <= item.box.height + 1


def letters(text: str) -> str:
    return "".join(c for c in text if not c.isspace() and c != "-")


@pytest.mark.parametrize("captions", [True, False], ids=["captions", "no-captions"])
@pytest.mark.parametrize("short_side", [360, 720, 1080])
@pytest.mark.parametrize("aspect", list(ASPECTS))
@pytest.mark.parametrize("layout", list(ARTS))
def test_nothing_is_cut_or_overlapping(layout: str, aspect: str, short_side: int, captions: bool) -> None:
    canvas = Canvas.of(aspect, short_side)
    for title in NASTY:
        composition = compose(brief(canvas, title, captions=captions), layout)
        check(composition, canvas, captions=captions)


@given(
    title=st.text(max_size=90),
    film=st.text(max_size=60),
    layout=st.sampled_from(list(ARTS)),
    aspect=st.sampled_from(list(ASPECTS)),
    short_side=st.sampled_from([360, 480, 720, 1080]),
    captions=st.booleans(),
    number=st.integers(1, 300),
)
@settings(max_examples=120, deadline=None)
def test_no_title_whatever_is_cut(
    title: str, film: str, layout: str, aspect: str, short_side: int, captions: bool, number: int
) -> None:
    canvas = Canvas.of(aspect, short_side)
    composition = compose(brief(canvas, title, captions=captions, number=number, film=film), layout)
    check(composition, canvas, captions=captions)
    shown = next(item for item in composition.items if item.kind == "title")
    assert shown.setting is not None
    if shown.setting.face.covered:
        wanted = clean(title) or clean(film) or str(number)
        assert letters("".join(shown.lines)) == letters(wanted)


def test_a_long_word_is_hyphenated_rather_than_tiny() -> None:
    canvas = Canvas.of("9:16", 1080)
    title = "Weltmeisterschaftsqualifikationsturniere"
    shown = next(item for item in compose(brief(canvas, title), "panel").items if item.kind == "title")
    assert shown.setting is not None
    assert shown.setting.size >= 50
    assert all(line.endswith("-") for line in shown.lines[:-1])
    assert all(len(line) >= 5 for line in shown.lines)


def test_letters_that_no_font_has_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_system_files", lambda: ())
    fonts._system_font.cache_clear()
    title = "AlphaGo 李世乭 2016"
    items = {item.kind: item for item in compose(brief(Canvas.of("1:1", 720), title), "panel").items}
    fonts._system_font.cache_clear()
    assert " ".join(items["title"].lines) == "AlphaGo 2016"
    assert "李世乭" in fonts.missing_sentence(title)
    assert fonts.missing_sentence("Größe, Ж, Ω") == ""


def test_an_arabic_title_begins_at_the_right() -> None:
    canvas = Canvas.of("16:9", 720)
    items = {item.kind: item for item in compose(brief(canvas, "كيف تعمل البراكين"), "panel").items}
    assert items["title"].align == "right"
    assert items["hero"].box.right < items["title"].box.x


def test_neighbouring_scenes_never_share_a_layout_and_a_film_opens_with_its_title() -> None:
    canvas = Canvas.of("9:16", 1080)
    for seed in range(30):
        names = [
            layout_name(PictureBrief(canvas, n, 9, "Film", "T", "", "", "en", "auto", seed, True)) for n in range(1, 10)
        ]
        assert names[0] == "headline"
        assert all(one != other for one, other in pairwise(names))
        assert len(set(names)) >= 6


def test_a_film_keeps_one_palette_and_auto_fits_its_matter() -> None:
    assert set(STYLES) == {"auto", *PALETTES}
    assert len(PALETTES) >= 8
    assert sum(palette.light for palette in PALETTES.values()) >= 2
    chosen = {palette_name("auto", "The moon and the planets", "en", seed) for seed in range(40)}
    assert chosen == {"midnight", "aurora", "orchid"}
    assert palette_name("gold", "The moon", "en", 3) == "gold"
    assert palette_name("no such style", "The moon", "en", 3) in PALETTES

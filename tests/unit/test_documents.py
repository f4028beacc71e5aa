"""Documents, the schema and the geometry agree."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import schema
from core.documents import ASPECTS, SHORT_SIDES, Asset, Canvas, Options, Scene, SceneSpec, Storyboard, Video

SYSTEM = {"id", "created_at", "updated_at"}


@pytest.mark.parametrize(("table", "document"), [("videos", Video), ("scenes", Scene)])
def test_a_document_has_exactly_the_columns_of_its_table(table: str, document: type[Video] | type[Scene]) -> None:
    assert {f.name for f in fields(document)} - SYSTEM == set(schema.columns(table))


def test_an_asset_has_exactly_the_columns_of_its_table() -> None:
    assert {f.name for f in fields(Asset)} - {"id", "updated_at"} | {"writer"} == set(schema.columns("assets"))


def test_no_column_is_named_data_because_the_sdk_would_swallow_it() -> None:
    assert all("data" not in schema.columns(t["$id"]) for t in schema.schema()["tables"])


def test_a_row_fits_the_width_of_a_real_server() -> None:
    """Strings of 16 384 characters and more are kept off-row; the rest counts four bytes a character."""
    for table in schema.schema()["tables"]:
        wide = sum(4 * size for c in table["columns"] if (size := c.get("size", 2)) < 16_384)
        assert wide < 60_000, table["$id"]


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("short_side", SHORT_SIDES)
def test_a_canvas_has_even_sides_and_its_caption_band_inside(aspect: str, short_side: int) -> None:
    canvas = Canvas.of(aspect, short_side)
    top, bottom = canvas.caption_band

    assert canvas.short_side == short_side
    assert canvas.width % 2 == canvas.height % 2 == 0
    assert canvas.height * 0.75 < top < bottom < canvas.height


@given(st.builds(Options, seed=st.integers(0, 2**31 - 1), title=st.text(max_size=40), speed=st.floats(0.5, 2)))
def test_options_survive_their_column(options: Options) -> None:
    assert Options.from_json(options.to_json()) == options


def test_options_of_another_version_are_still_read() -> None:
    assert Options.from_json('{"aspect":"1:1","gone":true}') == Options(aspect="1:1")


@given(st.text(max_size=30), st.text(max_size=60))
def test_a_storyboard_survives_its_asset(title: str, narration: str) -> None:
    board = Storyboard(title, (SceneSpec(1, title, narration, "a hill", "cards"),), "paragraphs", ("careful",))

    assert Storyboard.from_json(board.to_json()) == board


def test_an_empty_column_is_the_default_of_its_field() -> None:
    row = {"$id": "v", "$updatedAt": "t", "$createdAt": "t", "status": "queued", "script": None, "eta_seconds": None}

    video = Video.from_row(row)

    assert video.script == ""
    assert video.eta_seconds is None

"""Cards that are painted once for all processes of a renderer, and again whenever the shelf cannot give them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.engines import cards
from core.engines.cards import CardPictures
from core.engines.cards_shelf import Shelf
from core.media.layers import Layer, Role
from tests.contract.test_cards import brief


def same(one: list[Layer], other: list[Layer]) -> bool:
    """Whether two cards are alike to the last bit."""
    return len(one) == len(other) and all(
        (a.role, a.density, a.x, a.y, a.depth, a.pixels.dtype) == (b.role, b.density, b.x, b.y, b.depth, b.pixels.dtype)
        and np.array_equal(a.pixels, b.pixels)
        for a, b in zip(one, other, strict=True)
    )


def sheet(pixels: int) -> list[Layer]:
    """A card of so many bytes."""
    return [Layer(Role.TEXT, np.zeros((1, pixels), np.uint8), 1.0, 0.5, 0.5, 0.0)]


def test_a_card_that_another_process_painted_is_not_painted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = CardPictures(Shelf(tmp_path / "cards")).layers(brief())

    def paint(*_: object) -> list[Layer]:
        raise AssertionError("it is painted again")

    monkeypatch.setattr(cards, "_paint", paint)

    assert same(CardPictures(Shelf(tmp_path / "cards")).layers(brief()), painted)


def cut(path: Path) -> None:
    """Half of it is gone."""
    os.truncate(path, path.stat().st_size // 2)


def garbled(path: Path) -> None:
    """It is something else."""
    path.write_bytes(b"\x93NUMPY\x01\x00" + b"?" * 200)


@pytest.mark.parametrize("broken", [Path.unlink, cut, garbled, lambda path: path.write_bytes(b"")])
def test_a_card_that_is_lost_or_broken_is_painted_again(broken: Callable[[Path], None], tmp_path: Path) -> None:
    painted = CardPictures(Shelf(tmp_path)).layers(brief())
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    broken(path)

    assert same(CardPictures(Shelf(tmp_path)).layers(brief()), painted)
    assert path.read_bytes() == whole


def test_cards_of_other_scenes_are_other_cards(tmp_path: Path) -> None:
    engine = CardPictures(Shelf(tmp_path))
    assert not same(engine.layers(brief()), engine.layers(brief(number=3)))
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_not_used_for_longest_is_thrown_out(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, most_bytes=3000)
    for minute, key in enumerate(("first", "second")):
        shelf.put(key, sheet(1000))
        os.utime(tmp_path / f"{key}.layers", (60 * minute, 60 * minute))
    assert shelf.take("first")

    shelf.put("third", sheet(1000))

    assert [shelf.take(key) is None for key in ("first", "second", "third")] == [False, True, False]


def test_a_shelf_without_a_place_costs_nobody_a_card(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    engine = CardPictures(Shelf(tmp_path / "file" / "cards"))
    assert same(engine.layers(brief()), CardPictures().layers(brief()))

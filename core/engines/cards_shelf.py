"""Painted cards in a folder: the render processes of one machine paint each card once between them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.media.layers import Layer, Role

_MOST_BYTES = 256_000_000  # about thirty cards of 1080x1920


class Shelf:
    """The layers of the cards that were used last. Whatever goes wrong with it, a card is only painted again."""

    def __init__(self, folder: Path, most_bytes: int = _MOST_BYTES) -> None:
        """folder: of this shelf alone; made when it is needed."""
        self._folder, self._most_bytes = folder, most_bytes

    def take(self, key: str) -> list[Layer] | None:
        """The layers that were put here under this key, if they still are."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                places = json.loads(str(np.load(file)))
                layers = [
                    Layer(Role(role), np.load(file), density, x, y, depth) for role, density, x, y, depth in places
                ]
            os.utime(path)
        except (OSError, EOFError, ValueError):  # never put here, thrown out, or broken
            return None
        return layers

    def put(self, key: str, layers: Sequence[Layer]) -> None:
        """Keep layers; those that were not used for longest are thrown out for them."""
        part = self._folder / f"{key}.{secrets.token_hex(4)}.part"
        with contextlib.suppress(OSError):
            try:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                with part.open("wb") as file:
                    places = [(layer.role, layer.density, layer.x, layer.y, layer.depth) for layer in layers]
                    np.save(file, np.array(json.dumps(places)))
                    for layer in layers:
                        np.save(file, layer.pixels)
                part.replace(self._path(key))
                self._make_room()
            finally:
                part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.layers"

    def _make_room(self) -> None:
        """Other processes do the same at the same time."""
        kept = []
        for path in self._folder.glob("*.layers"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                kept.append((stat.st_mtime_ns, stat.st_size, path))
        too_much = sum(size for _, size, _ in kept) - self._most_bytes
        for _, size, path in sorted(kept)[:-1]:  # the newest stays in any case
            if too_much <= 0:
                break
            path.unlink(missing_ok=True)
            too_much -= size

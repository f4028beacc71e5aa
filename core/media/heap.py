"""Keeps a long-lived process small: what large temporary arrays leave behind goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)


@cache
def _libc() -> Any:
    """The C library where it is glibc, else None: others return memory by themselves or cannot be asked."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") else None


def share_one_arena() -> None:
    """Let all threads of this process allocate from one heap; to be called before they are started.

    Each thread gets an arena of its own otherwise, and none of them gives back what a picture took: two hundred
    megabytes per render process.
    """
    if _libc():
        _libc().mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Return free memory to the system; takes some milliseconds, so once per scene, not per frame."""
    if _libc():
        _libc().malloc_trim(0)

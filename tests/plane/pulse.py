"""Waiting inside the plane's loop for a condition, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Pulse:
    """Lets coroutines of one loop wait until something they ask for has become true."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Something has changed: all who wait look again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, ready: Callable[[], T | None], seconds: float) -> T | None:
        """What `ready` gives once it gives anything but None, or after `seconds` whatever it gives then."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (value := ready()) is None and (left := end - loop.time()) > 0:
            future = loop.create_future()
            self._waiting.add(future)
            await asyncio.wait([future], timeout=left)
            self._waiting.discard(future)
        return value

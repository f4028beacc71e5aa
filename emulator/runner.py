"""Keeps a pool of warm child processes per function and hands executions to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from emulator.pool import Pool
from emulator.programs import Call, Outcome, Program


class Runner:
    """One pool per function; a function whose program changed gets a new pool while the old one finishes."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._pools: dict[str, Pool] = {}
        self._retired: set[Pool] = set()

    async def run(
        self, function_id: str, program: Program, call: Call, on_start: Callable[[], None] | None = None
    ) -> Outcome:
        """Runs one execution to its end, whatever that is; `on_start` is called when its code begins.

        A cancelled waiter leaves a started execution running.
        """
        return await self._pool(function_id, program).submit(call, on_start)

    def warm(self, function_id: str, program: Program) -> None:
        """Starts the function's children before the first execution needs them."""
        self._pool(function_id, program).fill()

    def keep_only(self, function_ids: Collection[str]) -> None:
        """Functions not named are gone or have no code: their children finish and end."""
        for function_id in [known for known in self._pools if known not in function_ids]:
            self._retire(self._pools.pop(function_id))

    async def close(self) -> None:
        """Kills all children."""
        pools = [*self._pools.values(), *self._retired]
        self._pools.clear()
        await asyncio.gather(*(pool.close() for pool in pools))

    def _pool(self, function_id: str, program: Program) -> Pool:
        pool = self._pools.get(function_id)
        if pool is not None and pool.program == program:
            return pool
        fresh = self._pools[function_id] = Pool(program, self._size)
        if pool is not None:
            fresh.adopt(pool.take_waiting())
            self._retire(pool)
        return fresh

    def _retire(self, pool: Pool) -> None:
        self._retired = {old for old in self._retired if old.is_busy()}
        self._retired.add(pool)
        pool.retire()

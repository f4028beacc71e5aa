"""Jobs done in threads of this very process, for tests and for trying things out."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from core.ports import CallState, Job

log = logging.getLogger(__name__)


class InlineDispatcher:
    """Implements ports.Dispatcher without any renderer. `run` does one job; it is set after construction."""

    id = "inline"

    def __init__(self, parallel_calls: int) -> None:
        self.parallel_calls, self.scenes_per_call = parallel_calls, 0
        self.run: Callable[[Job], None] | None = None
        self._pool = ThreadPoolExecutor(parallel_calls, thread_name_prefix="inline")
        self._calls: dict[str, Future[None]] = {}

    def submit(self, job: Job) -> str:
        """See ports.Dispatcher."""
        if self.run is None:
            raise RuntimeError("the inline dispatcher has no one to run jobs")
        call_id = f"inline-{secrets.token_hex(8)}"
        self._calls[call_id] = self._pool.submit(self.run, job)
        return call_id

    def status(self, call_id: str) -> CallState:
        """See ports.Dispatcher."""
        call = self._calls.get(call_id)
        if call is None:
            return CallState.LOST
        if not call.done():
            return CallState.PENDING if call.running() else CallState.WAITING
        return CallState.FAILED if call.cancelled() or call.exception() else CallState.DONE

    def cancel(self, call_id: str) -> None:
        """See ports.Dispatcher. A call that runs finds out by itself: every renderer re-reads its video."""
        call = self._calls.get(call_id)
        if call is not None:
            call.cancel()

    def wait(self, seconds: float) -> None:
        """Wait until every call ended that was not cancelled. Raises the first error of a call."""
        for call in list(self._calls.values()):
            if not call.cancelled():
                call.result(timeout=seconds)

"""Runs source that nobody vouches for in the isolated app of modal_app.py, one container for each run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import EngineError, UnavailableError

RUN = "run_source"  # as modal_app.py names it
_LOOK_SECONDS = 2.0
_START_SECONDS = 180.0  # that a container may take to begin


def app_of(app: str) -> str:
    """The app beside `app` in which there is nothing to find."""
    return f"{app}-isolated"


class ModalIsolated:
    """Calls `core.isolated.run_source` where modal_app.py has put it."""

    def __init__(self, app: str) -> None:
        """`app`: of the renderer; Modal is not asked yet."""
        self._app = app_of(app)

    def __call__(self, request: Mapping[str, Any], tick: Callable[[], None]) -> Mapping[str, Any]:
        """The answer of `core.isolated.run_source`.

        Args:
            request: its argument, with "wall_seconds".
            tick: called every two seconds; what it raises ends the run and is raised on.

        Raises:
            UnavailableError: Modal cannot be asked, or has no such app.
            EngineError: the container ended without an answer, or took too long.
        """
        import modal

        try:
            call = modal.Function.from_name(self._app, RUN).spawn(dict(request))
        except modal.exception.NotFoundError as error:
            raise UnavailableError(
                f"Modal has no app {self._app!r}: run `modal deploy -m modal_app::isolated_app`.",
                code="modal_app_missing",
            ) from error
        except Exception as error:
            raise UnavailableError(f"Modal refused the run ({type(error).__name__}).", code="modal_refused") from error
        try:
            return self._answer(call, float(request["wall_seconds"]) + _START_SECONDS, tick)
        except BaseException:
            with contextlib.suppress(Exception):  # it ends by itself, within its own limit
                call.cancel(terminate_containers=True)
            raise

    def _answer(self, call: Any, seconds: float, tick: Callable[[], None]) -> Mapping[str, Any]:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            tick()
            try:
                answer: Mapping[str, Any] = call.get(timeout=_LOOK_SECONDS)
            except TimeoutError:  # the builtin one: it still runs
                continue
            except Exception as error:
                sentence = f"The container of the scene's program ended ({type(error).__name__})."
                raise EngineError(sentence, code="isolated_ended", retryable=True) from error
            return answer
        raise EngineError("The container of the scene's program did not answer in time.", code="isolated_late")

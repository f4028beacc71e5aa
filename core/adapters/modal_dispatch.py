"""Jobs for Modal: spawned by name with ids only, asked after by call id, every outcome in our words."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from core.errors import BusyError, ScenewrightError, UnavailableError
from core.ports import CallState, Job
from core.settings import Settings

T = TypeVar("T")

RENDERER, RENDER, COMPOSE = "Renderer", "render", "compose"  # as modal_app.py names them
_CALL_PREFIX = "fc-"  # of every call id Modal gives
_SECONDS = 10.0  # the client alone would try for a minute to reach a server that is not there
_THROTTLE_SECONDS = "5"  # the client alone would wait for ever when Modal asks it to slow down


class ModalDispatcher:
    """Implements ports.Dispatcher for the app of modal_app.py.

    The client reads the token, the environment and its server from MODAL_TOKEN_ID, MODAL_TOKEN_SECRET,
    MODAL_ENVIRONMENT and MODAL_SERVER_URL itself, or, where these are not set, from the file of `modal setup`.

    A spawn carries a key of its own through all the tries of one submit, so a lost reply makes no second call. When a
    submit is given up, its call may still begin: the next hand-out is a newer attempt, and the stray stops.
    """

    id = "modal"

    def __init__(self, settings: Settings) -> None:
        self.parallel_calls, self.scenes_per_call = settings.modal_calls, settings.modal_scenes_per_call
        self._app = settings.modal_app

    def submit(self, job: Job) -> str:
        """See ports.Dispatcher."""
        body = {"kind": job.kind, "video_id": job.video_id, "attempt": job.attempt, "scenes": list(job.scenes)}
        try:
            return within_seconds(_spawn(self._app, body))
        except Exception as error:
            raise explained(error, self._app) from error

    def status(self, call_id: str) -> CallState:
        """See ports.Dispatcher."""
        if not call_id.startswith(_CALL_PREFIX):
            return CallState.LOST  # another renderer's, from before this one was chosen
        try:
            return within_seconds(_state(call_id))
        except Exception:
            return CallState.UNKNOWN

    def cancel(self, call_id: str) -> None:
        """See ports.Dispatcher. The call's container ends too, so that it costs nothing from then on."""
        if not call_id.startswith(_CALL_PREFIX):
            return
        try:
            within_seconds(_cancel(call_id))
        except Exception:
            return  # it will find out by itself: every renderer re-reads its video


def within_seconds(asked: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
    """Ask Modal, for ten seconds at most unless more are given. Raises TimeoutError and what the client raises."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds or _SECONDS):
            return await asked

    return asyncio.run(bounded())


def modal_client() -> Any:
    """Modal's package, imported when somebody first needs it: half a second, and only this renderer does."""
    os.environ.setdefault("MODAL_MAX_THROTTLE_WAIT", _THROTTLE_SECONDS)
    import modal

    return modal


async def _spawn(app: str, body: dict[str, Any]) -> str:
    modal = modal_client()
    if body["kind"] == RENDER:
        target = modal.Cls.from_name(app, RENDERER)().render
    else:
        target = modal.Function.from_name(app, COMPOSE)
    call = await target.spawn.aio(body)
    return str(call.object_id)


async def _state(call_id: str) -> CallState:
    """What Modal says of a call. Raises what the client raises when it cannot ask, and TimeoutError."""
    modal = modal_client()
    from grpclib.exceptions import GRPCError

    call = modal.FunctionCall.from_id(call_id)
    try:
        result = await call.get.aio(timeout=0)
    except TimeoutError:  # the builtin one, as get raises it; Modal's own class of that name is another
        return await _waiting_or_pending(call)
    except (modal.exception.OutputExpiredError, modal.exception.NotFoundError):
        return CallState.LOST
    except (modal.exception.ConnectionError, modal.exception.ClientClosed, GRPCError, OSError):
        return CallState.UNKNOWN
    except Exception:  # the call's own error, its container's death, its time
        return CallState.FAILED
    return CallState.FAILED if isinstance(result, dict) and result.get("state") == "failed" else CallState.DONE


async def _waiting_or_pending(call: Any) -> CallState:
    """Whether a call that has not ended was begun. Modal tells that as best it can; in doubt, it was."""
    try:
        graph = await call.get_call_graph.aio()
    except Exception:
        return CallState.PENDING
    nodes = list(graph)
    for node in nodes:  # a join is spawned by a render: the graph holds both
        nodes.extend(node.children)
    own = [node for node in nodes if node.function_call_id == call.object_id]
    return CallState.WAITING if own and not any(node.task_id for node in own) else CallState.PENDING


async def _cancel(call_id: str) -> None:
    await modal_client().FunctionCall.from_id(call_id).cancel.aio(terminate_containers=True)


def explained(error: Exception, app: str) -> ScenewrightError:
    """What a person can do about a submit that failed; the client's own message may hold a token and is not shown."""
    known = modal_client().exception
    if isinstance(error, TimeoutError):
        return UnavailableError(f"Modal did not answer within {_SECONDS:g} seconds.", code="modal_silent")
    if isinstance(error, known.ResourceExhaustedError):
        return BusyError("Modal takes no more work for the moment.", code="modal_busy")
    if isinstance(error, (known.AuthError, known.PermissionDeniedError)):
        return UnavailableError(
            "Modal does not accept the token: set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET; `modal token new` makes both.",
            code="modal_token",
        )
    if isinstance(error, known.NotFoundError):
        place = os.environ.get("MODAL_ENVIRONMENT", "")
        where = f"environment {place[:64]!r}" if place else "default environment"
        return UnavailableError(
            f"Modal has no app {app!r} in its {where}: run `modal deploy -m modal_app`, or set MODAL_ENVIRONMENT.",
            code="modal_app_missing",
        )
    if isinstance(error, (known.ConnectionError, known.ClientClosed, OSError)):
        return UnavailableError("Modal cannot be reached.", code="modal_silent")
    return UnavailableError(f"Modal refused the work ({type(error).__name__}).", code="modal_refused")

"""gRPC as Modal's client speaks it: who may call, replies that get lost, calls nobody implements."""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib import GRPCError, Status
from grpclib.const import Handler
from grpclib.server import Stream
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

TOKEN_ID = "ak-plane"  # the one there is
# calls whose second arrival under the same key must answer what the first did
ONCE = frozenset({"FunctionMap", "FunctionPutInputs"})
# what a container asks for itself; all else is the code in it, which `restrict_modal_access` shuts out
CONTAINER_OWN = frozenset(
    "ContainerHello ContainerHeartbeat FunctionGetInputs FunctionPutOutputs FunctionGetDynamicConcurrency "
    "TaskResult VolumeCommit BlobCreate BlobGet".split()
)


class Wire:
    """What all connections have in common: the parts that answer, and what is counted or to be disturbed."""

    def __init__(self, parts: list[object]) -> None:
        self.parts = parts
        self.seen: Counter[str] = Counter()  # calls by name
        self.unimplemented: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()  # replies still to be lost, by name
        self.refusals: dict[str, deque[Status]] = {}
        self.details: list[Any] | None = None  # that go with every refusal
        self._replies: dict[str, Any] = {}

    def service(self, task: Any = None) -> Service:
        """The service for one listening socket; `task`: the container behind it, None: clients."""
        return Service(self, task)

    def find(self, name: str) -> Callable[..., Awaitable[Any]] | None:
        """The part's method that implements the call, if any does."""
        return next((getattr(part, name) for part in self.parts if hasattr(part, name)), None)

    async def answer(self, name: str, request: Any, metadata: Any, task: Any) -> Any:
        """One call with one reply: authorise, deduplicate, do, perhaps lose the reply."""
        self.seen[name] += 1
        if metadata.get("x-modal-client-type") == str(api_pb2.CLIENT_TYPE_CLIENT) and not metadata.get(
            "x-modal-token-id"
        ):
            raise GRPCError(Status.UNAUTHENTICATED, "Token missing")
        if metadata.get("x-modal-token-id", TOKEN_ID) != TOKEN_ID:
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed")
        if task is not None and task.function.definition.untrusted and name not in CONTAINER_OWN:
            raise GRPCError(Status.PERMISSION_DENIED, "This container has no access to Modal")
        if self.refusals.get(name):
            raise GRPCError(self.refusals[name].popleft(), f"{name} is refused by the test", self.details)
        handler = self.find(name)
        if handler is None:
            self.unimplemented[name] += 1
            raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not implemented")
        key = str(metadata.get("x-idempotency-key", "")) if name in ONCE else ""
        if key in self._replies:
            reply = self._replies[key]
        else:
            wants_task = "task" in inspect.signature(handler).parameters
            reply = await (handler(request, task=task) if wants_task else handler(request))
            if key:
                self._replies[key] = reply
        if self.lost[name] > 0:
            self.lost[name] -= 1
            raise GRPCError(Status.UNAVAILABLE, "The reply is lost")
        return reply


class Service:
    """Every call of Modal's control plane, on one socket."""

    def __init__(self, wire: Wire, task: Any) -> None:
        self._wire = wire
        self._task = task

    def __mapping__(self) -> dict[str, Handler]:
        """Path of each call -> its handler, after the service definition shipped in the client's wheel."""
        names: dict[str, Any] = dict.fromkeys(ModalClientBase.__abstractmethods__, None)
        every = type("Every", (ModalClientBase,), names)()
        return {
            path: handler._replace(func=self._handler(path.rsplit("/", 1)[1]))
            for path, handler in every.__mapping__().items()
        }

    def _handler(self, name: str) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        async def handle(stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            part = self._wire.find(name)
            if part is not None and inspect.isasyncgenfunction(part):
                self._wire.seen[name] += 1
                async for message in part(request):
                    await stream.send_message(message)
                return
            reply = await self._wire.answer(name, request, stream.metadata, self._task)
            await stream.send_message(reply)

        return handle

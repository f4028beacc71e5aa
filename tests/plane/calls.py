"""The calling side of the plane: function calls, their inputs and outputs, and what containers ask for."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.plane.catalog import Catalog
from tests.plane.records import Call, Input, new_id
from tests.plane.rules import check_inline
from tests.plane.scheduler import Scheduler, Task

LONG_POLL = 55.0  # seconds, the longest a server holds a question for outputs
HEARTBEAT = 14.0  # seconds; the container asks every 15


class Calls:
    """RPCs of callers and of containers around one scheduler."""

    def __init__(self, catalog: Catalog, scheduler: Scheduler) -> None:
        self._catalog = catalog
        self._scheduler = scheduler

    # ---- callers

    async def FunctionMap(self, request: Any) -> api_pb2.FunctionMapResponse:
        function = self._catalog.functions.get(request.function_id)
        if function is None:
            raise GRPCError(Status.NOT_FOUND, "No such function")
        spawned = request.function_call_invocation_type == api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC
        call = Call(new_id("fc"), function.id, spawned, request.parent_input_id)
        self._scheduler.calls[call.id] = call
        return api_pb2.FunctionMapResponse(
            function_call_id=call.id,
            pipelined_inputs=self._put(call, request.pipelined_inputs),
            retry_policy=function.definition.retry_policy,
            function_call_jwt=call.id,
            max_inputs_outstanding=1000,
        )

    async def FunctionPutInputs(self, request: Any) -> api_pb2.FunctionPutInputsResponse:
        call = self._scheduler.calls[request.function_call_id]
        return api_pb2.FunctionPutInputsResponse(inputs=self._put(call, request.inputs))

    def _put(self, call: Call, items: Any) -> list[api_pb2.FunctionPutInputsResponseItem]:
        taken = []
        for item in items:
            if call.asynchronous:
                check_inline(len(item.input.args))
            made = Input(new_id("in"), call.id, call.function_id, item.idx, item.input, call.asynchronous)
            call.inputs.append(made)
            self._scheduler.enqueue(made)
            taken.append(api_pb2.FunctionPutInputsResponseItem(idx=item.idx, input_id=made.id, input_jwt=made.id))
        return taken

    async def FunctionFinishInputs(self, request: Any) -> Empty:
        return Empty()

    async def FunctionGetOutputs(self, request: Any) -> api_pb2.FunctionGetOutputsResponse:
        def ready() -> api_pb2.FunctionGetOutputsResponse | None:
            answer = _outputs(self._scheduler.calls.get(request.function_call_id), request)
            return answer if answer.outputs else None

        answer = await self._scheduler.pulse.until(ready, min(max(request.timeout, 0.0), LONG_POLL))
        return answer or _outputs(self._scheduler.calls.get(request.function_call_id), request)

    async def FunctionCallFromId(self, request: Any) -> api_pb2.FunctionCallFromIdResponse:
        call = self._scheduler.calls.get(request.function_call_id)
        if call is None:
            raise GRPCError(Status.NOT_FOUND, "No such function call")
        app = self._catalog.functions[call.function_id].app_id
        return api_pb2.FunctionCallFromIdResponse(
            function_call_id=call.id,
            num_inputs=len(call.inputs),
            metadata=api_pb2.FunctionCallHandleMetadata(app_id=app, function_id=call.function_id),
        )

    async def FunctionCallCancel(self, request: Any) -> Empty:
        call = self._scheduler.calls.get(request.function_call_id)
        if call is None:
            raise GRPCError(Status.NOT_FOUND, "No such function call")
        self._scheduler.cancel(call, terminate=request.terminate_containers)
        return Empty()

    async def FunctionGetCallGraph(self, request: Any) -> api_pb2.FunctionGetCallGraphResponse:
        if request.function_call_id not in self._scheduler.calls:
            raise GRPCError(Status.NOT_FOUND, "No such function call")
        graph = api_pb2.FunctionGetCallGraphResponse()
        for call in self._family(self._scheduler.calls[request.function_call_id]):
            made = self._catalog.functions[call.function_id]
            graph.function_calls.add(
                function_call_id=call.id,
                parent_input_id=call.parent,
                function_name=made.name,
                module_name=made.definition.module_name,
            )
            for one in call.inputs:
                graph.inputs.add(input_id=one.id, status=one.status, function_call_id=call.id, task_id=one.task_id)
        return graph

    def _family(self, call: Call) -> list[Call]:
        """The call nobody made from a container, and all that were made because of it."""
        calls = self._scheduler.calls
        by_input = {one.id: other for other in calls.values() for one in other.inputs}
        while call.parent in by_input:
            call = by_input[call.parent]
        family = [call]
        for member in family:  # grows while it is walked
            own = {one.id for one in member.inputs}
            family += [other for other in calls.values() if other.parent in own]
        return family

    # ---- containers

    async def ContainerHello(self, request: Empty, task: Task) -> Empty:
        self._scheduler.hello(task)
        return Empty()

    async def ContainerHeartbeat(self, request: Any, task: Task) -> api_pb2.ContainerHeartbeatResponse:
        await self._scheduler.pulse.until(lambda: task.cancels or None, HEARTBEAT)
        answer = api_pb2.ContainerHeartbeatResponse()
        if task.cancels:
            answer.cancel_input_event.input_ids.extend(task.cancels)
            task.cancels.clear()
        return answer

    async def FunctionGetInputs(self, request: Any, task: Task) -> api_pb2.FunctionGetInputsResponse:
        given = await self._scheduler.next_inputs(task, max(1, request.batch_max_size))
        if not given:
            return api_pb2.FunctionGetInputsResponse(inputs=[api_pb2.FunctionGetInputsItem(kill_switch=True)])
        kinds = api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC, api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC
        return api_pb2.FunctionGetInputsResponse(
            inputs=[
                api_pb2.FunctionGetInputsItem(
                    input_id=one.id,
                    input=one.body,
                    function_call_id=one.call_id,
                    function_call_invocation_type=kinds[one.asynchronous],
                    retry_count=one.retry_count,
                )
                for one in given
            ]
        )

    async def FunctionPutOutputs(self, request: Any, task: Task) -> Empty:
        for item in request.outputs:
            self._scheduler.output(task, item)
        return Empty()

    async def FunctionGetDynamicConcurrency(self, request: Any) -> api_pb2.FunctionGetDynamicConcurrencyResponse:
        return api_pb2.FunctionGetDynamicConcurrencyResponse(concurrency=request.target_concurrency)

    async def TaskResult(self, request: Any, task: Task) -> Empty:
        self._scheduler.start_failed(task, request.result)
        return Empty()


def _outputs(call: Call | None, request: Any) -> api_pb2.FunctionGetOutputsResponse:
    """What there is of the outputs asked for: by range of index, or all after an entry."""
    if call is None:
        return api_pb2.FunctionGetOutputsResponse(last_entry_id=request.last_entry_id)
    if request.HasField("start_idx"):
        found = [one for one in call.outputs if request.start_idx <= one.idx <= request.end_idx]
    else:
        found = call.outputs[int((request.last_entry_id or "0-0").partition("-")[0]) :]
    return api_pb2.FunctionGetOutputsResponse(
        outputs=found,
        idxs=[one.idx for one in found],
        last_entry_id=f"{len(call.outputs)}-0",
        num_unfinished_inputs=sum(not one.done for one in call.inputs),
    )

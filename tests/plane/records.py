"""What the plane remembers: apps, functions, images, calls and their inputs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from modal_proto import api_pb2

_numbers = itertools.count(1)


def new_id(prefix: str) -> str:
    """An id as the client expects it: two letters that say the kind, a dash, a number no plane of this process has."""
    return f"{prefix}-{next(_numbers):022d}"


@dataclass
class App:
    """A deployed or ephemeral App."""

    id: str
    name: str
    functions: dict[str, str] = field(default_factory=dict)  # name -> id, as published
    classes: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass
class Function:
    """One function of an App as the client defined it, or a class bound to its parameters."""

    id: str
    app_id: str
    name: str
    definition: Any = field(default_factory=api_pb2.Function)
    data: Any = field(default_factory=api_pb2.FunctionData)
    handle: Any = field(default_factory=api_pb2.FunctionHandleMetadata)
    params: bytes = b""  # of a bound class
    base: str = ""  # id of the unbound function


@dataclass
class Input:
    """One piece of work; `holders` are the containers that have it now (two after an expired lease)."""

    id: str
    call_id: str
    function_id: str
    idx: int
    body: Any
    asynchronous: bool
    retry_count: int = 0
    status: Any = 0  # of the outcome; 0: there is none
    task_id: str = ""  # of the latest delivery
    holders: set[str] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether there is an outcome."""
        return bool(self.status)


@dataclass
class Call:
    """One function call: its inputs and the outputs there are, in the order of their arrival."""

    id: str
    function_id: str
    asynchronous: bool
    parent: str = ""  # id of the input that made the call from inside a container
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Delivery:
    """One input given to one container."""

    call_id: str
    input_id: str
    retry_count: int
    task_id: str


@dataclass(frozen=True)
class Deployed:
    """A function as the server sees it after the deploy; times in seconds, memory in MiB."""

    name: str
    gpus: tuple[str, ...]  # in order of preference, "L4" or "A10:2"
    cores: float
    memory: int
    timeout: int
    startup_timeout: int
    scaledown_window: int
    max_containers: int  # 0: no limit
    retries: int
    secrets: tuple[str, ...]
    volumes: dict[str, str]  # mount path -> name of the Volume
    read_only: frozenset[str]  # mount paths
    files: frozenset[str]  # of the source mounts, absolute in the container
    image: tuple[str, ...]  # commands of all layers, lowest first
    env: dict[str, str]  # of the image and of `env=`, not of named Secrets
    methods: tuple[str, ...]
    snapshot: bool
    definition: Any = field(repr=False)  # the protobuf, for whatever is not above

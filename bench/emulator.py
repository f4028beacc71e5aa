"""The embedded server alone: writes, reads, events, subscribers, memory and its start."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import psutil

from bench.figures import Figure, Topic, percentile
from bench.machine import family
from bench.raw import Http, Listener, in_turn

_ROOT = Path(__file__).resolve().parents[1]
_ROWS = "/tablesdb/bench/tables/job/rows"
_CHANNEL = "tablesdb.bench.tables.job.rows"
_CLIENTS = 8
_MIB = 2**20
_GROWTH_MIB = 8.0
_COLUMNS = [
    {"key": "title", "type": "string", "size": 200},
    {"key": "status", "type": "string", "format": "enum", "elements": ["queued", "rendering", "done"]},
    {"key": "progress", "type": "integer"},
    {"key": "stage", "type": "string", "size": 500},
]
_REFERENCE = "a real Appwrite 1.9.6 on two cores: "


@dataclass(frozen=True, slots=True)
class _Amounts:
    """How much of everything."""

    starts: int
    events: int
    writes: int
    subscribers: int
    announced: int  # events that all subscribers hear
    endured: int  # writes over which memory must not grow


_WHOLE = _Amounts(5, 2000, 10_000, 1000, 50, 100_000)
_QUICK = _Amounts(1, 100, 300, 50, 5, 1000)


@dataclass(frozen=True, slots=True)
class _Served:
    """A running server. `first_answer`: seconds from its start to its first answer."""

    endpoint: str
    project: str
    key: str
    pid: int
    first_answer: float

    def client(self) -> Http:
        """A client with the key that may do everything."""
        return Http(self.endpoint, {"x-appwrite-project": self.project, "x-appwrite-key": self.key})

    def memory(self) -> float:
        """MiB that the server and its children hold."""
        total = 0
        for process in family(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / _MIB


def measure(*, quick: bool) -> Topic:
    """Start servers, then let one of them work."""
    amounts = _QUICK if quick else _WHOLE
    _allow_many_sockets(amounts.subscribers)
    starts = []
    for _ in range(amounts.starts):
        with _serving() as served:
            starts.append(served.first_answer)
    with _serving() as served:
        idle = served.memory()
        client = served.client()
        _make_table(client)
        figures = [
            Figure("start to first answer", median(starts), "s", 1.0, beside=f"slowest {max(starts):.2f} s"),
            Figure("memory, idle", idle, "MiB", 120, beside=_REFERENCE + "1,483 MiB"),
            *_one_after_the_other(client, amounts),
            *_events(served, client, amounts),
            *_many_subscribers(served, client, amounts),
            *_many_writes(served, amounts),
        ]
        client.close()
    return Topic(
        "emulator",
        f"Rows of four columns; {amounts.writes:,} creates, then as many gets, then {amounts.events:,} updates, each "
        f"timed to its event, on one kept connection; {amounts.subscribers:,} subscribers of one channel, "
        f"{amounts.announced} updates; {amounts.endured:,} updates by {_CLIENTS} clients.",
        tuple(figures),
        ("The clients run on the same cores as the server.",),
    )


# ---- the server


def _allow_many_sockets(subscribers: int) -> None:
    """Each subscriber is one open file here and one in the server, which inherits this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, subscribers + 500)), hard))


@contextlib.contextmanager
def _serving() -> Iterator[_Served]:
    """A server on an empty folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "emulator", "--data", folder]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            first = Http(ready["endpoint"], {"x-appwrite-project": ready["project"]})
            first.call("GET", "/health/version")
            answered = time.perf_counter() - begun
            first.close()
            yield _Served(ready["endpoint"], ready["project"], ready["key"], process.pid, answered)
        finally:
            process.terminate()
            process.communicate()


def _make_table(client: Http) -> None:
    client.call("POST", "/tablesdb", {"databaseId": "bench", "name": "Bench"})
    table = {"tableId": "job", "name": "Job", "rowSecurity": True, "permissions": [], "columns": _COLUMNS}
    client.call("POST", "/tablesdb/bench/tables", table)
    for number in range(_CLIENTS):
        row = {"rowId": f"shared{number}", "data": _data(number), "permissions": ['read("any")']}
        client.call("POST", _ROWS, row)


def _data(number: int) -> dict[str, object]:
    return {
        "title": f"The life of a river, part {number}", "status": "rendering", "progress": number % 101,
        "stage": f"Rendering scene {number} of many",
    }  # fmt: skip


def _updates(client: Http, amount: int, rows: int = 1) -> list[bytes]:
    return [
        client.request("PATCH", f"{_ROWS}/shared{number % rows}", {"data": _data(number)}) for number in range(amount)
    ]


# ---- what is measured


def _one_after_the_other(client: Http, amounts: _Amounts) -> Iterator[Figure]:
    """Creates and gets of one client that waits for each answer."""
    owned = ['read("user:someone")', 'update("user:someone")']
    bodies = [
        {"rowId": f"row{number}", "data": _data(number), "permissions": owned} for number in range(amounts.writes)
    ]
    creates = [client.request("POST", _ROWS, body) for body in bodies]
    gets = [client.request("GET", f"{_ROWS}/{body['rowId']}") for body in bodies]
    yield Figure("creates, one client", _rate([client], creates), "1/s", 1000, True, _REFERENCE + "38 to 54")
    yield Figure("gets, one client", _rate([client], gets), "1/s", 2000, True, _REFERENCE + "130")


def _rate(clients: list[Http], requests: list[bytes]) -> float:
    """Requests answered per second."""
    begun = time.perf_counter()
    in_turn(clients, requests)
    return len(requests) / (time.perf_counter() - begun)


def _events(served: _Served, client: Http, amounts: _Amounts) -> Iterator[Figure]:
    """From the sending of an update to its event at a subscriber."""
    listener, delays = Listener(served.endpoint, served.project, _CHANNEL), []
    for update in _updates(client, amounts.events):
        begun = time.perf_counter()
        client.send(update)
        listener.next()
        delays.append((time.perf_counter() - begun) * 1000)
        client.answer()
    listener.close()
    yield Figure("update to event, median", median(delays), "ms", 2.0, beside=_REFERENCE + "11 ms")
    yield Figure("update to event, 95th percentile", percentile(delays, 0.95), "ms", 5.0, beside=_REFERENCE + "16 ms")


def _many_subscribers(served: _Served, client: Http, amounts: _Amounts) -> Iterator[Figure]:
    """From the sending of an update to its event at the last of many subscribers, who live in another process."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    listening = multiprocessing.get_context("spawn").Process(
        target=_listen, args=(there, served.endpoint, served.project, amounts.subscribers), daemon=True
    )
    listening.start()
    here.recv()
    memory, delays = served.memory(), []
    for update in _updates(client, amounts.announced):
        begun = time.perf_counter()
        client.send(update)
        client.answer()
        delays.append((here.recv() - begun) * 1000)
    here.close()
    listening.join()
    name = f"{amounts.subscribers:,} subscribers"
    beside = f"slowest {max(delays):.0f} ms; {_REFERENCE}33 to 71 ms with 200"
    yield Figure(f"update to the last of {name}, median", median(delays), "ms", 100, beside=beside)
    yield Figure(f"memory with {name}", memory, "MiB", 250)


def _listen(pipe: Connection, endpoint: str, project: str, amount: int) -> None:
    """Hold many subscriptions; for every event that reached all, tell the moment the last one had it."""
    listeners = [Listener(endpoint, project, _CHANNEL) for _ in range(amount)]
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            selector.register(listener.socket, selectors.EVENT_READ, listener)
        selector.register(pipe, selectors.EVENT_READ)
        pipe.send(None)
        for event in count(1):
            heard = 0
            while heard < amount:
                for key, _ in selector.select():
                    if key.data is None:
                        return  # the other end is closed: nothing more is written
                    heard += key.data.read()
            pipe.send(time.perf_counter())  # one clock for all processes of a machine
            assert heard == amount, f"event {event} came {heard} times"


def _many_writes(served: _Served, amounts: _Amounts) -> Iterator[Figure]:
    """Updates by several clients at once, and what the server holds after many of them."""
    clients = [served.client() for _ in range(_CLIENTS)]
    tenth = amounts.endured // 10
    rates = [_rate(clients, _updates(clients[0], tenth, _CLIENTS))]
    before = served.memory()
    rates += [_rate(clients, _updates(clients[0], tenth, _CLIENTS)) for _ in range(9)]
    grown = served.memory() - before
    for client in clients:
        client.close()
    beside = f"slowest tenth {min(rates):.0f}; {_REFERENCE}129"
    yield Figure(f"updates, {_CLIENTS} clients at once", median(rates), "1/s", 1000, True, beside)
    beside = f"after the first {tenth:,}: {before:.0f} MiB"
    yield Figure(f"memory grown over {amounts.endured:,} writes", grown, "MiB", _GROWTH_MIB, beside=beside)

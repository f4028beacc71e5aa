"""The realtime socket: who listens to what, and the delivery of committed changes to those who may read them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.websockets import WebSocket

from emulator import accounts, clock, subscriptions
from emulator.auth import GUEST, Caller, caller_of_jwt, caller_of_session, identify, user_roles
from emulator.errors import AppwriteError
from emulator.events import Event
from emulator.foreign import read_json
from emulator.server import Server, server_of
from emulator.subscriptions import Subscription
from emulator.wire import encode, unique_id

# What may wait for one client; who is further behind is cut off, reconnects and reads again.
BACKLOG_FRAMES, BACKLOG_CHARACTERS = 512, 8 * 1024 * 1024
MESSAGES_PER_MINUTE, CONNECTS_PER_MINUTE = 32, 128  # of one socket, of one address; where limits are enforced
_SLOT = re.compile(r"^(?P<channel>[^\[]+)\[(?P<slot>\d+)\]\[\d*\]$")


class Hub:
    """Every open connection, found by channel; `deliver` is the bus's receiver."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listeners: defaultdict[str, set[Connection]] = defaultdict(set)
        self._connections: set[Connection] = set()
        server.bus.subscribe(self.deliver)

    def deliver(self, event: Event) -> None:
        """Queue an event for every connection that listens to it and holds one of its roles."""
        if event.channels[0] == "account":
            self._refresh_roles(event.channels[1].removeprefix("account."))
        elif event.channels[0] == "memberships":
            self._refresh_roles(event.payload["userId"])
        found: set[Connection] = set()
        for channel in event.channels:
            found.update(self._listeners.get(channel, ()))
        if not found:
            return
        start = ""  # the same for all, and held once however many wait for it
        for connection in found:
            if connection.roles.isdisjoint(event.roles):
                continue
            ids = [s.id for s in connection.subscriptions.values() if s.wants(event)]
            if not ids:
                continue
            start = start or _event_start(event)
            connection.enqueue(start, encode(ids).decode() + "}}")

    def listen(self, connection: Connection, channels: Iterable[str]) -> None:
        """Let events of these channels reach the connection."""
        for channel in channels:
            self._listeners[channel].add(connection)

    def forget(self, connection: Connection, channels: Iterable[str]) -> None:
        """Stop what `listen` began."""
        for channel in channels:
            listeners = self._listeners.get(channel)
            if listeners is not None:
                listeners.discard(connection)
                if not listeners:
                    del self._listeners[channel]

    def open(self, connection: Connection) -> None:
        """Count the connection among those whose roles follow their user's."""
        self._connections.add(connection)

    def close(self, connection: Connection) -> None:
        """Forget the connection."""
        self._connections.discard(connection)
        self.forget(connection, [channel for s in connection.subscriptions.values() for channel in s.channels])

    def _refresh_roles(self, user_id: str) -> None:
        """Labels and memberships change while sockets stay open."""
        for connection in self._connections:
            if connection.user_id == user_id:
                row = self._server.db.one("SELECT * FROM users WHERE id = ?", (user_id,))
                connection.roles = GUEST.roles if row is None or not row["active"] else user_roles(self._server.db, row)


class Connection:
    """One socket: its user, its subscriptions, and the messages waiting to be sent."""

    def __init__(self, socket: WebSocket, hub: Hub, caller: Caller) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self._socket = socket
        self._hub = hub
        self._server = server_of(socket)
        self._name = secrets.token_hex(8)  # for its own count of messages
        self._waiting: deque[tuple[str, str]] = deque()  # frames in two parts
        self._characters = 0
        self._more = asyncio.Event()
        self._too_slow = asyncio.Event()
        self.take_identity(caller)

    def take_identity(self, caller: Caller) -> None:
        """From now on events reach this user; a key reads nothing here, as on a real server."""
        self.user_id = caller.user_id
        self.roles = caller.roles if caller.kind == "user" else GUEST.roles

    def enqueue(self, start: str, end: str = "") -> None:
        """Hand the sender a frame, in two parts; a client that has fallen too far behind is cut off."""
        self._waiting.append((start, end))
        self._characters += len(start) + len(end)
        self._more.set()
        if len(self._waiting) > 1 and (len(self._waiting) > BACKLOG_FRAMES or self._characters > BACKLOG_CHARACTERS):
            self._waiting.clear()
            self._characters = 0
            self._too_slow.set()

    def say(self, kind: str, data: dict[str, Any] | None = None) -> None:
        """Queue one of the protocol's frames."""
        frame = {"type": kind} if data is None else {"type": kind, "data": data}
        self.enqueue(encode(frame).decode())

    def subscribe(self, subscription_id: str, channels: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
        """Add or renew a subscription; returns it as shown. Raises realtime_message_format_invalid."""
        subscription = self.subscriptions.get(subscription_id) or Subscription(subscription_id)
        heard = self._with_own_account(channels)
        subscription.listen(heard, queries)
        self.subscriptions[subscription_id] = subscription
        self._hub.listen(self, heard)
        return {"subscriptionId": subscription_id, "channels": heard, "queries": list(queries)}

    def unsubscribe(self, subscription_id: str) -> dict[str, Any]:
        """End a subscription; returns what to tell the client."""
        ended = self.subscriptions.pop(subscription_id, None)
        if ended is not None:
            kept = {channel for s in self.subscriptions.values() for channel in s.channels}
            self._hub.forget(self, [channel for channel in ended.channels if channel not in kept])
        return {"subscriptionId": subscription_id, "removed": ended is not None}

    def user(self) -> dict[str, Any] | None:
        """The account behind this socket as it sees itself."""
        return accounts.show_user(accounts.find_user(self._server.db, self.user_id)) if self.user_id else None

    def _with_own_account(self, channels: Sequence[str]) -> list[str]:
        own = [f"account.{self.user_id}"] if "account" in channels and self.user_id else []
        return list(dict.fromkeys([*channels, *own]))

    async def run(self) -> None:
        """Send and receive until the client goes or is too slow."""
        tasks = [asyncio.create_task(part()) for part in (self._send_all, self._receive_all, self._too_slow.wait)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _send_all(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                start, end = self._waiting.popleft()
                self._characters -= len(start) + len(end)
                await self._socket.send_text(start + end)

    async def _receive_all(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            written = message.get("text")
            try:
                self._count_message()
                self._answer(message.get("bytes") or b"" if written is None else written)
            except AppwriteError as error:
                self.say("error", {"code": error.status, "message": error.message})

    def _count_message(self) -> None:
        limits = self._server.limits
        if limits.enforced and limits.take(("realtime", self._name), MESSAGES_PER_MINUTE, 60)[0] < 0:
            sentence = f"Too many messages: at most {MESSAGES_PER_MINUTE} a minute."
            raise AppwriteError("realtime_too_many_messages", sentence)

    def _answer(self, written: str | bytes) -> None:
        message = _object_of(written)
        kind = message.get("type")
        if kind == "ping":
            self.say("pong")
        elif kind == "authentication":
            self._authenticate(message.get("data"))
        elif kind == "subscribe":
            wanted = [subscriptions.read(item) for item in subscriptions.items(message.get("data"))]
            shown = [self.subscribe(given or unique_id(), channels, queries) for given, channels, queries in wanted]
            self._respond("subscribe", {"subscriptions": shown})
        elif kind == "unsubscribe":
            ids = [subscriptions.id_of(item) for item in subscriptions.items(message.get("data"))]
            self._respond("unsubscribe", {"subscriptions": [self.unsubscribe(each) for each in ids]})
        else:
            raise subscriptions.malformed("Message type is not valid.")

    def _respond(self, to: str, data: dict[str, Any]) -> None:
        self.say("response", {"to": to, "success": True, **data})

    def _authenticate(self, data: object) -> None:
        caller: Caller | None = None
        if isinstance(data, dict) and isinstance(data.get("session"), str):
            caller = caller_of_session(self._server.db, data["session"])
        elif isinstance(data, dict) and isinstance(data.get("jwt"), str):
            caller = caller_of_jwt(self._server.db, self._server.keys, data["jwt"])
        if caller is None:
            raise subscriptions.malformed("Session is not valid.")
        self.take_identity(caller)
        self._respond("authentication", {"user": self.user()})


async def serve(socket: WebSocket, hub: Hub) -> None:
    """Run one socket from its handshake to its end."""
    await socket.accept()
    server = server_of(socket)
    try:
        _count_connect(server, socket)
        caller = identify(socket)
        token = socket.query_params.get("jwt")
        if token and caller.kind == "guest":
            caller = caller_of_jwt(server.db, server.keys, token)
        connection = Connection(socket, hub, caller)
        slots = _slots(socket)
        shown = [connection.subscribe(unique_id(), channels, queries) for channels, queries in slots]
    except AppwriteError as error:
        code = error.status if error.status > 1000 else 1008
        await socket.send_text(encode({"type": "error", "data": {"code": code, "message": error.message}}).decode())
        await socket.close(code, error.message[:100])
        return
    hub.open(connection)
    channels = list(dict.fromkeys(channel for each in shown for channel in each["channels"]))
    ids = [each["subscriptionId"] for each in shown]
    connection.say("connected", {"channels": channels, "subscriptions": ids, "user": connection.user()})
    try:
        await connection.run()
    finally:
        hub.close(connection)


def _count_connect(server: Server, socket: WebSocket) -> None:
    address = socket.client.host if socket.client else ""
    limits = server.limits
    if limits.enforced and limits.take(("realtime connect", address), CONNECTS_PER_MINUTE, 60)[0] < 0:
        sentence = f"Too many connections: at most {CONNECTS_PER_MINUTE} a minute."
        raise AppwriteError("realtime_too_many_messages", sentence)


def _slots(socket: WebSocket) -> list[tuple[list[str], list[str]]]:
    """The subscriptions of the older form: `channels[]=a&channels[]=b`, and `a[0][]=query` to filter one of them.

    Channels without queries share the first subscription; each slot with queries of its own is another one.
    """
    items = socket.query_params.multi_items()
    channels = [value for key, value in items if key.partition("[")[0] == "channels"]
    names = {re.sub(r"[.\s]", "_", channel): channel for channel in channels}
    slots: defaultdict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    filtered = set()
    for key, value in items:
        match = _SLOT.match(key)
        channel = names.get(re.sub(r"[.\s]", "_", match["channel"])) if match else None
        if match is None or channel is None:
            continue
        filtered.add(channel)
        heard, queries = slots[int(match["slot"])]
        if channel not in heard:
            heard.append(channel)
        if value not in queries:
            queries.append(value)
    plain = [channel for channel in dict.fromkeys(channels) if channel not in filtered]
    return ([(plain, [])] if plain else []) + [slots[slot] for slot in sorted(slots)]


def _object_of(written: str | bytes) -> dict[str, Any]:
    """The object a client's message must be; what is none is refused as a real server does it."""
    try:
        message = read_json(written)
    except ValueError:
        message = None
    if isinstance(message, dict):
        return message
    if message is None or isinstance(message, list):
        raise subscriptions.malformed("Message format is not valid.")
    raise AppwriteError("general_server_error", "Message format is not valid.", 0)  # a bare text or number


def _event_start(event: Event) -> str:
    """The frame of an event up to the ids of the subscriptions it goes to."""
    data = {
        "events": event.names,
        "channels": event.channels,
        "timestamp": clock.now_text(),
        "payload": event.payload,
    }
    return '{"type":"event","data":' + encode(data)[:-1].decode() + ',"subscriptions":'

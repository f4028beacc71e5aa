"""Plays recorded realtime conversations again: every listed frame must come, and nothing else."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .replay import Player, differences, expanded

# A frame that should not come would be on its way already when the answer to the write is here.
QUIET_SECONDS = 0.05
PATIENCE_SECONDS = 3.0
CLOSED = {"close": True}


class Conversation:
    """One recorded socket and its open counterpart."""

    def __init__(self, player: Player, line: dict[str, Any], stack: ExitStack) -> None:
        self.frames: list[dict[str, Any]] = line["frames"]
        self.found: list[str] = []
        self._player = player
        url = player.variables["endpoint"].replace("http", "ws", 1) + player.filled(line["url"])
        headers = player.filled(line.get("handshake_headers", {}))
        self._socket = stack.enter_context(connect(url, additional_headers=headers, ping_interval=None))
        self.expect(self.after(0), "connect")

    def after(self, step: int) -> list[Any]:
        """The server's frames recorded after a step; 0 stands for the handshake."""
        current, frames = 0, []
        for frame in self.frames:
            if frame["from"] != "server":
                current = frame["step"]
            elif current == step:
                frames.append(CLOSED if frame.get("close") else frame["data"])
        return frames

    def say(self, frame: dict[str, Any]) -> None:
        """Send a client's frame as it was recorded."""
        if "raw" in frame:
            self._socket.send(frame["raw"])
        else:
            self._socket.send(json.dumps(expanded(self._player.filled(frame["data"]))))

    def expect(self, frames: list[Any], step: str, patience: float = PATIENCE_SECONDS) -> None:
        """Compare what comes within `patience` seconds with what was recorded, in any order."""
        came: list[Any] = []
        deadline = time.monotonic() + patience
        while True:
            wait = QUIET_SECONDS if len(came) >= len(frames) else deadline - time.monotonic()
            try:
                came.append(json.loads(self._socket.recv(timeout=max(wait, 0))))
            except TimeoutError:
                break
            except ConnectionClosed:
                came.append(CLOSED)
                break
        for frame in frames:
            wanted = self._player.filled(frame)
            scores = [(list(differences(wanted, other)), index) for index, other in enumerate(came)]
            best, index = min(scores, key=lambda score: len(score[0]), default=(["nothing came"], -1))
            self.found += [f"{step}: {difference}" for difference in best]
            if index >= 0:
                came.pop(index)
        self.found += [f"{step}: unexpected {str(frame)[:100]}" for frame in came]


def play_together(player: Player, lines: list[dict[str, Any]]) -> list[list[str]]:
    """Play conversations that were open at once; a write they share is sent once. Returns each one's differences."""
    with ExitStack() as stack:
        conversations = [Conversation(player, line, stack) for line in lines]
        for step in sorted({frame["step"] for c in conversations for frame in c.frames if frame["from"] != "server"}):
            _play_step(player, conversations, step)
    return [conversation.found for conversation in conversations]


def _play_step(player: Player, conversations: list[Conversation], step: int) -> None:
    acting = [(c, frame) for c in conversations for frame in c.frames if frame.get("step") == step]
    for conversation, frame in acting:
        if frame["from"] == "client":
            conversation.say(frame)
    writes = [frame for _, frame in acting if frame["from"] == "http"]
    if writes:
        answer = player.send(writes[0]["request"])
        player.capture(writes[0].get("captures", {}), answer)
        if answer.status_code != writes[0]["status"]:
            acting[0][0].found.append(f"step {step}: status {answer.status_code} instead of {writes[0]['status']}")
    patience = max([PATIENCE_SECONDS, *(frame.get("within_s", 0.0) for frame in writes)])
    for conversation in {id(c): c for c, _ in acting}.values():
        conversation.expect(conversation.after(step), f"step {step}", patience)

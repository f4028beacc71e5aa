"""A network that loses answers: requests arrive and are done, but who asked never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_BLOCK = 1 << 16


class CuttingProxy:
    """Passes bytes on to a server; the answers to the next requests of a method are swallowed when asked."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._server = (parts.hostname or "", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self._method, self._left = b"", 0
        self._open: set[socket.socket] = set()
        self.swallowed = 0
        self.upgraded = 0  # connections that became sockets of messages

    def swallow(self, method: str, times: int = 1) -> None:
        """The next `times` answers to requests of this method do not arrive: the connection ends instead."""
        self._method, self._left = method.encode(), times

    def cut(self) -> None:
        """End every connection there is, as a train in a tunnel does."""
        for client in list(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            self._open.add(client)
            cut = threading.Event()
            threading.Thread(target=self._answers, args=(server, client, cut), daemon=True).start()
            with suppress(OSError):
                while block := client.recv(_BLOCK):
                    if self._left and block.startswith(self._method + b" "):
                        self._left -= 1
                        cut.set()
                    self.upgraded += b"Upgrade: websocket" in block
                    server.sendall(block)
            self._open.discard(client)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while block := server.recv(_BLOCK):
                if cut.is_set():
                    self.swallowed += 1
                    break
                client.sendall(block)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_proxy(endpoint: str) -> Iterator[CuttingProxy]:
    """A proxy in front of an endpoint."""
    proxy = CuttingProxy(endpoint)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()

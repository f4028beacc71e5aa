"""HTTP as uvicorn reads it, but with heads of bounded length and with Appwrite's envelope where nothing can be read."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emulator import wire
from emulator.errors import AppwriteError

HEAD_MAX = 64 * 1024  # bytes of request line and headers, as on a real server; beyond the first part that came


class BoundedProtocol(HttpToolsProtocol):
    """One connection; a head that does not end is refused before it fills the memory."""

    _in_head = False
    _head = 0

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._in_head:
            self._head += len(data)
        if self._head > HEAD_MAX:
            self._refuse(AppwriteError("general_bad_request", "The request's headers are too long.", 431))
        else:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is over."""
        self._in_head, self._head = False, 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(AppwriteError("general_bad_request", msg))

    def _refuse(self, error: AppwriteError) -> None:
        if self.transport.is_closing():
            return
        response = wire.failure(error)
        head = [f"HTTP/1.1 {error.status} Refused".encode(), b"connection: close"]
        head += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))
        self.transport.close()

"""The arithmetic of partial contents: chunks of an upload, ranges of a download; pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from emulator.errors import AppwriteError

CHUNK_BYTES = 5 * 1024 * 1024  # every official client cuts here
_CONTENT_RANGE = re.compile(r"^bytes (\d{1,15})-(\d{1,15})/(\d{1,15})$")
_RANGE = re.compile(r"^bytes=(\d{0,15})-(\d{0,15})$")


@dataclass(frozen=True)
class Chunk:
    """One part of an upload: bytes `start` to `start + length` of a file of `size` bytes.

    `number` counts from 0 up to `total`.
    """

    start: int
    length: int
    size: int

    @property
    def number(self) -> int:
        """Which chunk this is."""
        return self.start // CHUNK_BYTES

    @property
    def total(self) -> int:
        """How many chunks the file has."""
        return chunks_of(self.size)


def chunks_of(size: int) -> int:
    """How many chunks a file of so many bytes takes."""
    return max(1, -(-size // CHUNK_BYTES))


def chunk_at(number: int, size: int) -> Chunk:
    """The chunk of this number of a file of `size` bytes."""
    start = number * CHUNK_BYTES
    return Chunk(start, min(CHUNK_BYTES, size - start), size)


def chunk_of(content_range: str) -> Chunk:
    """The chunk a Content-Range header describes (RFC 9110, 14.4). Raises storage_invalid_content_range.

    Its length follows from its place: clients differ in whether the end they name is the last byte or the one after.
    """
    match = _CONTENT_RANGE.match(content_range.strip())
    if match is not None:
        start, end, size = (int(number) for number in match.groups())
        if start <= end <= size and start < size and start % CHUNK_BYTES == 0:
            return chunk_at(start // CHUNK_BYTES, size)
    raise AppwriteError(
        "storage_invalid_content_range",
        "The content range is invalid: chunks start at multiples of 5 MiB and end within the file.",
    )


def byte_range(header: str, size: int) -> tuple[int, int]:
    """First and last byte of one range (RFC 9110, 14.2): `a-b`, `a-`, `-n`; an end beyond the file is its end.

    Raises storage_invalid_range where the range is malformed, empty, multiple, or begins after the file.
    """
    match = _RANGE.match(header.strip())
    if match is not None and match.group(0) != "bytes=-":
        first, last = match.groups()
        if not first:
            start, end = max(0, size - int(last)), size - 1
        else:
            start, end = int(first), min(int(last), size - 1) if last else size - 1
        if start <= end and (not last or not first or int(first) <= int(last)):
            return start, end
    raise AppwriteError(
        "storage_invalid_range",
        "The requested range is not satisfiable. Please check the value of the Range header.",
    )

"""Chunks of uploads, ranges of downloads and kinds of files, for every input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.chunks import CHUNK_BYTES, byte_range, chunk_of, chunks_of
from emulator.errors import AppwriteError
from emulator.media_types import inline_type, media_type

SIZES = st.integers(1, 10**12)


@given(SIZES, st.integers(0, 10**9))
def test_the_chunks_of_a_file_cover_it_without_overlap(size: int, at: int) -> None:
    number = at % chunks_of(size)
    start = number * CHUNK_BYTES
    end = min(start + CHUNK_BYTES, size)
    for written_end in (end - 1, end):  # clients differ: the last byte, or the one after it
        chunk = chunk_of(f"bytes {start}-{written_end}/{size}")
        assert (chunk.number, chunk.start, chunk.start + chunk.length) == (number, start, end)
        assert chunk.total == chunks_of(size)


@given(st.text(max_size=40))
def test_no_content_range_crashes_the_server(written: str) -> None:
    try:
        chunk_of(written)
    except AppwriteError as error:
        assert error.type == "storage_invalid_content_range"


@pytest.mark.parametrize(
    "written", ["bytes 1-5/9", "bytes 0-10/9", "bytes 5-4/9", "bytes 9-9/9", "items 0-1/9", "bytes 0-1/*", ""]
)
def test_a_content_range_that_fits_no_chunk_is_refused(written: str) -> None:
    with pytest.raises(AppwriteError) as refused:
        chunk_of(written)
    assert refused.value.status == 400


@given(st.binary(min_size=1, max_size=300), st.integers(0, 400), st.integers(0, 400))
def test_a_range_is_the_slice_it_names(content: bytes, first: int, last: int) -> None:
    size = len(content)
    if first >= size or last < first:
        with pytest.raises(AppwriteError):
            byte_range(f"bytes={first}-{last}", size)
    else:
        start, end = byte_range(f"bytes={first}-{last}", size)
        assert content[start : end + 1] == content[first : last + 1]
        assert byte_range(f"bytes={first}-", size) == (first, size - 1)
    if last:
        start, end = byte_range(f"bytes=-{last}", size)
        assert content[start : end + 1] == content[-last:]


@pytest.mark.parametrize("written", ["bytes=-", "bytes=-0", "items=0-1", "bytes=0-1,4-5", "bytes=a-b", "0-1"])
def test_a_range_that_is_none_is_refused_with_416(written: str) -> None:
    with pytest.raises(AppwriteError) as refused:
        byte_range(written, 800)
    assert (refused.value.status, refused.value.type) == (416, "storage_invalid_range")


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "a.txt", "image/png"),
        (b"\x00\x00\x00\x18ftypmp42....", "film.mp4", "video/mp4"),
        (b"RIFF....WAVEfmt ", "voice.wav", "audio/x-wav"),
        (b"WEBVTT\n\n", "a.vtt", "text/plain"),
        ('{"a": "ä"}'.encode(), "a.json", "application/json"),
        (b"<!DOCTYPE html><script>", "a.png", "text/html"),
        (b"\x00\x01\x02", "a.txt", "application/octet-stream"),
    ],
)
def test_a_file_is_judged_by_its_bytes(head: bytes, name: str, kind: str) -> None:
    assert media_type(head, name) == kind


def test_nothing_that_could_run_is_shown_as_what_it_is() -> None:
    assert inline_type("text/html") == inline_type("image/svg+xml") == inline_type("application/json") == "text/plain"
    assert inline_type("video/mp4") == "video/mp4"

"""What kind of file some bytes are, judged by themselves: a name can claim anything; pure functions."""

from __future__ import annotations

HEAD_BYTES = 4096  # enough of a file's beginning to judge it
# (offset, bytes there, type)
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/x-wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/x-m4a"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
)
# Shown by a browser in its own place; everything else is served as plain text, so that no upload can run as a page.
_INLINE = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/heic"),
        *("video/mp4", "video/webm", "video/quicktime", "video/3gpp", "video/mpeg", "video/x-msvideo"),
        *("audio/mpeg", "audio/ogg", "audio/x-wav", "audio/flac", "audio/x-m4a", "application/pdf"),
    }
)


def media_type(head: bytes, name: str) -> str:
    """The type of a file that begins with `head`; the name only tells kinds of text apart."""
    for offset, signature, found in _SIGNATURES:
        if head.startswith(signature, offset):
            return found
    if not head:
        return "application/x-empty"
    if b"\0" in head or not _is_text(head):
        return "application/octet-stream"
    if name.lower().endswith(".json") and head.lstrip()[:1] in (b"{", b"["):
        return "application/json"
    if head.lstrip()[:200].lower().startswith((b"<!doctype html", b"<html")):
        return "text/html"
    return "text/plain"


def inline_type(kind: str) -> str:
    """The type a file is viewed as."""
    return kind if kind in _INLINE else "text/plain"


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD_BYTES and error.start > len(head) - 4  # cut within a character
    return True

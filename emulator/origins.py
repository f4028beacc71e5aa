"""Which web pages may call, pages of this machine on any port, and the CORS headers their browsers need."""

from __future__ import annotations

from urllib.parse import urlsplit

from emulator.errors import AppwriteError

_ALLOWED_HEADERS = (
    "Accept, Origin, Cookie, Set-Cookie, Content-Type, Content-Range, X-Appwrite-Project, X-Appwrite-Key, "
    "X-Appwrite-Dev-Key, X-Appwrite-Locale, X-Appwrite-Mode, X-Appwrite-JWT, X-Appwrite-Organization, "
    "X-Appwrite-Response-Format, X-Appwrite-Timeout, X-Appwrite-ID, X-Appwrite-Timestamp, X-Appwrite-Session, "
    "X-Appwrite-Platform, X-Appwrite-Impersonate-User-Id, X-Appwrite-Impersonate-User-Email, "
    "X-Appwrite-Impersonate-User-Phone, X-SDK-Version, X-SDK-Name, X-SDK-Language, X-SDK-Platform, X-SDK-GraphQL, "
    "X-SDK-Profile, Range, Cache-Control, Expires, Pragma, X-Fallback-Cookies, X-Requested-With, X-Forwarded-For, "
    "X-Forwarded-User-Agent"
)
_FIXED = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", _ALLOWED_HEADERS.encode()),
    (b"access-control-expose-headers", b"X-Appwrite-Session, X-Fallback-Cookies"),
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-max-age", b"86400"),
]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", ""})


def is_known(origin: str) -> bool:
    """Whether a page of this origin may call; a request without an origin comes from no page."""
    return (urlsplit(origin).hostname or "") in _LOOPBACK


def require_known(origin: str) -> None:
    """Raises general_unknown_origin."""
    if origin and not is_known(origin):
        host = urlsplit(origin).hostname or origin
        raise AppwriteError(
            "general_unknown_origin",
            f"Invalid Origin. Pages of {host} may not call this server: open them on localhost or 127.0.0.1.",
        )


def headers(origin: str, preflight: bool = False) -> list[tuple[bytes, bytes]]:
    """The CORS headers of an answer to a page of this origin; a preflight tells nothing, so it is always granted."""
    if not origin:
        return []
    if preflight or is_known(origin):
        return [*_FIXED, (b"access-control-allow-origin", origin.encode("latin-1", "replace"))]
    return _FIXED

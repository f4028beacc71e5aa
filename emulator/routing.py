"""Finds the handler of a path in time that does not grow with the number of routes."""

from __future__ import annotations

from collections.abc import Iterable

from emulator import unserved
from emulator.errors import AppwriteError
from emulator.wire import Handler

PREFIX = "/v1"


class Router:
    """A tree of path segments; `{name}` matches any one segment."""

    def __init__(self, routes: Iterable[tuple[str, str, Handler]]) -> None:
        self._root = _Node()
        for method, path, handler in routes:
            node = self._root
            names: list[str] = []
            for segment in path.strip("/").split("/"):
                if segment.startswith("{"):
                    names.append(segment[1:-1])
                    node.wildcard = node.wildcard or _Node()
                    node = node.wildcard
                else:
                    node = node.children.setdefault(segment, _Node())
            node.handlers[method] = (handler, tuple(names))

    def match(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """The handler and its path parameters; `path` is decoded, so no parameter holds a slash; GET serves HEAD.

        Raises general_route_not_found, or general_not_implemented (501) for a service that is not served at all.
        """
        if not path.startswith(PREFIX + "/"):
            raise _not_found()
        segments = path[len(PREFIX) + 1 :].rstrip("/").split("/")
        found = self._root.find(segments, 0, "GET" if method == "HEAD" else method)
        if found is None and segments[0] in unserved.SERVICES - self._root.children.keys():
            return unserved.refuse, {}
        if found is None:
            raise _not_found()
        (handler, names), values = found
        return handler, dict(zip(names, values, strict=True))


class _Node:
    """One segment of the tree."""

    __slots__ = ("children", "handlers", "wildcard")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.handlers: dict[str, tuple[Handler, tuple[str, ...]]] = {}
        self.wildcard: _Node | None = None

    def find(
        self, segments: list[str], at: int, method: str
    ) -> tuple[tuple[Handler, tuple[str, ...]], list[str]] | None:
        """The deepest match, literal segments first."""
        if at == len(segments):
            entry = self.handlers.get(method)
            return None if entry is None else (entry, [])
        child = self.children.get(segments[at])
        found = child.find(segments, at + 1, method) if child is not None else None
        if found is None and self.wildcard is not None:
            found = self.wildcard.find(segments, at + 1, method)
            if found is not None:
                found[1].insert(0, segments[at])
        return found


def _not_found() -> AppwriteError:
    return AppwriteError("general_route_not_found", "The requested route was not found. Please refer to the API docs.")

"""What this server serves of Appwrite, told from its own routes: the text of COVERAGE.md."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emulator import console, unserved, wire
from emulator.app import App, create_app
from emulator.auth import CONSOLE
from emulator.columns import KINDS
from emulator.routes import ROUTES
from emulator.routing import PREFIX

_PROJECT = "coverage"
_SCOPES = re.compile(r'missing scopes \(\["(.+)"\]\)')
_KIND = re.compile(rf"(/columns|/attributes)/(?:{'|'.join(KINDS)})\b")
_HEAD = f"""# What the embedded server serves

Made by `python -m emulator coverage > emulator/COVERAGE.md`; a test fails when this file is older than the routes. The
behaviour kept is that of Appwrite {wire.VERSION}.

- **Served**: the routes in the first tables, each method with the scope it asks of an API key; any one of several
  suffices. `account`: a signed-in user, keys never. `-`: everybody, or whoever the permissions of the thing name.
- **501** `general_not_implemented`: a route Appwrite has and this server does not, named in the answer.
- **404** `general_route_not_found`: every other path or method. A known route whose thing is missing answers with the
  404 of that thing, such as `row_not_found`.

`KIND` is one of {", ".join(KINDS)}.
`WS {PREFIX}/realtime` is served too, with channels in the URL and with `subscribe` messages. Every path
begins with `{PREFIX}`.
"""


def document() -> str:
    """The whole text, from the routes and from what a key without scopes is told by each of them."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Path(folder), _PROJECT)
        server = app.state.server
        key = server.keys.create("without scopes", frozenset())
        scopes = asyncio.run(_scopes(app, key))
        for each in (server, server.console):
            if each is not None:
                each.db.close()
    served = [(method, path) for method, path, _ in ROUTES]
    operators = [(m, p) for m, p, handler in console.ROUTES if handler is not unserved.refuse]
    missing = [(m, p) for m, p, _ in unserved.ROUTES]
    missing += [(m, p) for m, p, handler in console.ROUTES if handler is unserved.refuse]
    first = {path.split("/")[1] for _, path in served}
    whole = ", ".join(f"`/{name}`" for name in sorted(unserved.SERVICES - first))
    parts = [_HEAD, "## Served\n"]
    parts += [f"### {name}\n\n{_table(routes, scopes)}" for name, routes in _by_service(served).items()]
    parts.append(f"## Served in the project `{CONSOLE}`\n\nFor operators and the official command line.\n")
    parts += [_table(operators, {}), "## Answered with 501\n", f"All below {whole}, and:\n", _table(missing, {})]
    return "\n".join(parts)


async def _scopes(app: App, key: str) -> Mapping[tuple[str, str], str]:
    """(method, path) -> the scopes named to a key that has none; "-" where none is asked for."""
    return {(method, path): await _asked_scope(app, key, method, path) for method, path, _ in ROUTES}


async def _asked_scope(app: App, key: str, method: str, path: str) -> str:
    answer = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        answer.extend(message.get("body", b""))

    headers = {"x-appwrite-project": _PROJECT, "x-appwrite-key": key, "content-type": "application/json"}
    target = PREFIX + re.sub(r"\{[^}]*\}", "x", path)
    scope = {
        "type": "http", "method": method, "path": target, "raw_path": target.encode(), "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    try:
        said = json.loads(answer)
    except ValueError:
        return "-"
    found = _SCOPES.search(said.get("message", "")) if isinstance(said, dict) else None
    return found[1].replace('","', " or ") if found else "-"


def _by_service(routes: Iterable[tuple[str, str]]) -> Mapping[str, list[tuple[str, str]]]:
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for method, path in routes:
        found[path.split("/")[1]].append((method, path))
    return found


def _table(routes: Iterable[tuple[str, str]], scopes: Mapping[tuple[str, str], str]) -> str:
    """One line a path; names of parameters are left out, since they are no part of the interface."""
    lines: defaultdict[str, set[str]] = defaultdict(set)
    for method, path in routes:
        scope = scopes.get((method, path), "")
        lines[_KIND.sub(r"\1/KIND", re.sub(r"\{[^}]*\}", "{}", path))].add(f"{method} {scope}".strip())
    rows = (f"| `{path}` | {', '.join(sorted(methods))} |" for path, methods in lines.items())
    head = "methods and scopes" if scopes else "methods"
    return "\n".join([f"| path | {head} |", "|---|---|", *rows, ""])

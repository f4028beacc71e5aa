"""Plays recorded exchanges with a real Appwrite server again and says where the answers differ."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from PIL import Image

DATA = Path(__file__).parents[1] / "data" / "appwrite"
_SETS = frozenset({"events", "channels", "subscriptions"})
_VARIABLE = re.compile(r"\{\{([^}]+)\}\}")
_WHOLE = re.compile(r"^\{\{any:(\w+)\}\}$")
_DATETIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
_TEXT_PATTERNS = {
    "datetime": _DATETIME,
    "id": r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}",
    "int": r"-?\d+",
    "number": r"-?\d+(\.\d+)?",
    "boolean": "true|false",
    "string": ".*",
}
_KINDS: dict[str, tuple[type, ...]] = {
    "datetime": (str,), "id": (str,), "string": (str,), "int": (int,), "number": (int, float), "boolean": (bool,),
    "list": (list,),
}  # fmt: skip


def lines(group: str) -> Iterator[dict[str, Any]]:
    """The recorded exchanges of a group, in the order of play."""
    with (DATA / f"{group}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


class Player:
    """Sends recorded requests and keeps the variables that answers define."""

    def __init__(self, endpoint: str, variables: dict[str, str]) -> None:
        origin = endpoint.removesuffix("/v1")
        self.variables = {
            "endpoint": endpoint, "endpoint.origin": origin, "endpoint.host": origin.partition("//")[2], **variables
        }  # fmt: skip
        self._session = requests.Session()

    def filled(self, value: Any) -> Any:
        """The value with its variables replaced; unknown ones and `any:` stay."""
        if isinstance(value, str):
            return _VARIABLE.sub(lambda m: str(self.variables.get(m[1], m[0])), value)
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if isinstance(value, dict):
            return {self.filled(key): self.filled(each) for key, each in value.items()}
        return value

    def play(self, line: dict[str, Any]) -> list[str]:
        """Send one exchange; returns its differences, none where it agrees."""
        time.sleep(line.get("wait_s", 0))
        for _ in range(line.get("times", 1)):
            answer = self._until(line)
        body = _body_of(answer)
        self.capture(line.get("captures", {}), answer)
        expected = line["response"]
        found = [] if answer.status_code == expected["status"] else [f"status {answer.status_code}"]
        found += _compare_headers(self.filled(expected.get("headers", {})), answer)
        return found + list(differences(self.filled(expected["body"]), body, "", answer.content))

    def send(self, request: dict[str, Any]) -> requests.Response:
        """Send a recorded request."""
        request = self.filled(request)
        query = [(key, _query_text(value)) for key, value in request.get("query") or []]
        url = self.variables["endpoint"] + request["path"]
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query)
        headers = dict(request.get("headers", {}))
        data, files = _encoded(request.get("body"))
        if files is not None:
            headers.pop("content-type", None)
        prepared = requests.Request(request["method"], url, headers=headers, data=data, files=files).prepare()
        return self._session.send(prepared, timeout=40, allow_redirects=False)

    def _until(self, line: dict[str, Any]) -> requests.Response:
        answer = self.send(line["request"])
        self._session.cookies.clear()
        until = self.filled(line.get("until"))
        deadline = time.monotonic() + (until or {}).get("timeout_s", 0)
        while until and time.monotonic() < deadline and not _reached(until, _body_of(answer)):
            time.sleep(0.05)
            answer = self.send(line["request"])
        return answer

    def capture(self, captures: dict[str, str], answer: requests.Response) -> None:
        """Keep what an answer defines for later lines."""
        body = _body_of(answer)
        for name, source in captures.items():
            kind, _, where = source.partition(":")
            if kind == "json":
                found = list(_pointed(body, where))
                self.variables[name] = str(found[0]) if found else ""
            elif kind == "header":
                self.variables[name] = answer.headers.get(where, "")
            else:
                self.variables[name] = "; ".join(cookie.partition(";")[0] for cookie in _set_cookies(answer))


def differences(expected: Any, actual: Any, path: str = "", raw: bytes = b"") -> Iterator[str]:
    """Where an answer is not what was recorded, as `path: what`."""
    if isinstance(expected, str):
        yield from _text_differences(expected, actual, path)
    elif isinstance(expected, list):
        yield from _list_differences(expected, actual, path)
    elif isinstance(expected, dict):
        yield from _object_differences(expected, actual, path, raw)
    elif actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
        yield f"{path}: {actual!r} instead of {expected!r}"


def _text_differences(expected: str, actual: Any, path: str) -> Iterator[str]:
    whole = _WHOLE.match(expected)
    if whole and whole[1] == "json":
        return
    if whole:
        kinds = _KINDS[whole[1]]
        good = isinstance(actual, kinds) and (bool in kinds or not isinstance(actual, bool))
        if good and isinstance(actual, str) and whole[1] != "string":
            good = re.fullmatch(_TEXT_PATTERNS[whole[1]], actual) is not None
    elif "{{any:" in expected:
        parts = re.split(r"\{\{any:(\w+)\}\}", expected)
        pattern = "".join(f"({_TEXT_PATTERNS[p]})" if i % 2 else re.escape(p) for i, p in enumerate(parts))
        good = isinstance(actual, str) and re.fullmatch(pattern, actual, re.DOTALL) is not None
    else:
        good = actual == expected
    if not good:
        yield f"{path}: {str(actual)[:80]!r} instead of {expected[:80]!r}"


def _list_differences(expected: list[Any], actual: Any, path: str) -> Iterator[str]:
    if not isinstance(actual, list) or len(actual) != len(expected):
        yield f"{path}: {str(actual)[:80]} instead of a list of {len(expected)}"
    elif path.rpartition("/")[2] in _SETS and all(isinstance(each, str) for each in expected):
        free = list(actual)
        for each in sorted(expected, key=lambda text: "{{any:" in text):
            match = next((other for other in free if not list(differences(each, other))), None)
            if match is None:
                yield f"{path}: {each} is missing"
            else:
                free.remove(match)
    else:
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{path}/{index}")


def _object_differences(expected: dict[str, Any], actual: Any, path: str, raw: bytes) -> Iterator[str]:
    marker = next(iter(expected), "")
    if marker in _MARKERS:
        yield from _marked_differences(marker, expected[marker], actual, path, raw)
        return
    if not isinstance(actual, dict):
        yield f"{path}: {str(actual)[:80]} instead of an object"
        return
    wanted = {key: value for key, value in expected.items() if key != "$more"}
    if surplus := [] if expected.get("$more") else sorted(actual.keys() - wanted.keys()):
        yield f"{path}: unexpected {', '.join(surplus)}"
    for key, value in wanted.items():
        if key in actual:
            yield from differences(value, actual[key], f"{path}/{key}")
        else:
            yield f"{path}/{key}: missing"


_MARKERS = frozenset({"$base64", "$bytes", "$image", "$repeat", "$json", "$includes"})


def _marked_differences(marker: str, expected: Any, actual: Any, path: str, raw: bytes) -> Iterator[str]:
    if marker == "$json":
        yield from differences(expected, json.loads(actual), path)
    elif marker == "$includes":
        for each in expected:
            if not any(not list(differences(each, other)) for other in actual):
                yield f"{path}: {each} is missing"
    else:
        same: dict[str, Callable[[], bool]] = {
            "$base64": lambda: base64.b64decode(expected) == raw,
            "$bytes": lambda: (len(raw), hashlib.sha256(raw).hexdigest()) == (expected["size"], expected["sha256"]),
            "$image": lambda: _picture(raw) == expected,
            "$repeat": lambda: actual == expected[0] * expected[1],
        }
        if not same[marker]():
            yield f"{path}: other content"


def _picture(raw: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(raw)) as picture:
        return {"type": str(picture.format).lower(), "width": picture.width, "height": picture.height}


def _compare_headers(expected: dict[str, Any], answer: requests.Response) -> Iterator[str]:
    for name, value in expected.items():
        if name == "set-cookie":
            yield from differences(
                sorted(_cookie_shape(cookie) for cookie in value),
                sorted(_cookie_shape(cookie) for cookie in _set_cookies(answer)),
                "set-cookie",
            )
        else:
            # within a text, where a number is written as one
            yield from differences(f"{name}: {value}", f"{name}: {answer.headers.get(name)}", name)


def _cookie_shape(cookie: str) -> str:
    """Name and attribute names of a Set-Cookie line."""
    first, *attributes = (part.strip() for part in cookie.split(";"))
    names = [part if part.lower().startswith("samesite") else part.partition("=")[0] for part in attributes]
    return "; ".join([first.partition("=")[0], *sorted(name.lower() for name in names)])


def _set_cookies(answer: requests.Response) -> list[str]:
    values = answer.raw.headers.getlist("set-cookie")
    return [str(value) for value in values]


def _body_of(answer: requests.Response) -> Any:
    if "json" in answer.headers.get("content-type", ""):
        return answer.json() if answer.content else ""
    return answer.text if len(answer.content) < 1_000_000 else ""


def _reached(until: dict[str, Any], body: Any) -> bool:
    found = list(_pointed(body, until["path"]))
    enough = len(found) >= until.get("count", 1)
    return enough and all(value in until["in"] for value in found)


def _pointed(body: Any, pointer: str) -> Iterator[Any]:
    values = [body]
    for part in pointer.strip("/").split("/"):
        if part == "*":
            values = [each for value in values if isinstance(value, list) for each in value]
        else:
            values = [value[part] for value in values if isinstance(value, dict) and part in value]
    yield from values


def _query_text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value["$query"], separators=(",", ":"), ensure_ascii=False)
    return str(value)


def _encoded(body: Any) -> tuple[bytes | list[tuple[str, str]] | None, list[Any] | None]:
    if body is None:
        return None, None
    if isinstance(body, dict) and "$raw" in body:
        return str(body["$raw"]).encode(), None
    if isinstance(body, dict) and "$multipart" in body:
        parts = body["$multipart"]
        files = [(f["field"], (f["filename"], _content(f["content"]), f["type"])) for f in parts["files"]]
        return [(str(key), str(value)) for key, value in parts["fields"]], files
    return json.dumps(expanded(body), ensure_ascii=False).encode(), None


def expanded(value: Any) -> Any:
    """A recorded body with its repeated texts and queries written out."""
    if isinstance(value, dict) and "$repeat" in value:
        return value["$repeat"][0] * value["$repeat"][1]
    if isinstance(value, dict) and set(value) == {"$query"}:
        return _query_text(value)
    if isinstance(value, dict):
        return {key: expanded(each) for key, each in value.items()}
    return [expanded(each) for each in value] if isinstance(value, list) else value


def _content(content: dict[str, Any]) -> bytes:
    if "text" in content:
        return str(content["text"]).encode()
    if "base64" in content:
        return base64.b64decode(content["base64"])
    if content.get("generator", {}).get("kind") == "sha256-stream":
        seed, size = content["generator"]["seed"], content["generator"]["size"]
        blocks = (hashlib.sha256(f"{seed}:{number}".encode()).digest() for number in range(-(-size // 32)))
        start, end = content.get("slice", (0, size))
        return b"".join(blocks)[:size][start:end]
    if content.get("generator", {}).get("kind") == "tar.gz":
        return packed({name: text.encode() for name, text in content["generator"]["files"].items()})
    raise ValueError(f"unknown content {sorted(content)}")


def packed(files: dict[str, bytes]) -> bytes:
    """A tar.gz of these files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()

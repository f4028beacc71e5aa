"""The edge of the embedded server: what is served, what answers 501, and that nothing of Appwrite was forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import appwrite.services
import pytest

from emulator import unserved
from emulator.coverage import document
from emulator.errors import AppwriteError
from emulator.routes import ROUTES
from emulator.routing import PREFIX, Router

ROOT = Path(__file__).resolve().parents[2]
SDK = sorted(Path(appwrite.services.__path__[0]).glob("*.py"))
# the services served here: each of their methods by its own path, so that no parameter swallows a word
OWN = {"account", "databases", "functions", "storage", "tables_db", "teams", "tokens", "users"}
_CALL = re.compile(r"api_path = '([^']+)'(.*?)(?:self\.client\.call\(\s*'(\w+)'|self\.client\.chunked_upload\()", re.S)


def shape(path: str) -> str:
    """A path without the names of its parameters."""
    return re.sub(r"\{[^}]*\}", "{}", path)


SERVED = {(method, shape(path)) for method, path, _ in ROUTES}
REFUSED = {(method, shape(path)) for method, path, _ in unserved.ROUTES}


def calls(module: Path) -> list[tuple[str, str]]:
    """(method, path) of every request a service of the SDK makes."""
    text = module.read_text(encoding="utf-8")
    found = _CALL.findall(text)
    assert len(found) == text.count("api_path = '"), module.name
    return [((method or "post").upper(), path) for path, _, method in found]


def test_the_document_is_what_the_routes_say() -> None:
    written = (ROOT / "emulator/COVERAGE.md").read_text(encoding="utf-8")

    assert written == document(), "run `python -m emulator coverage > emulator/COVERAGE.md`"


def test_the_document_names_scopes_as_keys_are_asked_for_them() -> None:
    text = document()

    assert "| `/health` | GET health.read |" in text
    assert "| `/ping` | GET - |" in text
    assert "DELETE buckets.write, GET buckets.read, PUT buckets.write" in text
    assert "`/account/recovery` | POST, PUT |" in text


def test_no_route_is_served_and_refused_at_once() -> None:
    assert SERVED.isdisjoint(REFUSED)


@pytest.mark.parametrize("module", [m for m in SDK if m.stem in OWN], ids=lambda m: m.stem)
def test_every_method_of_a_served_service_is_served_or_refused_by_name(module: Path) -> None:
    assert len(calls(module)) > 4
    assert [call for call in calls(module) if (call[0], shape(call[1])) not in SERVED | REFUSED] == []


@pytest.mark.parametrize("module", [m for m in SDK if m.stem not in OWN], ids=lambda m: m.stem)
def test_every_method_of_another_service_answers_501_and_not_404(module: Path) -> None:
    router = Router((*ROUTES, *unserved.ROUTES))
    for method, path in calls(module):
        handler, _ = router.match(method, PREFIX + shape(path).replace("{}", "x"))
        assert handler is unserved.refuse or (method, shape(path)) in SERVED, (method, path)


@pytest.mark.parametrize("path", ["/nothing", "/tablesdb/a/b", "/account/nothing/x", "/functions/f/nothing", ""])
def test_a_path_that_no_appwrite_has_is_not_found(path: str) -> None:
    router = Router((*ROUTES, *unserved.ROUTES))

    with pytest.raises(AppwriteError) as raised:
        router.match("GET", PREFIX + path)
    assert (raised.value.type, raised.value.status) == ("general_route_not_found", 404)

"""The guide to deployment: its steps, its commands, and the two documents that must be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.schema import schema
from scripts.setup_db import parse

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")


def test_the_guide_goes_step_by_step_from_the_database_to_the_check() -> None:
    headings = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)

    assert headings == ["Requirements", "1. Database", "2. Function", "3. Renderer", "4. Check"]


def test_the_readme_leads_to_the_guide_and_to_the_architecture() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "(docs/deploying.md)" in readme
    assert "(docs/architecture.md)" in readme
    assert (ROOT / "docs/architecture.md").read_text(encoding="utf-8").count("\n## ") >= 3


def test_every_call_of_the_set_up_script_in_the_guide_is_one_it_takes() -> None:
    lines = re.findall(r"python scripts/setup_db\.py([^\n#]*)", GUIDE)
    options = re.findall(r"^\| `(--[\w-]+)` \|", GUIDE, re.MULTILINE)

    assert len(lines) >= 3
    for words in (*lines, *options):
        parse(words.split())


def test_an_option_the_script_has_not_is_refused() -> None:
    with pytest.raises(SystemExit):
        parse(["--drop"])


def test_the_scopes_of_the_renderers_key_are_those_of_the_function() -> None:
    (row,) = (line for line in GUIDE.splitlines() if line.startswith("| for the renderer |"))
    named = {word.partition(".")[0] for word in re.findall(r"`([\w.]+)`", row)} - {"", "appwrite"}

    assert named == {scope.partition(".")[0] for scope in schema()["functions"][0]["scopes"]}

"""What the documents promise is there: settings, dependencies, commands, and a test for every acceptance line."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda f: f.name)
def test_every_setting_stands_in_the_readme_with_default_unit_and_meaning(setting: object) -> None:
    meta = setting.metadata  # type: ignore[attr-defined]
    default = setting.default  # type: ignore[attr-defined]
    shown = f"`{default}`" if default != "" else "-"

    assert f"| `{meta['env']}` | {shown} | {meta['unit']} | {meta['meaning']} |" in README


def test_every_direct_dependency_stands_in_the_readme_with_a_reason() -> None:
    table = README.split("## Dependencies")[1].split("## Limits")[0]
    names = [re.split(r"[<>=;\[ ]", d)[0] for d in PYPROJECT["project"]["dependencies"]]

    assert [n for n in names if f"`{n}`" not in table] == []


def test_the_functions_requirements_are_pinned_as_the_lock_pins_them() -> None:
    """One version of a package on the laptop and on Appwrite."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = (ROOT / "functions/video_generation/requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert pins
    assert [p for p in pins if f"\n{p} " not in lock] == []


def test_the_lock_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def acceptance_lines() -> list[tuple[str, str]]:
    """(id, what stands behind it) of docs/acceptance.md."""
    text = (ROOT / "docs/acceptance.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (S\d-\d\d) \| (.+?) \|", text, flags=re.MULTILINE)


def test_every_promise_stands_in_the_acceptance_table_once() -> None:
    ids = [i for i, _ in acceptance_lines()]
    counts = {"S0": 33, "S1": 74, "S2": 66, "S3": 46, "S4": 47}

    assert sorted(ids) == sorted(f"{s}-{n:02}" for s, count in counts.items() for n in range(1, count + 1))


@pytest.mark.parametrize(("promise", "behind"), acceptance_lines())
def test_the_test_behind_a_promise_exists(promise: str, behind: str) -> None:
    """`path::name` for what is kept; "not yet: reason" for what is not."""
    if behind.startswith("not yet: "):
        assert len(behind) > 15
        return
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", behind)
    assert named, f"{promise} names no test"
    for path, name in named:
        assert re.search(rf"^\s*(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name

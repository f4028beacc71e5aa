"""What a newcomer finds where they look for it: top-level names, commands, schema, documents."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from core import schema

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "functions/video_generation/main.py",
        "scripts/setup_db.py",
        "core",
        "appwrite.json",
        "tests",
        "README.md",
        "LICENSE",
    ],
)
def test_the_promised_names_are_at_their_places(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_function_directory_holds_handler_and_requirements() -> None:
    (function,) = schema.schema()["functions"]
    handler = ROOT / function["path"] / function["entrypoint"]
    names = {n.name for n in ast.parse(handler.read_text(encoding="utf-8")).body if isinstance(n, ast.AsyncFunctionDef)}

    assert "main" in names
    assert (handler.parent / "requirements.txt").read_text(encoding="utf-8").strip()
    assert str((handler.parent / "requirements.txt").relative_to(ROOT)) in function["commands"]


def test_the_function_is_for_users_within_legal_time_and_started_by_rows_and_every_minute() -> None:
    (function,) = schema.schema()["functions"]

    assert function["execute"] == ["users"]
    assert 0 < function["timeout"] <= 900
    assert function["events"] == ["databases.video_metadata.tables.videos.rows.*.create"]
    assert function["schedule"] == "* * * * *"


def test_the_schema_has_the_database_tables_and_buckets() -> None:
    tables = {t["$id"]: t for t in schema.schema()["tables"]}
    buckets = {b["$id"]: b for b in schema.schema()["buckets"]}

    assert schema.database_id() == "video_metadata"
    assert {"videos", "scenes", "assets", "claims", "settings"} <= set(tables)
    assert {"final_videos", "scene_videos", "subtitles", "source_code"} <= set(buckets)
    assert set(schema.BUCKET_OF.values()) <= set(buckets)


def test_nothing_is_readable_or_writable_by_everybody() -> None:
    """Documents and files are their owner's; only `uploads` takes files from users."""
    assert all(t["rowSecurity"] and t["$permissions"] == [] for t in schema.schema()["tables"])
    for bucket in schema.schema()["buckets"]:
        assert bucket["fileSecurity"]
        assert bucket["$permissions"] == (['create("users")'] if bucket["$id"] == schema.UPLOADS else [])


def test_what_is_not_needed_is_left_out_of_a_deployment() -> None:
    (function,) = schema.schema()["functions"]
    everything, *rest = function["ignore"].split()
    wanted = {name.removeprefix("!") for name in rest if name.startswith("!")}

    assert everything == "/*", "what is not named stays at home: nobody knows every name a secret may have"
    assert wanted == {"/core", "/functions", "/appwrite.json"}
    assert {".env", ".env.*", "core/fonts", "tests"} <= set(rest)


def test_one_file_starts_stops_and_inspects_everything() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", makefile, re.MULTILINE))
    names = {name for line in targets for name in line.split()}

    assert {"up", "down", "start-all", "stop-all", "worker", "scheduler", "monitor"} <= names
    assert {"status", "stats", "logs", "purge", "demo", "test", "bench", "doctor"} <= names
    assert re.search(r"^purge:.*DESTRUCTIVE", makefile, re.MULTILINE)


def test_the_commands_of_the_makefile_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\(RUN\) ([a-z]+)", makefile))
    shown = subprocess.run(
        [ROOT / ".venv/bin/scenewright", "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert [name for name in sorted(used) if not re.search(rf"\b{name}\b", shown)] == []


def test_the_readme_deploys_in_three_steps() -> None:
    part = README.split("## On a real Appwrite project")[1].split("\n## ")[0]

    assert re.findall(r"^(\d)\. ", part, re.MULTILINE) == ["1", "2", "3"]


def test_the_readme_has_a_cure_for_the_usual_troubles() -> None:
    part = README.split("## Troubleshooting")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]

    assert len(rows) >= 4
    assert all(line.count("|") == 4 for line in rows)
    for trouble in ("unreachable", "Waiting for a renderer", "queued", "no events"):
        assert trouble in part


def test_every_link_and_picture_of_the_documents_is_there() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = document.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r'src="([^":]+)"', text)
        assert [link for link in links if not (document.parent / link).exists()] == [], document.name

"""A changed appwrite.json becomes real by a restart of the local stack, and what was recorded stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.adapters.appwrite_client import AppwriteClient
from core.schema import database_id
from tests.emulator.conftest import ROOT

TABLE = f"/tablesdb/{database_id()}/tables/videos"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The product's own files, whose schema may be changed."""
    for name in ("core", "emulator", "functions", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "fonts"))
    (tmp_path / "core" / "fonts").symlink_to(ROOT / "core" / "fonts")
    shutil.copy(ROOT / "appwrite.json", tmp_path)
    return tmp_path


def run(clone: Path, *words: str) -> None:
    """One command of the clone, on a data folder of its own."""
    ours = ("APPWRITE_", "SCENEWRIGHT_", "GEMINI_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {"PYTHONPATH": str(clone)}
    command = [sys.executable, "-m", "core.cli", *words, "--data", str(clone / "data")]
    ran = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def reached(clone: Path) -> AppwriteClient:
    """The running stack's server, with its key."""
    known = json.loads((clone / "data" / "stack.json").read_text())
    return AppwriteClient(known["endpoint"], known["project"], known["key"])


def test_a_changed_schema_needs_a_restart_only(clone: Path) -> None:
    row = {"rowId": "kept", "data": {"owner_id": "ada", "topic": "Volcanoes", "status": "cancelled"}}
    try:
        run(clone, "up", "--detach")
        reached(clone).call("post", f"{TABLE}/rows", {"content-type": "application/json"}, row)
        run(clone, "down")
        raw: dict[str, Any] = json.loads((clone / "appwrite.json").read_text())
        (videos,) = (t for t in raw["tables"] if t["$id"] == "videos")
        videos["columns"].append({"key": "mood", "type": "string", "size": 32, "required": False, "array": False})
        videos["indexes"].append({"key": "by_mood", "type": "key", "columns": ["mood"], "orders": ["ASC"]})
        (clone / "appwrite.json").write_text(json.dumps(raw))

        run(clone, "up", "--detach")

        client = reached(clone)
        changed = {"data": {"mood": "calm"}}
        client.call("patch", f"{TABLE}/rows/kept", {"content-type": "application/json"}, changed)
        kept = client.call("get", f"{TABLE}/rows/kept")
        assert (kept["topic"], kept["mood"]) == ("Volcanoes", "calm")
        assert "by_mood" in [i["key"] for i in client.call("get", TABLE)["indexes"]]
    finally:
        run(clone, "down")

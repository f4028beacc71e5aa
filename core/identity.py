"""How ids and keys are made: hashes of what a thing is, so that making it twice finds the first."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def digest(*parts: Any) -> str:
    """Hex SHA-256 over the parts' canonical JSON; 36 digits of it make an Appwrite id."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: Path) -> str:
    """Hex MD5 of a file's bytes: no secret, only what Appwrite calls a file's signature."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def asset_id(video_id: str, key: str) -> str:
    """The id of an asset's row: reuse is within one video."""
    return digest(video_id, key)[:36]


def slots_id(moment: datetime) -> str:
    """Under what the claims of a day's calls to a language model are kept, where else a video's id stands."""
    return f"planner-{moment.astimezone(UTC):%Y%m%d}"


def scene_id(video_id: str, number: int) -> str:
    """The id of a scene's row."""
    return digest("scene", video_id, number)[:36]

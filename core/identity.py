"""How ids and keys are made: hashes of what a thing is, so that making it twice finds the first."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def digest(*parts: Any) -> str:
    """Hex SHA-256 over the parts' canonical JSON; 36 digits of it make an Appwrite id."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


def asset_id(video_id: str, key: str) -> str:
    """The id of an asset's row: reuse is within one video."""
    return digest(video_id, key)[:36]


def scene_id(video_id: str, number: int) -> str:
    """The id of a scene's row."""
    return digest("scene", video_id, number)[:36]

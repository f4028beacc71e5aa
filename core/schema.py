"""The one schema, read from appwrite.json: ids, columns, limits, for everybody who needs them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[1] / "appwrite.json"

VIDEOS, SCENES, ASSETS, EVENTS, CLAIMS, SETTINGS = "videos", "scenes", "assets", "events", "claims", "settings"
MEMORY = "agent_memory"  # errors of written programs, and what mended them
FUNCTION = "video_generation"
FILMS = "final_videos"
UPLOADS = "uploads"  # the only bucket clients write to: music and other things they bring

BUCKET_OF = {  # kind of asset -> bucket
    "storyboard": "source_code",
    "code": "source_code",
    "picture": "scene_videos",
    "voice": "scene_videos",
    "footage": "scene_videos",
    "fitted": "scene_videos",
    "clip": "scene_videos",
    "fade": "scene_videos",
    "srt": "subtitles",
    "vtt": "subtitles",
    "film": FILMS,
    "thumbnail": FILMS,
}


@functools.cache
def schema() -> dict[str, Any]:
    """The parsed appwrite.json."""
    loaded: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return loaded


def database_id() -> str:
    """The id of the only database."""
    return str(schema()["tablesDB"][0]["$id"])


def columns(table: str) -> dict[str, dict[str, Any]]:
    """Column key -> its declaration."""
    (found,) = (t for t in schema()["tables"] if t["$id"] == table)
    return {c["key"]: c for c in found["columns"]}


def column_size(table: str, column: str) -> int:
    """How many characters a string column holds."""
    return int(columns(table)[column]["size"])


def bucket(bucket_id: str) -> dict[str, Any]:
    """The declaration of a bucket."""
    (found,) = (b for b in schema()["buckets"] if b["$id"] == bucket_id)
    return dict(found)

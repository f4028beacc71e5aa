"""Scenes in a file of a person's own, and the pictures, clips and recordings that it names: read, checked, sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.errors import InvalidInputError
from core.identity import digest, file_sha256
from core.material import PICTURE_BYTES, TAKES, looks_like
from core.schema import UPLOADS, bucket
from core.wishes import KINDS

_FILE_BYTES = 1_000_000
_HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class ScenesFile:
    """The scenes as the API takes them, but for local files: those stand under picture, clip and audio."""

    scenes: list[Any]
    files: Mapping[tuple[int, str], Path]  # (place in the list, kind) -> local file

    def body(self, id_of: Callable[[Path], str]) -> list[Any]:
        """As the API takes them; `id_of` gives the id of a file that was, or will be, sent."""
        told = [dict(scene) if isinstance(scene, dict) else scene for scene in self.scenes]
        for (place, kind), path in self.files.items():
            del told[place][kind]
            told[place][f"{kind}_file_id"] = id_of(path)
        return told


def read_scenes(path: Path) -> ScenesFile:
    """The scenes of a JSON file; names of files in it count from its folder.

    Raises:
        InvalidInputError: it, or a file that it names, is not there or not what it should be.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise _bad(f"{path} cannot be read: {error.strerror}.", "scenes_unreadable") from error
    if len(raw) > _FILE_BYTES:
        raise _bad(f"{path} is over 1 MB, which is no list of scenes.", "scenes_too_big")
    try:
        scenes = json.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise _bad(f"{path} is no JSON: {error}.", "not_json") from error
    if not isinstance(scenes, list):
        raise _bad(f"{path} must hold a list of scenes.", "not_a_list")
    files = {
        (place, kind): check_file(path.parent / str(scene[kind]), kind, f"scenes[{place}].{kind}")
        for place, scene in enumerate(scenes)
        if isinstance(scene, dict)
        for kind in KINDS
        if scene.get(kind)
    }
    return ScenesFile([_without_empty(scene) for scene in scenes], files)


def _without_empty(scene: Any) -> Any:
    """A scene without the names of files that are empty."""
    if not isinstance(scene, dict):
        return scene
    return {name: value for name, value in scene.items() if value or name not in KINDS}


def _bad(sentence: str, code: str) -> InvalidInputError:
    return InvalidInputError(sentence, code=code, field="scenes")


def check_file(path: Path, kind: str, field: str) -> Path:
    """The path, when it is a file that may be sent as this kind. Raises InvalidInputError naming the field."""
    limit = min(int(bucket(UPLOADS)["maximumFileSize"]), PICTURE_BYTES if kind == "picture" else 2**63)
    try:
        with path.open("rb") as file:
            head, size = file.read(_HEAD_BYTES), path.stat().st_size
    except OSError as error:
        said = f"The {kind} {path} cannot be read: {error.strerror}."
        raise InvalidInputError(said, code=f"{kind}_unreadable", field=field) from error
    if size > limit:
        said = f"The {kind} {path} has {size / 1e6:.0f} MB; at most {limit / 1e6:.0f} are allowed."
        raise InvalidInputError(said, code=f"{kind}_too_big", field=field)
    known = path.suffix.lower().lstrip(".") in bucket(UPLOADS)["allowedFileExtensions"]
    if not known or not looks_like(kind, head):
        raise InvalidInputError(f"{path.name} must be {TAKES[kind]}.", code=f"bad_{kind}", field=field)
    return path


def send(client: AppwriteClient, path: Path, owner_id: str, what: str) -> str:
    """Send a file of a person to the bucket of uploads; the same file is sent once. Returns its id.

    what: for what it is sent, part of its id.
    """
    file_id = digest(what, owner_id, file_sha256(path))[:36]
    return AppwriteFiles(client).upload(UPLOADS, file_id, path, owner_id).file_id

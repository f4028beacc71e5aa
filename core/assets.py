"""Made files: kept once under the hash of everything that went into them, and believed only when whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.documents import Asset, Scene, Video
from core.errors import ConflictError, NotFoundError, ScenewrightError, UnavailableError
from core.identity import asset_id, digest, file_md5, file_sha256
from core.ports import Parts
from core.schema import BUCKET_OF

_FETCHES = 2  # other bytes may come once by an accident of the way, not twice


def find(parts: Parts, video_id: str, key: str) -> Asset | None:
    """The asset with this key, if its row is there and storage holds its file whole, with the bytes it had."""
    return _whole(parts, parts.store.asset(asset_id(video_id, key)))


def of_scene(parts: Parts, scene: Scene, kind: str) -> Asset:
    """An asset that a rendered scene points at.

    Raises:
        NotFoundError: the row or the file is gone, or the file is not whole.
    """
    known = _known(scene, kind)
    asset = _whole(parts, parts.store.asset(known)) if known else None
    if asset is None:
        raise _missing(scene, kind)
    return asset


def recorded(rows: Mapping[str, Asset], scene: Scene, kind: str) -> Asset:
    """The same out of rows that were read together, by their ids; `fetch` finds out whether the file is whole.

    Raises:
        NotFoundError: the row is gone.
    """
    asset = rows.get(_known(scene, kind))
    if asset is None:
        raise _missing(scene, kind)
    return asset


def _known(scene: Scene, kind: str) -> str:
    """The id of an asset as the scene names it; empty: it names none."""
    return str(json.loads(scene.assets or "{}").get(kind, ""))


def _missing(scene: Scene, kind: str) -> NotFoundError:
    return NotFoundError(f"The {kind} of scene {scene.scene_number} is gone.", code="asset_gone")


def _whole(parts: Parts, asset: Asset | None) -> Asset | None:
    if asset is None:
        return None
    file = parts.files.stat(asset.bucket_id, asset.file_id)
    return asset if file and file.holds(asset.bytes, str(asset.facts.get("md5", ""))) else None


def keep(parts: Parts, video: Video, kind: str, key: str, path: Path, facts: Mapping[str, Any]) -> Asset:
    """Upload a finished file, then record it: a row never points at half a file."""
    return record(parts, video, send(parts, video, kind, key, path), facts)


def send(parts: Parts, video: Video, kind: str, key: str, path: Path) -> Asset:
    """Upload a file; returns what is to be recorded of it."""
    sha256 = file_sha256(path)
    bucket_id = BUCKET_OF[kind]
    # the kind is in the id so that two buckets of one name never meet
    file_id = digest(video.id, kind, sha256)[:36]
    # called after its video: whoever dies before the row leaves a file that the video's deletion finds
    stored = parts.files.upload(bucket_id, file_id, path, video.owner_id, video.id)
    return Asset(
        id=asset_id(video.id, key),
        video_id=video.id,
        kind=kind,
        key=key,
        bucket_id=bucket_id,
        file_id=file_id,
        sha256=sha256,
        bytes=stored.bytes,
        facts={"md5": stored.md5 or file_md5(path)},
    )


def record(parts: Parts, video: Video, sent: Asset, facts: Mapping[str, Any]) -> Asset:
    """Record a file that was sent, with its facts.

    Whoever recorded a whole file of this key first is right. A row whose file was lost or broken gets the new one:
    encodes are not alike to the bit, so it has another name.
    """
    asset = replace(sent, facts={**facts, **sent.facts})
    kept = parts.store.create_asset(asset, video.owner_id)
    if kept.file_id == asset.file_id:
        return kept
    if _whole(parts, kept) is None:
        with contextlib.suppress(ConflictError):  # somebody else replaced it first
            replaced = parts.store.replace_asset(kept, asset)
            discard(parts, kept)
            return replaced
    discard(parts, asset)
    return _as_recorded(parts, asset)


def _as_recorded(parts: Parts, asset: Asset) -> Asset:
    """The row that others wrote in the place of this asset's."""
    there = parts.store.asset(asset.id)
    if there is None:
        raise UnavailableError(f"The row of the {asset.kind} {asset.id} went away while it was written.")
    return there


def discard(parts: Parts, asset: Asset) -> None:
    """Delete a file that no row points at; a file left over costs room, nothing else."""
    with contextlib.suppress(ScenewrightError):
        if all(a.file_id != asset.file_id for a in parts.store.assets(asset.video_id)):
            parts.files.delete(asset.bucket_id, asset.file_id)


def fetch(parts: Parts, asset: Asset, out: Path) -> Path:
    """Bring an asset's file here, unless it is here already.

    Raises:
        NotFoundError: it is gone, or not what was kept; whoever looks for the asset next will make it again.
    """
    if out.exists() and file_sha256(out) == asset.sha256:
        return out
    for _ in range(_FETCHES):
        try:
            parts.files.download(asset.bucket_id, asset.file_id, out)
        except NotFoundError as error:
            raise _gone(asset) from error
        if file_sha256(out) == asset.sha256:
            return out
        out.unlink()
    parts.files.delete(asset.bucket_id, asset.file_id)  # or it would be found again, and fetched in vain for ever
    raise _gone(asset)


def _gone(asset: Asset) -> NotFoundError:
    """Another attempt makes the asset again."""
    return NotFoundError(f"The {asset.kind} {asset.file_id} is gone.", code="asset_gone", retryable=True)


def url_of(parts: Parts, asset: Asset) -> str:
    """The plain view URL for the documents."""
    return parts.files.view_url(asset.bucket_id, asset.file_id)

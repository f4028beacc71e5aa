"""Made files: kept once under the hash of everything that went into them, and believed only when whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.documents import Asset, Scene, Video
from core.errors import NotFoundError, UnavailableError
from core.identity import asset_id, digest, file_sha256
from core.ports import Parts
from core.schema import BUCKET_OF


def find(parts: Parts, video_id: str, key: str) -> Asset | None:
    """The asset with this key, if its row is there and storage holds its file whole."""
    return _whole(parts, parts.store.asset(asset_id(video_id, key)))


def of_scene(parts: Parts, scene: Scene, kind: str) -> Asset:
    """An asset that a rendered scene points at.

    Raises:
        NotFoundError: the row or the file is gone, or the file is not whole.
    """
    recorded = json.loads(scene.assets or "{}").get(kind)
    asset = _whole(parts, parts.store.asset(recorded)) if recorded else None
    if asset is None:
        raise NotFoundError(f"The {kind} of scene {scene.scene_number} is gone.", code="asset_gone")
    return asset


def _whole(parts: Parts, asset: Asset | None) -> Asset | None:
    if asset is None:
        return None
    file = parts.files.stat(asset.bucket_id, asset.file_id)
    return asset if file and file.complete and file.bytes == asset.bytes else None


def keep(parts: Parts, video: Video, kind: str, key: str, path: Path, facts: Mapping[str, Any]) -> Asset:
    """Upload a finished file, then record it: a row never points at half a file."""
    sha256 = file_sha256(path)
    bucket_id = BUCKET_OF[kind]
    # the kind is in the id so that two buckets of one name never meet
    file_id = digest(video.id, kind, sha256)[:36]
    stored = parts.files.upload(bucket_id, file_id, path, video.owner_id)
    asset = Asset(
        id=asset_id(video.id, key),
        video_id=video.id,
        kind=kind,
        key=key,
        bucket_id=bucket_id,
        file_id=file_id,
        sha256=sha256,
        bytes=stored.bytes,
        facts=facts,
    )
    return parts.store.create_asset(asset, video.owner_id)


def fetch(parts: Parts, asset: Asset, out: Path) -> Path:
    """Bring an asset's file here, unless it is here already.

    Raises:
        UnavailableError: what arrived is not what was kept.
    """
    if out.exists() and file_sha256(out) == asset.sha256:
        return out
    parts.files.download(asset.bucket_id, asset.file_id, out)
    if file_sha256(out) != asset.sha256:
        out.unlink()
        raise UnavailableError(f"The {asset.kind} {asset.file_id} came back with other bytes than were kept.")
    return out


def url_of(parts: Parts, asset: Asset) -> str:
    """The plain view URL for the documents."""
    return parts.files.view_url(asset.bucket_id, asset.file_id)

"""Fills a folder with the weights of the models: which, from where, at which revision, under which licence."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import requests

from core.engines.image_weights import SOURCES as PICTURES
from core.engines.image_weights import Source
from core.errors import InvalidInputError, UnavailableError

HUB = "https://huggingface.co"
_SECONDS = (10.0, 60.0)  # to connect, between two pieces
_PIECE = 1 << 20
# Coqui's releases have no revisions; the name of the release is one
VITS_ARCHIVE = "https://github.com/coqui-ai/TTS/releases/download/v0.6.1_models/tts_models--en--ljspeech--vits.zip"
VITS_LICENCE = "apache-2.0"  # 0.15 GB
XTTS = Source(
    "coqui/XTTS-v2", "6c2b0d75eae4b7047358e3b6bd9325f857d43f77", "cpml (non-commercial)", 1.9,
    {name: name for name in ("LICENSE.txt", "config.json", "model.pth", "speakers_xtts.pth", "vocab.json")},
)  # fmt: skip
HUB_MODELS: dict[str, tuple[Source, ...]] = {**PICTURES, "xtts": (XTTS,)}
NAMES = (*HUB_MODELS, "vits")


def files_of(name: str) -> set[str]:
    """Every file that the folder of a model holds, by its path in it."""
    if name == "vits":
        return {"config.json", "model_file.pth"}
    return {place for source in HUB_MODELS[name] for place in source.files.values()}


def seed(folder: Path, names: Sequence[str], *, hub: str = HUB, vits: str = VITS_ARCHIVE) -> list[str]:
    """Put the weights of these models into `folder`/<name>; files that are there whole are left as they are.

    Args:
        folder: of all weights.
        names: out of NAMES.
        hub: where models with a revision come from.
        vits: address of the archive of the English voice.

    Returns:
        One line per model: its name, what it came from, licence, bytes.

    Raises:
        InvalidInputError: there is no model of that name.
        UnavailableError: a server did not answer, or what it sent is not what it announced.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        said = f"not {unknown[0][:40]!r}" if unknown else "at least one"
        raise InvalidInputError(f"Models are {', '.join(NAMES)}: {said}.", code="unknown_model", field="names")
    lines = []
    for name in names:
        if name == "vits":
            _unpack(vits, folder / name)
            origins = [f"{Path(vits).name} ({VITS_LICENCE})"]
        else:
            for source in HUB_MODELS[name]:
                for path, place in source.files.items():
                    _fetch(f"{hub}/{source.repo}/resolve/{source.revision}/{path}", folder / name / place)
            origins = [f"{s.repo}@{s.revision[:7]} ({s.licence})" for s in HUB_MODELS[name]]
        held = sum(p.stat().st_size for p in (folder / name).rglob("*") if p.is_file())
        lines.append(f"{name}: {', '.join(origins)}, {held} bytes")
    return lines


def _fetch(url: str, place: Path) -> None:
    """Stream to a part file, look at it, then rename."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    content = hashlib.sha256()
    try:
        with requests.get(url, stream=True, timeout=_SECONDS) as response, part.open("wb") as file:
            response.raise_for_status()
            for piece in response.iter_content(_PIECE):
                file.write(piece)
                content.update(piece)
    except requests.RequestException as error:
        raise UnavailableError(f"{url} could not be fetched ({type(error).__name__}); run it again.") from error
    told = [r.headers.get("x-linked-etag", "").strip('"') for r in (*response.history, response)]
    wanted = [etag for etag in told if len(etag) == 64]  # of large files it is their sha256
    if wanted and wanted[0] != content.hexdigest():
        part.unlink()
        raise UnavailableError(f"{url} came with other bytes than announced; run it again.")
    part.replace(place)


def _unpack(url: str, folder: Path) -> None:
    """The files of the archive's one folder, flat."""
    if (folder / "config.json").exists():
        return
    archive = folder / "archive.zip"
    _fetch(url, archive)
    try:
        with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as packed:
            for entry in packed.infolist():
                name = Path(entry.filename).name
                if not entry.is_dir() and "__MACOSX" not in entry.filename:
                    with packed.open(entry) as held, (folder / f"{name}.part").open("wb") as file:
                        shutil.copyfileobj(held, file)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise UnavailableError(f"{url} is no archive; run it again.") from error
    for part in sorted(folder.glob("*.part"), key=lambda p: p.name == "config.json.part"):
        part.replace(part.with_suffix(""))
    archive.unlink()

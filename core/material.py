"""What people bring for their scenes: whose the files are, what they are, and where each scene keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from core.documents import AUTO, Material, Scene, SceneSpec, Storyboard, Upload, Video
from core.engine_ports import Brought, StoryboardBrief
from core.errors import EngineError, InvalidInputError
from core.identity import digest
from core.ports import Parts, StoredFile
from core.schema import UPLOADS
from core.text import sentences
from core.wishes import PROGRAMS, SceneEdit, wishes_of

PICTURE_BYTES = 20_000_000  # at most; clips and sounds may be as large as the bucket takes
_HEAD_BYTES = 64
_CHECKS_AT_ONCE = 8
_TITLE_CHARS = 40
_SOUND_MARKS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"OggS", b"fLaC")
_EBML = b"\x1a\x45\xdf\xa3"  # WebM
TAKES = {
    "picture": "JPEG, PNG or WebP",
    "clip": "MP4, WebM or MOV",
    "audio": "MP3, WAV, M4A, OGG or FLAC",
}


def is_sound(head: bytes) -> bool:
    """Whether a file that begins so may be a sound file, or a film whose sound can be taken."""
    wave = (head[:4], head[8:12]) == (b"RIFF", b"WAVE")
    return wave or head[4:8] == b"ftyp" or head.startswith((*_SOUND_MARKS, _EBML))


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so may be a JPEG, a PNG or a WebP."""
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP")


def is_film(head: bytes) -> bool:
    """Whether a file that begins so may be an MP4, a MOV or a WebM."""
    return head.startswith(_EBML) or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")


_IS = {"picture": is_picture, "clip": is_film, "audio": is_sound}


def looks_like(kind: str, head: bytes) -> bool:
    """Whether a file that begins so may be brought as a picture, clip or audio."""
    return _IS[kind](head)


def own_file(parts: Parts, file_id: str, owner_id: str) -> StoredFile | None:
    """A whole file in the bucket of uploads that this user may read; None: there is none, or not for them."""
    file = parts.files.stat(UPLOADS, file_id)
    roles = (f'"user:{owner_id}"', '"any"')
    readable = file and any(p.startswith("read(") and role in p for p in file.permissions for role in roles)
    return file if file and readable and file.complete else None


# ---- before anything is recorded


def check_plan(parts: Parts, plan: str, owner_id: str) -> None:
    """Refuse files of given scenes that are not there, not the owner's, or not what they should be.

    Raises:
        InvalidInputError: its field is for example `scenes[3].picture_file_id`.
    """
    first: dict[tuple[str, str], int] = {}  # kind and id -> place of the first scene that brings it
    for place, wish in enumerate(wishes_of(plan)):
        for file in wish.files.items():
            first.setdefault(file, place)

    def check(kind: str, file_id: str, place: int) -> None:
        _check(parts, kind, file_id, owner_id, f"scenes[{place}].{kind}_file_id", place + 1)

    with ThreadPoolExecutor(_CHECKS_AT_ONCE) as pool:  # a person waits, and each is two requests
        checked = [pool.submit(check, *file, place) for file, place in first.items()]
        for future in checked:
            future.result()


def _check(parts: Parts, kind: str, file_id: str, owner_id: str, field: str, number: int) -> Upload:
    """The file as it is now, with all that storage can tell of it. Raises InvalidInputError."""
    file = own_file(parts, file_id, owner_id)
    of_scene = f"the {kind} of scene {number}"
    if file is None:
        raise InvalidInputError(
            f"There is no file {file_id!r} of yours in the bucket {UPLOADS}: upload {of_scene} first.",
            code=f"{kind}_not_found",
            field=field,
        )
    if kind == "picture" and file.bytes > PICTURE_BYTES:
        raise InvalidInputError(
            f"{file.name}, {of_scene}, has {file.bytes / 1e6:.0f} MB; at most {PICTURE_BYTES // 10**6} are allowed.",
            code="picture_too_big",
            field=field,
        )
    if not looks_like(kind, parts.files.head(UPLOADS, file_id, _HEAD_BYTES)):
        raise InvalidInputError(
            f"{file.name}, {of_scene}, cannot be used: it must be {TAKES[kind]}.", code=f"bad_{kind}", field=field
        )
    return Upload(file_id, file.mark)


# ---- from the plan to the scenes


class GivenScenes:
    """Implements engine_ports.StoryboardEngine for scenes that a person gave one by one."""

    id = "given"
    usd = 0.0

    def __init__(self, scenes: str) -> None:
        """scenes: the column `plan`."""
        self._scenes = scenes
        self.version = f"1-{digest(scenes)[:12]}"

    def plan(self, brief: StoryboardBrief, _paid: object = None, /) -> Storyboard:
        """The scenes as they were given, what is missing taken from what is there."""
        specs = []
        for number, wish in enumerate(wishes_of(self._scenes), start=1):
            title = wish.title or _title(wish.narration)
            prompt = wish.visual_prompt or wish.narration or title
            engine = PROGRAMS if wish.code else wish.engine
            engine = brief.options.engine if engine in ("", AUTO) else engine
            specs.append(SceneSpec(number, title, wish.narration, prompt, engine, wish.code, wish.files))
        return Storyboard(brief.options.title or specs[0].title, tuple(specs), "given")


def _title(narration: str) -> str:
    """The beginning of a narration, as many words as fit on the screen."""
    first = (sentences(narration) or [""])[0]
    words = first[: _TITLE_CHARS + 1].rsplit(" ", 1)[0] if len(first) > _TITLE_CHARS else first
    return words[:_TITLE_CHARS].rstrip(" .,;:!?…。，、！？-")


def material_of(parts: Parts, files: Mapping[str, str], owner_id: str) -> Material:
    """The files of one scene, each with the mark of its bytes as they are now, so that no other bytes pass for them."""
    found = {kind: own_file(parts, file_id, owner_id) for kind, file_id in files.items()}
    return Material(**{kind: Upload(files[kind], file.mark if file else "") for kind, file in found.items()})


def edited(parts: Parts, video: Video, scene: Scene, edit: SceneEdit) -> dict[str, str]:
    """The columns of a scene that an edit gives values.

    A new picture takes the place of the clip, a new clip of the picture, a program of both.

    Raises:
        InvalidInputError: a file cannot be used, or the scene would have nothing to be heard.
    """
    material = scene.parsed_material
    kept = {kind: upload for kind in ("picture", "clip", "audio") if (upload := getattr(material, kind))}
    for kind, file_id in edit.files.items():
        kept.pop(kind, None)
        if file_id:
            kept.pop({"picture": "clip", "clip": "picture"}.get(kind, ""), None)
            kept[kind] = _check(parts, kind, file_id, video.owner_id, f"{kind}_file_id", scene.scene_number)
    if edit.code:
        kept.pop("picture", None)
        kept.pop("clip", None)
    narration = scene.narration if edit.narration is None else edit.narration
    if not narration and "audio" not in kept:
        raise InvalidInputError(
            f"Scene {scene.scene_number} would have nothing to be heard: give it a narration.",
            code="narration_empty",
            field="audio_file_id" if "audio" in edit.files else "narration",
        )
    columns = edit.columns
    if columns.get("engine") == AUTO:
        chosen = video.parsed_options.engine
        columns["engine"] = parts.settings.picture_names[0] if chosen == AUTO else chosen
    return {**columns, "material": Material(**kept).to_json()}


# ---- when a scene is made


def brought(parts: Parts, video: Video, scene: Scene, kind: str) -> Brought | None:
    """A file of a scene for whoever makes something of it; None: the scene brings none of this kind."""
    upload: Upload | None = getattr(scene.parsed_material, kind)
    if upload is None:
        return None
    said = f"The {kind} of scene {scene.scene_number} ({kind}_file_id)"
    return Brought(upload.mark, said, partial(_fetch, parts, upload, video.owner_id, said))


def _fetch(parts: Parts, upload: Upload, owner_id: str, said: str, out: Path) -> None:
    """Bring an upload here, these bytes and no others. Raises EngineError, UnavailableError."""
    if not upload.mark:
        raise EngineError(f"{said} was not there when the video was planned: give it again.", code="upload_gone")
    file = own_file(parts, upload.file_id, owner_id)
    if file is None:
        raise EngineError(f"{said} is not there any more: upload it and give it again.", code="upload_gone")
    if file.mark != upload.mark:
        raise EngineError(f"{said} is another file now: give it again to use that one.", code="upload_replaced")
    parts.files.download(UPLOADS, upload.file_id, out)

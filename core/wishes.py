"""What people ask of single scenes: the scenes they give one by one, and the changes to one that is there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core import checks
from core.documents import AUTO
from core.errors import InvalidInputError
from core.schema import SCENES, VIDEOS, column_size
from core.text import speakable

TEXT_CHARS = 4_000  # of a narration or visual prompt that a person writes for one scene
PROGRAMS = "manim"  # the engine that runs a scene's own program
KINDS = ("picture", "clip", "audio")  # of files a person may bring for a scene
_FILES = tuple(f"{kind}_file_id" for kind in KINDS)


@dataclass(frozen=True, slots=True)
class SceneWish:
    """One scene as a person gives it; empty: nothing was said of it."""

    narration: str = ""
    title: str = ""
    visual_prompt: str = ""
    engine: str = ""
    code: str = ""
    picture_file_id: str = ""
    clip_file_id: str = ""
    audio_file_id: str = ""

    @property
    def files(self) -> dict[str, str]:
        """Kind -> id of the upload, those that were brought."""
        return {kind: value for kind in KINDS if (value := getattr(self, f"{kind}_file_id"))}

    def maker(self, usual: str) -> str:
        """Who makes what is to be seen; `usual`: where the scene does not say."""
        for kind in ("clip", "picture"):
            if kind in self.files:
                return f"own-{kind}"
        if self.code:
            return PROGRAMS
        return usual if self.engine in ("", AUTO) else self.engine


@dataclass(frozen=True, slots=True)
class SceneEdit:
    """What a person changes about one scene; None: it stays. Of code and files, empty: it has none any more."""

    narration: str | None = None
    visual_prompt: str | None = None
    title: str | None = None  # on-screen
    engine: str | None = None
    code: str | None = None
    picture_file_id: str | None = None
    clip_file_id: str | None = None
    audio_file_id: str | None = None

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the scene's row that change, its material apart."""
        return {name: value for name, value in asdict(self).items() if value is not None and name not in _FILES}

    @property
    def files(self) -> dict[str, str]:
        """Kind -> id of the upload, or empty where there is to be none."""
        return {kind: value for kind in KINDS if (value := getattr(self, f"{kind}_file_id")) is not None}


_NAMES = tuple(SceneEdit.__dataclass_fields__)


# ---- scenes given one by one


def plan_of(raw: object, engines: Collection[str], most: int) -> str:
    """The scenes of a request, checked, as the column `plan` holds them: JSON, without what is empty.

    Raises:
        InvalidInputError: its field is `scenes`, or for example `scenes[3].engine`, counted from 0.
    """
    if not isinstance(raw, list) or not raw:
        raise InvalidInputError("`scenes` must be a list of scenes.", code="not_a_list", field="scenes")
    if len(raw) > most:
        raise InvalidInputError(
            f"There are {len(raw)} scenes; at most {most} are allowed.", code="too_many_scenes", field="scenes"
        )
    wishes = [_wish(scene, f"scenes[{place}]", engines) for place, scene in enumerate(raw)]
    brought = [{name: value for name, value in asdict(wish).items() if value} for wish in wishes]
    plan = json.dumps(brought, ensure_ascii=False, separators=(",", ":"))
    limit = column_size(VIDEOS, "plan")
    if len(plan) > limit:
        raise InvalidInputError(
            f"The scenes have {len(plan):,} characters in all; at most {limit:,} are allowed.",
            code="too_long",
            field="scenes",
        )
    return plan


def wishes_of(plan: str) -> tuple[SceneWish, ...]:
    """Read what `plan_of` wrote."""
    return tuple(SceneWish(**wish) for wish in json.loads(plan or "[]"))


def _wish(raw: object, place: str, engines: Collection[str]) -> SceneWish:
    if not isinstance(raw, Mapping):
        raise InvalidInputError(f"`{place}` must be a JSON object.", code="not_an_object", field=place)
    _refuse_unknown(raw, f"{place}.")
    given = {f"{place}.{name}": value for name, value in raw.items()}
    values = {
        name: _line(given, f"{place}.{name}", limit) if given.get(f"{place}.{name}") else ""
        for name, limit in _line_limits().items()
    }
    values |= {name: checks.upload(given, f"{place}.{name}") for name in _FILES}
    values["engine"] = checks.choice(given, f"{place}.engine", (AUTO, *engines), "")
    values["code"] = checks.source(given, f"{place}.code", column_size(SCENES, "code"))
    wish = SceneWish(**values)
    if not wish.narration and not wish.audio_file_id:
        raise InvalidInputError(
            f"`{place}` has nothing to be heard: give a narration or an audio file.",
            code="narration_empty",
            field=f"{place}.narration",
        )
    _refuse_two(wish.files, wish.code, f"{place}.")
    if wish.code:
        _check_program(wish.engine, engines, f"{place}.")
    return wish


def _line_limits() -> dict[str, int]:
    return {"narration": TEXT_CHARS, "visual_prompt": TEXT_CHARS, "title": column_size(SCENES, "title")}


def _line(raw: Mapping[str, Any], field: str, limit: int) -> str:
    """One line of text with something in it: what is spoken must have letters to say."""
    name, value = field.rpartition(".")[2], " ".join(checks.text(raw, field, limit).split())
    if not value or (name == "narration" and not speakable(value)):
        raise InvalidInputError(f"`{field}` holds nothing that can be used.", code=f"{name}_empty", field=field)
    return value


def _refuse_unknown(raw: Mapping[str, Any], prefix: str) -> None:
    unknown = [str(name)[:60] for name in raw if name not in _NAMES]
    if unknown:
        raise InvalidInputError(
            f"A scene has no `{unknown[0]}`; it has {', '.join(_NAMES)}.",
            code="unknown_option",
            field=prefix + unknown[0] or "body",  # a key may be empty
        )


def _refuse_two(files: Mapping[str, str], code: str, prefix: str) -> None:
    """A scene shows one thing: a picture, a clip, or what its own program draws."""
    shown = [f"{kind}_file_id" for kind in ("picture", "clip") if files.get(kind)] + (["code"] if code else [])
    if len(shown) > 1:
        raise InvalidInputError(
            f"`{prefix}{shown[1]}` and `{prefix}{shown[0]}` cannot both be shown: give one of them.",
            code="two_pictures",
            field=prefix + shown[1],
        )


def _check_program(engine: str, engines: Collection[str], prefix: str) -> None:
    """A program needs the engine that runs it."""
    if PROGRAMS not in engines:
        raise InvalidInputError(
            f"No engine of this deployment runs a scene's own program: it takes {PROGRAMS}.",
            code="no_programs",
            field=f"{prefix}code",
        )
    if engine not in ("", AUTO, PROGRAMS):
        raise InvalidInputError(
            f"`{prefix}code` is run by the engine {PROGRAMS}, not by {engine}.", code="unknown_value",
            field=f"{prefix}engine",
        )  # fmt: skip


# ---- changes


def scene_edit(raw: object, engines: Collection[str]) -> SceneEdit:
    """Turn a decoded body into a change of one scene.

    Raises:
        InvalidInputError: with a code and the field that must change.
    """
    if not isinstance(raw, Mapping):
        raise InvalidInputError("The body must be a JSON object.", code="not_an_object", field="body")
    _refuse_unknown(raw, "")
    given = {name: value for name, value in raw.items() if value is not None and (name, value) != ("engine", "")}
    if not given:
        raise InvalidInputError(f"Give at least one of {', '.join(_NAMES)}.", code="nothing_to_change", field="body")
    changes: dict[str, Any] = {name: checks.upload(given, name) for name in _FILES if name in given}
    for name, limit in _line_limits().items():
        if name in given:
            silent = name == "narration" and given[name] == "" and changes.get("audio_file_id")
            changes[name] = "" if silent else _line(given, name, limit)
    if "engine" in given:
        changes["engine"] = checks.choice(given, "engine", (AUTO, *engines), None)
    if "code" in given:
        changes["code"] = checks.source(given, "code", column_size(SCENES, "code"))
    edit = SceneEdit(**changes)
    _refuse_two(edit.files, edit.code or "", "")
    if edit.code:
        _check_program(edit.engine or "", engines, "")
        edit = SceneEdit(**{**changes, "engine": PROGRAMS})
    return edit

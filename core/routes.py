"""What the function answers to each request, event and tick."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from core import control
from core.costs import day_of, spent_today
from core.create import create_video
from core.dispatch import advance_while, read_handle
from core.documents import Event, Scene, Video
from core.errors import InvalidInputError, MethodError, NotFoundError, RefusedError, ScenewrightError
from core.orders import generation_of
from core.plan import plan
from core.ports import Parts
from core.quote import quote, receipt
from core.request import Choices, amount, validate
from core.schema import FILMS, SCENES, VIDEOS, database_id
from core.status import VideoStatus
from core.sweep import look_after, sweep
from core.wishes import scene_edit

_PAGE_MAX = 100
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Call:
    """One execution, whatever triggered it."""

    trigger: str  # http, event or schedule
    event: str
    method: str
    path: str
    query: Mapping[str, str]
    body: str
    user_id: str  # from Appwrite's header; empty for a server key
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    location: str = ""


def answer(parts: Parts, choices: Choices, call: Call) -> Answer:
    """Do what was asked.

    Raises:
        ScenewrightError: with the HTTP status, code and field of the refusal.
    """
    if call.trigger == "schedule":
        return Answer(200, {"success": True, "looked_at": sweep(parts, choices)})
    if call.trigger == "event":
        row = _json(call.body)
        plan(parts, str(row.get("$id", "")), choices)
        return Answer(200, {"success": True})
    for method, pattern, handler in _ROUTES:
        match = re.fullmatch(pattern, call.path.rstrip("/") or "/")
        if match and method == call.method:
            return handler(parts, choices, call, *match.groups())
    if any(re.fullmatch(pattern, call.path.rstrip("/") or "/") for _, pattern, _ in _ROUTES):
        raise MethodError(f"{call.path} does not take {call.method}.")
    raise NotFoundError(f"There is no {call.method} {call.path[:80]}; GET / lists what there is.", code="no_such_route")


def _json(body: str) -> dict[str, Any]:
    try:
        raw = json.loads(body or "{}")
    except json.JSONDecodeError as error:
        raise InvalidInputError("The body is no JSON.", code="not_json", field="body") from error
    if not isinstance(raw, dict):
        raise InvalidInputError("The body must be a JSON object.", code="not_an_object", field="body")
    return raw


def channels(video_id: str) -> list[str]:
    """The Realtime channels on which this video's documents are published."""
    return [
        f"databases.{database_id()}.tables.{VIDEOS}.rows.{video_id}",
        f"databases.{database_id()}.tables.{SCENES}.rows",
    ]


def _create(parts: Parts, choices: Choices, call: Call) -> Answer:
    raw = _json(call.body)
    key = call.idempotency_key or str(raw.pop("idempotency_key", "") or "")
    if key and not _KEY.fullmatch(key):
        raise InvalidInputError(
            "The Idempotency-Key must be 1 to 128 visible characters.", code="bad_key", field="idempotency_key"
        )
    # who asks is what Appwrite says; only a server key, which no user stands behind, may name an owner
    owner = call.user_id or str(raw.get("userId") or "")
    video = create_video(parts, validate(raw, choices), owner, key)
    body = {"success": True, "videoId": video.id, "status": video.status, "channels": channels(video.id)}
    return Answer(202, body)


def _quote(parts: Parts, choices: Choices, call: Call) -> Answer:
    """What POST /videos with the same body would make, cost and take; nothing is recorded."""
    return Answer(200, {"success": True, **quote(parts, validate(_json(call.body), choices)).body()})


def _own_video(parts: Parts, call: Call, video_id: str) -> Video:
    try:
        video = parts.store.get_video(video_id)
    except NotFoundError as error:
        raise NotFoundError("Video not found", code="video_not_found") from error
    if call.user_id and video.owner_id != call.user_id:
        raise NotFoundError("Video not found", code="video_not_found")
    if control.is_deleting(video) and call.method != "DELETE":
        raise NotFoundError("Video not found", code="video_not_found")
    return video


def _scene_body(scene: Scene) -> dict[str, Any]:
    return {
        "sceneNumber": scene.scene_number,
        "status": scene.status,
        "title": scene.title,
        "narration": scene.narration,
        "description": scene.visual_prompt,
        "imageUrl": scene.image_url,
        "audioUrl": scene.audio_url,
        "videoUrl": scene.video_url,
        "codeUrl": scene.code_url,
        "durationSeconds": scene.duration_seconds,
        "engine": scene.engine,
        "generationId": generation_of(scene),
        "files": {k: file["file_id"] for k, file in json.loads(scene.material or "{}").items()},
        "substitution": json.loads(scene.substitution) if scene.substitution else None,
        "costUsd": scene.cost_usd,
        "error": scene.error_message,
    }


def _video_body(video: Video) -> dict[str, Any]:
    return {
        "videoId": video.id,
        "status": video.status,
        "progress": video.progress,
        "currentStep": video.stage,
        "currentScene": video.current_scene,
        "sceneCount": video.scene_count,
        "etaSeconds": video.eta_seconds,
        "topic": video.topic,
        "createdAt": video.created_at,
        "updatedAt": video.updated_at,
        "durationSeconds": video.duration_seconds,
        "costUsd": video.cost_usd,
        "videoUrl": video.combined_video_url,
        "captionsUrl": video.captions_url,
        "subtitlesUrl": video.subtitles_url,
        "thumbnailUrl": video.thumbnail_url,
        "error": {"code": video.error_code, "message": video.error_message} if video.error_code else None,
    }


def _show(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    video = _own_video(parts, call, video_id)
    scenes = [_scene_body(s) for s in parts.store.scenes(video.id)]
    play = (
        parts.files.play_url(FILMS, video.final_file_id, parts.settings.play_url_seconds)
        if video.final_file_id
        else None
    )
    handle = read_handle(video)
    body = {
        "success": True,
        **_video_body(video),
        "scenes": scenes,
        "script": video.script,
        "play_url": play,
        "renderer": {"name": parts.dispatcher.id, "calls": handle.get("calls", [])},
        "channels": channels(video.id),
        "options": json.loads(video.options or "{}"),
    }
    return Answer(200, body)


def _film(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    video = _own_video(parts, call, video_id)
    if not video.final_file_id:
        raise RefusedError(
            f"The film is not ready: the video is {video.status}, {video.progress} %.", code="film_not_ready"
        )
    url = parts.files.play_url(FILMS, video.final_file_id, parts.settings.play_url_seconds)
    return Answer(302, location=url)


# ---- what a person may ask of a video


def _asked(video: Video, status: int = 202) -> Answer:
    return Answer(status, {"success": True, **_video_body(video), "channels": channels(video.id)})


def _cancel(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    return _asked(control.cancel(parts, _own_video(parts, call, video_id)), 200)


def _retry(parts: Parts, choices: Choices, call: Call, video_id: str) -> Answer:
    body = _json(call.body)
    video, numbers = _own_video(parts, call, video_id), body.get("scenes", [])
    if not isinstance(numbers, list) or not all(type(n) is int and n > 0 for n in numbers):
        raise InvalidInputError(
            "`scenes` must be a list of scene numbers, such as [2, 5].", code="not_numbers", field="scenes"
        )
    return _asked(control.retry(parts, _allowed(parts, video, body), choices, numbers))


def _allowed(parts: Parts, video: Video, body: Mapping[str, Any]) -> Video:
    """The video, with the `max_cost_usd` of the body if there is one."""
    if body.get("max_cost_usd") is None:
        return video
    limit = amount(body, "max_cost_usd")

    def changes(there: Video) -> dict[str, Any]:
        return {"options": replace(there.parsed_options, max_cost_usd=limit).to_json()}

    return advance_while(parts, video, lambda _: True, changes) or video


def _change(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    """Change what may be changed of a video as a whole at any time: the most it may cost."""
    body, video = _json(call.body), _own_video(parts, call, video_id)
    unknown = sorted(set(body) - {"max_cost_usd"})
    if unknown or not body:
        said = f"there is no `{unknown[0][:60]}`" if unknown else "give it"
        raise InvalidInputError(
            f"Of a video `max_cost_usd` can be changed: {said}.", code="unknown_option", field="max_cost_usd"
        )
    return _asked(_allowed(parts, video, body), 200)


def _receipt(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    video = _own_video(parts, call, video_id)
    return Answer(200, {"success": True, **receipt(parts, video, parts.store.scenes(video.id))})


def _resume(parts: Parts, choices: Choices, call: Call, video_id: str) -> Answer:
    video = _allowed(parts, _own_video(parts, call, video_id), _json(call.body))
    return _asked(control.resume(parts, video, choices))


def _edit(parts: Parts, choices: Choices, call: Call, video_id: str, number: str) -> Answer:
    video, changes = _own_video(parts, call, video_id), scene_edit(_json(call.body), choices.engines)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", number):
        raise NotFoundError(f"The video has no scene {number[:20]}.", code="scene_not_found")
    return _asked(control.edit(parts, video, int(number), changes))


def _delete(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    video = _own_video(parts, call, video_id)
    gone = control.delete(parts, video)
    return Answer(200 if gone else 202, {"success": True, "videoId": video.id, "deleted": gone})


def _events(parts: Parts, _: Choices, call: Call, video_id: str) -> Answer:
    video = _own_video(parts, call, video_id)
    limit, offset = _whole_number(call, "limit", _PAGE_MAX, _PAGE_MAX), _whole_number(call, "offset", 0, 100_000)
    found = parts.store.events(video.id, limit=limit, offset=offset)
    return Answer(200, {"success": True, "videoId": video.id, "events": [_event_body(e) for e in found]})


def _event_body(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.kind,
        "scene": event.scene_number or None,
        "attempt": event.attempt,
        "seconds": event.seconds,
        "costUsd": event.cost_usd,
        "sentence": event.sentence,
    }


def _process(parts: Parts, choices: Choices, call: Call, video_id: str = "") -> Answer:
    """What the sweep does, for one video and now; whoever works on it is left in peace."""
    if not video_id:
        video_id = call.query.get("id", "") or str(_json(call.body).get("id", ""))
        if not video_id:
            raise InvalidInputError(
                "Say which video: `id` in the query or in the body.", code="id_required", field="id"
            )
    video = _own_video(parts, call, video_id)
    due = video.due_at is not None and datetime.fromisoformat(video.due_at) <= parts.clock.now()
    if video.status is VideoStatus.FAILED:
        return _asked(control.retry(parts, video, choices))
    if video.status is VideoStatus.QUEUED and not due:
        plan(parts, video.id, choices)  # without waiting for a trigger that may have been lost
    elif due:
        look_after(parts, video, choices)
    return _asked(parts.store.get_video(video.id))


def _whole_number(call: Call, name: str, default: int, high: int) -> int:
    text = call.query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) > high:
        raise InvalidInputError(f"`{name}` must be a number from 0 to {high}.", code="out_of_range", field=name)
    return int(text)


def _list(parts: Parts, _: Choices, call: Call) -> Answer:
    status = call.query.get("status", "")
    if status and status not in set(VideoStatus):
        raise InvalidInputError(
            f"`status` must be one of {', '.join(VideoStatus)}.", code="unknown_value", field="status"
        )
    limit = _whole_number(call, "limit", 25, _PAGE_MAX)
    offset = _whole_number(call, "offset", 0, 100_000)
    videos, total = parts.store.list_videos(call.user_id, status=status, limit=limit, offset=offset)
    return Answer(200, {"success": True, "total": total, "videos": [_video_body(v) for v in videos]})


def _costs(parts: Parts, _: Choices, call: Call) -> Answer:
    """What a user has spent today, and the most they may."""
    user = call.user_id or call.query.get("userId", "")
    if not user:
        raise InvalidInputError("Say whose: `userId` in the query.", code="id_required", field="userId")
    body = {"day": day_of(parts.clock.now()), "usd": round(spent_today(parts, user), 9)}
    return Answer(200, {"success": True, **body, "maxUsd": parts.settings.max_usd_per_user_day or None})


def _health(parts: Parts, _choices: Choices, _call: Call) -> Answer:
    try:
        parts.store.setting("health")
    except ScenewrightError as error:
        return Answer(503, {"success": False, "status": "unhealthy", "error": error.sentence})
    return Answer(200, {"success": True, "status": "ok", "renderer": parts.dispatcher.id})


def _describe(_: Parts, choices: Choices, _call: Call) -> Answer:
    shown = [(m, p.replace("([^/]+)", "{id}", 1).replace("([^/]+)", "{number}")) for m, p, _ in _ROUTES]
    body = {
        "success": True,
        "name": "Scenewright",
        "what": "Turns a topic or a script into a narrated, captioned video.",
        "flow": [
            "1. POST /videos records the video and answers with its id at once.",
            "2. The new row starts the planning: a storyboard, and one row per scene.",
            "3. The renderer is handed the scenes.",
            "4. Subscribe to the channels of the answer: status, progress and scenes arrive as they happen.",
            "5. When the status is completed, GET /videos/{id} gives a play_url; a scene may then be changed.",
        ],
        "routes": [{"method": method, "path": path} for method, path in shown],
        "styles": list(choices.styles),
        "engines": list(choices.engines),
        "topics": choices.topics,
    }
    return Answer(200, body)


_Handler = Callable[..., Answer]
_ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", "/", _describe),
    ("POST", "/", _create),  # the path of executions that name none
    ("POST", "/videos", _create),
    ("POST", "/quote", _quote),
    ("GET", "/videos", _list),
    ("GET", "/videos/([^/]+)", _show),
    ("PATCH", "/videos/([^/]+)", _change),
    ("DELETE", "/videos/([^/]+)", _delete),
    ("GET", "/videos/([^/]+)/film", _film),
    ("GET", "/videos/([^/]+)/events", _events),
    ("GET", "/videos/([^/]+)/receipt", _receipt),
    ("POST", "/videos/([^/]+)/cancel", _cancel),
    ("POST", "/videos/([^/]+)/retry", _retry),
    ("POST", "/videos/([^/]+)/resume", _resume),
    ("POST", "/videos/([^/]+)/process", _process),
    ("POST", "/process", _process),  # the id in the query or in the body
    ("PATCH", "/videos/([^/]+)/scenes/([^/]+)", _edit),
    ("GET", "/costs", _costs),
    ("GET", "/health", _health),
)

"""What happens on a request, an event and a tick: one entrypoint, one path through `core`."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from pathlib import Path
from typing import Any

# the runtime puts its own folder on the path, not the deployment's root, where `core` lies
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core import logs
from core.errors import ScenewrightError
from core.ports import Parts
from core.request import Choices
from core.routes import Answer, Call, answer
from core.settings import Settings
from core.wiring import build_choices, build_parts

logs.set_up(os.environ.get("SCENEWRIGHT_LOG_LEVEL", "INFO"), to_stdout=True)


def settings_of(key: str) -> Settings:
    """The function's settings: its own variables, Appwrite's, and the key that this execution was given."""
    env = dict(os.environ)
    env.setdefault("APPWRITE_ENDPOINT", env.get("APPWRITE_FUNCTION_API_ENDPOINT", ""))
    env["APPWRITE_PROJECT_ID"] = env.get("APPWRITE_FUNCTION_PROJECT_ID", env.get("APPWRITE_PROJECT_ID", ""))
    if key:
        env["APPWRITE_API_KEY"] = key
    return Settings.from_env(env)


@functools.lru_cache(maxsize=4)
def wired(key: str) -> tuple[Parts, Choices]:
    """Parts and choices of one key: warm executions share connections until their key changes."""
    settings = settings_of(key)
    parts = build_parts(settings, function_id=os.environ.get("APPWRITE_FUNCTION_ID", ""))
    return parts, build_choices(settings, parts.files)


async def main(context: Any) -> Any:
    """Answer one execution; bad input is a sentence, never a 500."""
    headers = context.req.headers
    call = Call(
        trigger=headers.get("x-appwrite-trigger", "http"),
        event=headers.get("x-appwrite-event", ""),
        method=context.req.method,
        path=context.req.path,
        query=dict(context.req.query),
        body=context.req.body_text or "",
        user_id=headers.get("x-appwrite-user-id", ""),
        idempotency_key=headers.get("idempotency-key", ""),
    )
    try:
        parts, choices = wired(headers.get("x-appwrite-key", ""))
        # the SDK blocks; a thread keeps this process answering others meanwhile
        result = await asyncio.to_thread(answer, parts, choices, call)
    except ScenewrightError as error:
        if error.http_status >= 500:
            context.error(f"{error.code}: {error.sentence}")
        body = {"success": False, "error": error.sentence, "code": error.code, "field": error.field}
        result = Answer(error.http_status, body)
    if result.location:
        return context.res.redirect(result.location, result.status)
    return context.res.json(result.body, result.status)

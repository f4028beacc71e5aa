"""What `scenewright doctor` looks at where the renderer is Modal: token, app, secret, weights, way to Appwrite."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from core.adapters.modal_dispatch import COMPOSE, RENDERER, explained, modal_client, within_seconds
from core.deployment import SECRET, SECRET_KEYS, VOLUME
from core.doctor_engines import models_of
from core.errors import UnavailableError
from core.findings import BROKEN, WELL, Looks, Seen
from core.settings import Settings
from core.weights import files_of

_COLD_SECONDS = 180.0  # a container that has to be started, its image fetched
_CHECK = "check"  # as modal_app.py names it
_DEPLOY = "run `modal deploy -m modal_app`"


def looks(settings: Settings, *, deep: bool) -> Looks:
    """What to look at, in order. `deep`: also start a container, which costs less than $0.001."""
    found: Looks = [
        ("token", _token),
        ("environment", _environment),
        ("app", partial(_app, settings.modal_app)),
        ("secret", _secret),
        *((name, partial(_weights, name)) for name in models_of(settings)),
    ]
    if deep:
        return [*found, ("container", partial(_container, settings.modal_app))]
    return found


def _asked(question: Any, app: str = "", seconds: float | None = None) -> Any:
    """The answer to a coroutine. Raises ScenewrightError that says what to do, and Modal's NotFoundError."""
    try:
        return within_seconds(question, seconds)
    except modal_client().exception.NotFoundError:
        raise
    except Exception as error:
        raise explained(error, app) from error


def _is_missing(question: Any) -> bool:
    """Whether Modal does not know what is asked for."""
    try:
        _asked(question)
    except modal_client().exception.NotFoundError:
        return True
    return False


def _token() -> Seen:
    async def hello() -> None:
        client = await modal_client().Client.from_env.aio()
        await client.hello.aio()

    _asked(hello())
    return WELL, "Modal accepts the token"


def _environment() -> Seen:
    name = os.environ.get("MODAL_ENVIRONMENT", "")
    if not name:
        return WELL, "Modal's default environment"
    if _is_missing(modal_client().Environment.from_name(name).hydrate.aio()):
        return BROKEN, f"Modal has no environment {name[:64]!r}: set MODAL_ENVIRONMENT to one that it has, or unset it."
    return WELL, f"Modal's environment {name[:64]}"


def _app(app: str) -> Seen:
    modal = modal_client()
    parts = (modal.Cls.from_name(app, RENDERER), modal.Function.from_name(app, COMPOSE))
    if any(_is_missing(part.hydrate.aio()) for part in parts):
        said = f"Modal has no app {app!r} with {RENDERER} and {COMPOSE}"
        return BROKEN, f"{said}: {_DEPLOY}, or set SCENEWRIGHT_MODAL_APP."
    return WELL, f"The app {app!r} is deployed, with {RENDERER} and {COMPOSE}"


def _secret() -> Seen:
    modal = modal_client()
    make = f"`modal secret create --force {SECRET} {' '.join(f'{key}=...' for key in SECRET_KEYS)}`"
    if _is_missing(modal.Secret.from_name(SECRET).hydrate.aio()):
        return BROKEN, f"Modal has no secret {SECRET}: run {make}."
    try:
        within_seconds(modal.Secret.from_name(SECRET, required_keys=list(SECRET_KEYS)).hydrate.aio())
    except modal.exception.Error as error:
        told = [key for key in SECRET_KEYS if key in str(error)]
        return BROKEN, f"The secret {SECRET} lacks {', '.join(told) or 'keys'}: run {make}, then {_DEPLOY}."
    return WELL, f"The secret {SECRET} has its {len(SECRET_KEYS)} keys"


def _weights(name: str) -> Seen:
    modal = modal_client()

    async def held() -> set[str]:
        entries = modal.Volume.from_name(VOLUME).iterdir.aio(f"/{name}", recursive=True)
        return {entry.path.strip("/").removeprefix(f"{name}/") async for entry in entries}

    seed = f"`modal run -m modal_app::seed_weights --names {name}`"
    try:
        there = _asked(held())
    except modal.exception.NotFoundError:
        there = set()
    lacking = sorted(files_of(name) - there)
    if lacking:
        return BROKEN, f"The Volume {VOLUME} lacks {len(lacking)} files of {name}, {lacking[0]} for one: run {seed}."
    return WELL, f"The Volume {VOLUME} has the weights of {name}"


def _container(app: str) -> Seen:
    modal = modal_client()
    try:
        said = _asked(modal.Function.from_name(app, _CHECK).remote.aio(), app, _COLD_SECONDS)
    except modal.exception.NotFoundError:
        return BROKEN, f"The app {app!r} is older than this: {_DEPLOY} again."
    except UnavailableError as error:
        return BROKEN, f"No container could say whether it is well: {error.sentence} See `modal app logs {app}`."
    if said["state"] == "done":
        return WELL, f"A container reaches Appwrite at {said['endpoint']}, with its key"
    return BROKEN, f"A container cannot work with Appwrite: {said['sentence']} Correct the secret {SECRET}."

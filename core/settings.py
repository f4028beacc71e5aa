"""Every setting: its name, environment variable, default, unit and meaning, read once into one frozen value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from core.errors import InvalidInputError


def _setting(env: str, default: Any, unit: str, meaning: str, *, secret: bool = False) -> Any:
    """Declare one setting; the metadata feeds the README's table and `scenewright doctor`."""
    return field(default=default, metadata={"env": env, "unit": unit, "meaning": meaning, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set. Secrets never show in repr."""

    endpoint: str = _setting(
        "APPWRITE_ENDPOINT", "", "URL", "Appwrite's API, ending in /v1; empty: the embedded server is started"
    )
    project_id: str = _setting("APPWRITE_PROJECT_ID", "scenewright", "id", "the Appwrite project")
    api_key: str = _setting(
        "APPWRITE_API_KEY", "", "key", "server key with the scopes of appwrite.json's function", secret=True
    )
    public_endpoint: str = _setting(
        "SCENEWRIGHT_PUBLIC_ENDPOINT", "", "URL", "the endpoint as clients reach it, for file URLs; empty: the same"
    )
    gemini_api_key: str = _setting("GEMINI_API_KEY", "", "key", "turns topics into scripts", secret=True)
    renderer: str = _setting("SCENEWRIGHT_RENDERER", "http", "name", "which renderer gets the work: http or inline")
    render_url: str = _setting(
        "SCENEWRIGHT_RENDER_URL", "", "URL", "address of `scenewright worker`; empty: the file, then the settings row"
    )
    render_url_file: str = _setting(
        "SCENEWRIGHT_RENDER_URL_FILE", "", "path", "a file whose first line is the worker's address"
    )
    render_token: str = _setting(
        "SCENEWRIGHT_RENDER_TOKEN", "", "token", "what a caller must show the worker", secret=True
    )
    workers: int = _setting(
        "SCENEWRIGHT_WORKERS", 0, "processes", "render processes of a worker; 0: one per core, at most 8"
    )
    worker_queue: int = _setting("SCENEWRIGHT_WORKER_QUEUE", 64, "calls", "waiting calls before a worker answers 429")
    parallel_calls: int = _setting(
        "SCENEWRIGHT_PARALLEL_CALLS", 2, "calls", "how many render calls one video is spread over"
    )
    scenes_max: int = _setting("SCENEWRIGHT_SCENES_MAX", 60, "scenes", "more scenes than this are refused")
    tries_max: int = _setting("SCENEWRIGHT_TRIES_MAX", 5, "hand-outs", "hand-outs before a video fails")
    beat_seconds: float = _setting("SCENEWRIGHT_BEAT_SECONDS", 10.0, "s", "how often a scene's holder says it lives")
    stale_seconds: float = _setting(
        "SCENEWRIGHT_STALE_SECONDS", 30.0, "s", "silence after which a holder counts as gone"
    )
    report_seconds: float = _setting(
        "SCENEWRIGHT_REPORT_SECONDS", 1.0, "s", "least time between two progress writes of one renderer"
    )
    queued_due_seconds: float = _setting(
        "SCENEWRIGHT_QUEUED_DUE_SECONDS", 60.0, "s", "when a queued video is looked at again"
    )
    call_deadline_seconds: float = _setting(
        "SCENEWRIGHT_CALL_DEADLINE_SECONDS", 900.0, "s", "how long a call may stay pending before it is cancelled"
    )
    play_url_seconds: int = _setting("SCENEWRIGHT_PLAY_URL_SECONDS", 3600, "s", "how long a play_url plays")
    request_seconds: float = _setting(
        "SCENEWRIGHT_REQUEST_SECONDS", 20.0, "s", "how long one call to Appwrite may take"
    )
    data_dir: str = _setting("SCENEWRIGHT_DATA", ".scenewright", "path", "folder of all that the local stack keeps")
    work_dir: str = _setting("SCENEWRIGHT_WORK_DIR", "", "path", "scratch folder of renderers; empty: the system's")
    ffmpeg: str = _setting("SCENEWRIGHT_FFMPEG", "", "path", "the ffmpeg to use; empty: the packaged one")
    log_level: str = _setting("SCENEWRIGHT_LOG_LEVEL", "INFO", "level", "how much is logged: DEBUG, INFO or WARNING")

    def __repr__(self) -> str:
        """Show every setting but the secret ones."""
        shown = (
            f"{f.name}={'***' if f.metadata['secret'] and getattr(self, f.name) else getattr(self, f.name)!r}"
            for f in fields(self)
        )
        return f"Settings({', '.join(shown)})"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the environment. Raises InvalidInputError naming the variable that cannot be read."""
        source = os.environ if env is None else env
        values: dict[str, Any] = {}
        for f in fields(cls):
            name = f.metadata["env"]
            text = source.get(name, "").strip()
            if not text:
                continue
            kind: Any = type(f.default)
            try:
                values[f.name] = kind(text)
            except ValueError as error:
                raise InvalidInputError(f"{name} must be a {kind.__name__}, not {text[:40]!r}.", field=name) from error
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The environment that gives these settings to a child process; defaults are left out."""
        return {
            f.metadata["env"]: str(getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default
        }

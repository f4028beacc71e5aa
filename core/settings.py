"""Every setting: its name, environment variable, default, unit and meaning, read once into one frozen value."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from core.errors import InvalidInputError
from core.prices import Machine


def _setting(env: str, default: Any, unit: str, meaning: str, *, secret: bool = False) -> Any:
    """Declare one setting; the metadata feeds the README's table and `scenewright doctor`."""
    return field(default=default, metadata={"env": env, "unit": unit, "meaning": meaning, "secret": secret})


PLANNERS = ("text", "gemini", "openai")  # who can write a storyboard
PICTURES = ("cards", "sdxl")  # makers of pictures this product has
FOOTAGE = ("luma", "manim")  # makers of scenes that move by themselves

_ON_MODAL = {"render": "A10,2,12", "compose": ",4,4"}  # machines there, where nothing else is set

# (what waits, how many times as long at least, what it waits for)
_ORDER = (
    ("stale_seconds", 2, "beat_seconds"),
    ("stale_seconds", 2, "report_seconds"),
    ("call_deadline_seconds", 2, "stale_seconds"),
    ("combine_deadline_seconds", 2, "stale_seconds"),
    ("sweep_seconds", 2, "request_seconds"),
    ("planning_seconds", 2, "request_seconds"),
)


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
    planner: str = _setting(
        "SCENEWRIGHT_PLANNER", "", "name", "text, gemini or openai; empty: gemini if GEMINI_API_KEY is set, else text"
    )
    planner_model: str = _setting(
        "SCENEWRIGHT_PLANNER_MODEL", "", "name", "the language model; empty: gemini-3.1-flash-lite for gemini"
    )
    planner_url: str = _setting(
        "SCENEWRIGHT_PLANNER_URL", "", "URL", "of an OpenAI-compatible API, ending in /v1, or of another Gemini"
    )
    planner_key: str = _setting(
        "SCENEWRIGHT_PLANNER_KEY", "", "key", "of the OpenAI-compatible API, if it wants one", secret=True
    )
    planner_calls_per_minute: int = _setting(
        "SCENEWRIGHT_PLANNER_CALLS_PER_MINUTE", 10, "calls", "to the language model, by all videos; 0: any number"
    )
    planner_calls_per_day: int = _setting(
        "SCENEWRIGHT_PLANNER_CALLS_PER_DAY", 500, "calls", "the same for a day (UTC); 0: any number"
    )
    pictures: str = _setting(
        "SCENEWRIGHT_PICTURES",
        "cards",
        "names",
        "makers of pictures (cards, sdxl) and of scenes that move (luma, manim) by comma; the first is the default",
    )
    manim_python: str = _setting(
        "SCENEWRIGHT_MANIM_PYTHON", "", "path", "the Python that has Manim; empty: the renderer's own"
    )
    manim_seconds: float = _setting(
        "SCENEWRIGHT_MANIM_SECONDS", 180.0, "s", "how long the program of one scene may run"
    )
    luma_api_key: str = _setting(
        "LUMAAI_API_KEY", "", "key", "of Luma, which films scenes; without it none are offered", secret=True
    )
    luma_url: str = _setting("SCENEWRIGHT_LUMA_URL", "", "URL", "Luma's API, when it is not Luma's own")
    luma_model: str = _setting("SCENEWRIGHT_LUMA_MODEL", "ray-2", "name", "Luma's model: ray-2 or ray-flash-2")
    luma_deadline_seconds: float = _setting(
        "SCENEWRIGHT_LUMA_DEADLINE_SECONDS", 600.0, "s", "how long Luma may take for a scene before it goes without"
    )
    luma_usd_per_second: float = _setting(
        "SCENEWRIGHT_LUMA_USD_PER_SECOND",
        0.0,
        "USD",
        "what Luma takes for a second of film; 0: estimated from its list prices by pixels",
    )
    voice_engine: str = _setting(
        "SCENEWRIGHT_VOICE", "espeak", "name", "espeak, or a model (vits, xtts) for the languages it knows"
    )
    coqui_tos_agreed: int = _setting(
        "COQUI_TOS_AGREED", 0, "0 or 1", "1: the licence of XTTS v2 (CPML, no commercial use) is accepted"
    )
    weights_dir: str = _setting("SCENEWRIGHT_WEIGHTS", "weights", "path", "folder of the models' weights")
    picture_scale: float = _setting(
        "SCENEWRIGHT_PICTURE_SCALE", 1.0, "times", "sides of a model's pictures against 1024 px; smaller: faster, worse"
    )
    steps_fast: int = _setting(
        "SCENEWRIGHT_STEPS_FAST", 4, "steps", "of a picture of quality fast: those its weights were made for"
    )
    steps_high: int = _setting("SCENEWRIGHT_STEPS_HIGH", 30, "steps", "of a picture of quality high")
    device: str = _setting(
        "SCENEWRIGHT_DEVICE", "", "name", "where models run: cuda or cpu; empty: cuda if there is one"
    )
    renderer: str = _setting("SCENEWRIGHT_RENDERER", "http", "name", "who gets the work: http, inline or modal")
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
    render_machine: str = _setting(
        "SCENEWRIGHT_RENDER_MACHINE",
        "",
        "GPU,cores,GiB",
        "what a call that makes scenes runs on; empty: on Modal A10,2,12, elsewhere it costs nothing",
    )
    compose_machine: str = _setting(
        "SCENEWRIGHT_COMPOSE_MACHINE",
        "",
        "GPU,cores,GiB",
        "what a call that joins runs on; empty: on Modal ,4,4, elsewhere it costs nothing",
    )
    max_usd_per_video: float = _setting(
        "SCENEWRIGHT_MAX_USD_PER_VIDEO", 0.0, "USD", "the most that one video may cost; 0: any amount"
    )
    max_usd_per_user_day: float = _setting(
        "SCENEWRIGHT_MAX_USD_PER_USER_DAY", 0.0, "USD", "the most that one user may spend a day (UTC); 0: any amount"
    )
    # one GPU call per video is the cheapest; a second one costs $0.009 more and saves 33 of 99 s (6 scenes, A10)
    modal_calls: int = _setting("SCENEWRIGHT_MODAL_CALLS", 1, "calls", "the same on Modal, where each has a GPU")
    # so many pictures of 30 steps with their voices and clips take about 11 of the 15 minutes a call may last (L4)
    modal_scenes_per_call: int = _setting(
        "SCENEWRIGHT_MODAL_SCENES_PER_CALL", 30, "scenes", "a longer video gets more calls on Modal; 0: it does not"
    )
    modal_app: str = _setting("SCENEWRIGHT_MODAL_APP", "scenewright", "name", "the app of modal_app.py")
    modal_token_id: str = _setting("MODAL_TOKEN_ID", "", "id", "of the token that Modal's client shows")
    modal_token_secret: str = _setting("MODAL_TOKEN_SECRET", "", "token", "its secret", secret=True)
    modal_environment: str = _setting("MODAL_ENVIRONMENT", "", "name", "Modal's environment; empty: its default")
    modal_server_url: str = _setting("MODAL_SERVER_URL", "", "URL", "Modal's API, when it is not Modal's own")
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
    combine_deadline_seconds: float = _setting(
        "SCENEWRIGHT_COMBINE_DEADLINE_SECONDS", 900.0, "s", "the same for the call that joins the scenes"
    )
    start_deadline_seconds: float = _setting(
        "SCENEWRIGHT_START_DEADLINE_SECONDS",
        900.0,
        "s",
        "how long a call on Modal may wait while nothing is made there; then it is handed out again",
    )
    deadline_factor: float = _setting(
        "SCENEWRIGHT_DEADLINE_FACTOR", 6.0, "times", "a call may take so many times what was expected, if that is more"
    )
    planning_seconds: float = _setting(
        "SCENEWRIGHT_PLANNING_SECONDS", 90.0, "s", "how long planning may take before it counts as gone"
    )
    video_hours: float = _setting(
        "SCENEWRIGHT_VIDEO_HOURS", 24.0, "h", "a video that nobody finished so long after it was asked for fails"
    )
    keep_days: float = _setting(
        "SCENEWRIGHT_KEEP_DAYS", 0.0, "days", "how long an ended video is kept with its files; 0: for ever"
    )
    sweep_seconds: float = _setting(
        "SCENEWRIGHT_SWEEP_SECONDS", 45.0, "s", "how long one sweep goes on taking up videos"
    )
    play_url_seconds: int = _setting("SCENEWRIGHT_PLAY_URL_SECONDS", 3600, "s", "how long a play_url plays")
    request_seconds: float = _setting(
        "SCENEWRIGHT_REQUEST_SECONDS", 20.0, "s", "how long one call to Appwrite may take"
    )
    retry_seconds: float = _setting(
        "SCENEWRIGHT_RETRY_SECONDS", 12.0, "s", "how long a call to Appwrite that fails for a moment is tried again"
    )
    backoff_seconds: float = _setting(
        "SCENEWRIGHT_BACKOFF_SECONDS", 0.5, "s", "about how long before an asset whose error may pass is tried again"
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
        settings = cls(**values)
        settings.check_order()
        settings.check_luma()
        settings.check_costs()
        _ = settings.planner_name
        return settings

    @property
    def planner_name(self) -> str:
        """Who writes storyboards: text, gemini or openai.

        Raises:
            InvalidInputError: SCENEWRIGHT_PLANNER names none of them, or lacks what it needs.
        """
        name = self.planner or ("gemini" if self.gemini_api_key else "text")
        if name not in PLANNERS:
            raise InvalidInputError(
                f"SCENEWRIGHT_PLANNER must be one of {', '.join(PLANNERS)}, not {name[:40]!r}.",
                field="SCENEWRIGHT_PLANNER",
            )
        for env, value in (("URL", self.planner_url), ("MODEL", self.planner_model)):
            if name == "openai" and not value:
                raise InvalidInputError(
                    f"SCENEWRIGHT_PLANNER=openai needs SCENEWRIGHT_PLANNER_{env}.", field=f"SCENEWRIGHT_PLANNER_{env}"
                )
        if self.planner_url and not self.planner_url.startswith(("http://", "https://")):
            raise InvalidInputError(
                "SCENEWRIGHT_PLANNER_URL must begin with http:// or https://.", field="SCENEWRIGHT_PLANNER_URL"
            )
        return name

    @property
    def picture_names(self) -> tuple[str, ...]:
        """The makers of pictures of this deployment, the default first.

        Raises:
            InvalidInputError: SCENEWRIGHT_PICTURES names none, or one that does not exist.
        """
        names = tuple(dict.fromkeys(name.strip() for name in self.pictures.split(",") if name.strip()))
        unknown = [name for name in names if name not in (*PICTURES, *FOOTAGE)]
        if unknown or not names:
            said = f"not {unknown[0][:40]!r}" if unknown else "at least one"
            raise InvalidInputError(
                f"SCENEWRIGHT_PICTURES must name makers of pictures out of {', '.join((*PICTURES, *FOOTAGE))}, {said}.",
                field="SCENEWRIGHT_PICTURES",
            )
        if names[0] not in PICTURES:
            raise InvalidInputError(
                f"SCENEWRIGHT_PICTURES must begin with one of {', '.join(PICTURES)}: {names[0]} makes no pictures.",
                field="SCENEWRIGHT_PICTURES",
            )
        return tuple(name for name in names if name != "luma" or self.luma_api_key)

    def check_luma(self) -> None:
        """A scene must be given up before its whole call is.

        Raises:
            InvalidInputError: naming the variable.
        """
        if "luma" in self.picture_names and not 0 < self.luma_deadline_seconds <= self.call_deadline_seconds:
            raise InvalidInputError(
                "SCENEWRIGHT_LUMA_DEADLINE_SECONDS must be above 0 and at most SCENEWRIGHT_CALL_DEADLINE_SECONDS "
                f"({self.call_deadline_seconds:g}).",
                field="SCENEWRIGHT_LUMA_DEADLINE_SECONDS",
            )
        if self.luma_url and not self.luma_url.startswith(("http://", "https://")):
            raise InvalidInputError(
                "SCENEWRIGHT_LUMA_URL must begin with http:// or https://.", field="SCENEWRIGHT_LUMA_URL"
            )

    def machine_of(self, kind: str) -> Machine:
        """What a job of this kind ("render" or "compose") runs on.

        Raises:
            InvalidInputError: the setting cannot be read.
        """
        usual = _ON_MODAL if self.renderer == "modal" else {}
        if kind == "compose":
            return Machine.parse(self.compose_machine or usual.get(kind, ""), "SCENEWRIGHT_COMPOSE_MACHINE")
        return Machine.parse(self.render_machine or usual.get(kind, ""), "SCENEWRIGHT_RENDER_MACHINE")

    def check_costs(self) -> None:
        """Machines must be readable, and limits amounts.

        Raises:
            InvalidInputError: naming the variable.
        """
        for kind in ("render", "compose"):
            self.machine_of(kind)
        for f in fields(self):
            if f.metadata["unit"] == "USD" and not 0 <= getattr(self, f.name) < math.inf:
                name = f.metadata["env"]
                raise InvalidInputError(f"{name} must be an amount from 0, not {getattr(self, f.name)}.", field=name)

    def check_order(self) -> None:
        """What waits must wait longer than what it waits for.

        Raises:
            InvalidInputError: naming both variables that stand crosswise.
        """
        env = {f.name: f.metadata["env"] for f in fields(self)}
        for longer, times, shorter in _ORDER:
            if getattr(self, longer) < times * getattr(self, shorter):
                much = f"{times:g} times " if times != 1 else ""
                raise InvalidInputError(
                    f"{env[longer]} ({getattr(self, longer):g}) must be at least {much}"
                    f"{env[shorter]} ({getattr(self, shorter):g}).",
                    code="settings_crosswise",
                    field=env[longer],
                )

    def to_env(self) -> dict[str, str]:
        """The environment that gives these settings to a child process; defaults are left out."""
        return {
            f.metadata["env"]: str(getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default
        }

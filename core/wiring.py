"""Which implementation is used: the one place where ports meet what stands behind them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_function import AppwriteFunction
from core.adapters.appwrite_store import AppwriteStore
from core.adapters.http_dispatch import HttpDispatcher
from core.adapters.inline_dispatch import InlineDispatcher
from core.adapters.luma_orders import LumaOrders
from core.adapters.modal_dispatch import ModalDispatcher
from core.costs import Meter
from core.engine_ports import Engines, FootageEngine, PictureEngine, StoryboardEngine, Takers, VoiceEngine
from core.engines.cards_palettes import PALETTES
from core.engines.languages import speaks
from core.engines.storyboard_text import TextStoryboard
from core.errors import InvalidInputError, MissingToolError
from core.ports import Clock, Dispatcher, Files, Job, Parts, Store
from core.request import Choices
from core.schema import FILMS
from core.settings import PICTURES, Settings

if TYPE_CHECKING:
    from core.engines.script_model import LanguageModel
    from core.engines.script_slots import Slots

_RUNS = 3  # of a scene's program, each as long as it may last, that fit into a call
_PLANNER_SHARE = 0.6  # of the time for planning that a language model may take; the rest is for keeping what it said


class SystemClock:
    """Implements ports.Clock with the machine's own."""

    def now(self) -> datetime:
        """See ports.Clock."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See ports.Clock."""
        time.sleep(seconds)


def build_parts(settings: Settings, *, function_id: str = "") -> Parts:
    """Everything the steps work with. Opens no connection yet.

    Args:
        settings: of this process.
        function_id: the function that this process is an execution of; empty: it is none.

    Raises:
        InvalidInputError: a setting names something that does not exist.
    """
    client = _client(settings)
    store = AppwriteStore(client)
    clock = SystemClock()
    dispatcher: Dispatcher
    if settings.renderer == "http":
        dispatcher = HttpDispatcher(settings, store.setting)
    elif settings.renderer == "inline":
        dispatcher = InlineDispatcher(settings.parallel_calls)
    elif settings.renderer == "modal":
        dispatcher = ModalDispatcher(settings)
    else:
        raise InvalidInputError(
            f"SCENEWRIGHT_RENDERER must be http, inline or modal, not {settings.renderer!r}.",
            field="SCENEWRIGHT_RENDERER",
        )
    parts = Parts(
        store=store,
        files=AppwriteFiles(client, settings.public_endpoint),
        dispatcher=dispatcher,
        storyboard=_storyboard(settings, store, clock),
        settings=settings,
        clock=clock,
        plan_soon=AppwriteFunction(client, function_id).process if function_id else None,
        take_back=_take_back(settings),
    )
    if isinstance(dispatcher, InlineDispatcher):
        dispatcher.run = lambda job: run_job(parts, build_engines(settings), job)
    return parts


def _take_back(settings: Settings) -> Callable[[str], None] | None:
    """How orders of footage are taken back, where such orders are taken."""
    offered = "luma" in settings.picture_names
    return LumaOrders(settings.luma_api_key, settings.luma_url).take_back if offered else None


def _client(settings: Settings) -> AppwriteClient:
    return AppwriteClient(
        settings.endpoint,
        settings.project_id,
        settings.api_key,
        seconds=settings.request_seconds,
        patience=settings.retry_seconds,
    )


def _storyboard(settings: Settings, store: Store, clock: Clock) -> StoryboardEngine:
    """Who plans; what is needed to ask a language model is loaded where there is one, its SDK when it is asked."""
    name = settings.planner_name
    if name == "text":
        return TextStoryboard()
    from core.engines.script_planner import ScriptPlanner

    return ScriptPlanner(
        _language_model(settings),
        _slots(settings, store, clock),
        clock,
        seconds=_PLANNER_SHARE * settings.planning_seconds,
        # who is paid for each scene is chosen by people, unless it makes all scenes
        offers=[name for name in settings.picture_names if name != "luma" or settings.picture_names[0] == name],
        scenes_max=settings.scenes_max,
    )


def _language_model(settings: Settings) -> LanguageModel:
    """The one of the settings, which is not "text"."""
    from core.engines.script_gemini import GeminiModel
    from core.engines.script_openai import OpenAiModel

    if settings.planner_name == "gemini":
        return GeminiModel(settings.gemini_api_key, settings.planner_model, settings.planner_url)
    return OpenAiModel(settings.planner_url, settings.planner_model, settings.planner_key)


def _slots(settings: Settings, store: Store, clock: Clock) -> Slots:
    """Calls of the language model: planning and the programs of scenes share them."""
    from core.engines.script_slots import Slots

    return Slots(store, clock, settings.planner_calls_per_minute, settings.planner_calls_per_day)


def build_choices(settings: Settings, files: Files | None = None) -> Choices:
    """What this deployment offers its users; `files`: where the film's bucket is asked for its limit."""
    limits = {} if files is None else {"film_bytes_max": lambda: files.max_bytes(FILMS)}
    return Choices(
        styles=tuple(PALETTES),
        engines=settings.picture_names,
        speaks=speaks,
        topics=settings.planner_name != "text",
        scenes_max=settings.scenes_max,
        **limits,
    )


def build_engines(settings: Settings, shared: Path | None = None) -> Engines:
    """The makers of a renderer, built once per process; imports what is heavy, of models only those that are used.

    Args:
        settings: of this process.
        shared: a folder for what the processes of one renderer need not do twice, emptied when it ends.

    Raises:
        InvalidInputError: a setting names something that does not exist, or a model whose licence is not accepted.
        MissingToolError: the weights of a model are not there.
    """
    from core.engines.cards import CardPictures
    from core.engines.cards_shelf import Shelf
    from core.engines.clip_motion import MotionClips
    from core.engines.film_ffmpeg import FfmpegFilm
    from core.engines.own_files import OwnClip, OwnPicture, OwnVoice
    from core.engines.silence import Silence
    from core.engines.title_card import TitleCard

    cards = CardPictures(Shelf(shared / "cards") if shared else None)
    makers: dict[str, PictureEngine] = {"cards": cards}
    if "sdxl" in settings.picture_names:
        makers["sdxl"] = _sdxl(settings)
    return Engines(
        voice=_voice(settings),
        pictures={name: makers[name] for name in settings.picture_names if name in PICTURES},
        footage=_footage(settings),
        # cards know their layers; any other picture is moved as one
        clip=MotionClips(lambda shot: cards.layers(shot.brief) if shot.picture.suffix == cards.suffix else None),
        film=FfmpegFilm(),
        title_card=TitleCard(),
        silence=Silence(),
        takers=Takers(OwnVoice, OwnPicture, OwnClip),
    )


def _footage(settings: Settings) -> dict[str, FootageEngine]:
    """Makers of scenes that move by themselves; a service's SDK is loaded when it is asked."""
    made: dict[str, FootageEngine] = {}
    if "luma" in settings.picture_names:
        from core.engines.clip_luma import LumaFootage

        made["luma"] = LumaFootage(
            settings.luma_api_key,
            settings.luma_url,
            settings.luma_model,
            deadline=settings.luma_deadline_seconds,
            usd_per_second=settings.luma_usd_per_second,
        )
    if "manim" in settings.picture_names:
        made["manim"] = _manim(settings)
    return made


def _manim(settings: Settings) -> FootageEngine:
    """Programs run in the sandbox of this machine, on Modal in containers of their own, since its kernel has no locks.

    Who plans writes them, if it is a language model.
    """
    from core.adapters.modal_isolated import ModalIsolated
    from core.engines.clip_manim import ManimFootage, Run
    from core.engines.manim_run import LocalRun, RemoteRun

    if not 0 < _RUNS * settings.manim_seconds <= settings.call_deadline_seconds:
        raise InvalidInputError(
            "SCENEWRIGHT_MANIM_SECONDS must be above 0 and at most a third of SCENEWRIGHT_CALL_DEADLINE_SECONDS.",
            field="SCENEWRIGHT_MANIM_SECONDS",
        )
    patience = (_RUNS - 1) * settings.manim_seconds
    run: Run = LocalRun(settings.manim_python, settings.manim_seconds, settings.work_dir)
    if settings.renderer == "modal":
        run = RemoteRun(ModalIsolated(settings.modal_app), settings.manim_seconds)
    if settings.planner_name == "text":
        return ManimFootage(run, patience=patience)
    from core.adapters.appwrite_memory import AppwriteMemory
    from core.engines.manim_writer import ModelWriter

    client, clock = _client(settings), SystemClock()
    writer = ModelWriter(_language_model(settings), _slots(settings, AppwriteStore(client), clock), clock)
    return ManimFootage(run, writer, AppwriteMemory(client), patience=patience)


def _sdxl(settings: Settings) -> PictureEngine:
    """Pictures by a model; its weights are read on first use."""
    from core.engines.image_sdxl import SdxlPictures

    steps = {"fast": settings.steps_fast, "high": settings.steps_high}
    if min(steps.values()) < 1 or not 0 < settings.picture_scale <= 2:
        raise InvalidInputError(
            "SCENEWRIGHT_STEPS_FAST and SCENEWRIGHT_STEPS_HIGH must be at least 1, SCENEWRIGHT_PICTURE_SCALE "
            "above 0 and at most 2.",
            field="SCENEWRIGHT_PICTURE_SCALE",
        )
    weights = Path(settings.weights_dir)
    return SdxlPictures(weights, settings.device, scale=settings.picture_scale, steps=steps)


def _voice(settings: Settings) -> VoiceEngine:
    """espeak-ng, or a model with espeak-ng for the languages and voices that the model has not."""
    from core.engines.voice_espeak import EspeakVoice

    name = settings.voice_engine
    if name == "espeak":
        return EspeakVoice()
    if name not in ("vits", "xtts"):
        raise InvalidInputError(
            f"SCENEWRIGHT_VOICE must be espeak, vits or xtts, not {name[:40]!r}.", field="SCENEWRIGHT_VOICE"
        )
    if name == "xtts" and not settings.coqui_tos_agreed:
        raise InvalidInputError(
            "XTTS v2 is under the Coqui Public Model License, which forbids commercial use: "
            "set COQUI_TOS_AGREED=1 if you agree to it.",
            code="licence_not_accepted",
            field="COQUI_TOS_AGREED",
        )
    from core.engines.voice_coqui import CoquiVoice
    from core.engines.voice_pair import VoicePair

    return VoicePair(CoquiVoice(name, Path(settings.weights_dir)), EspeakVoice())


def load_models(engines: Engines) -> None:
    """Read the weights of the models among the makers into the CPU's memory, which else happens on first use.

    What is in memory then can be kept in a snapshot: no GPU is touched. Weights that are not there are missed by
    whoever needs them, in a sentence that reaches the video.
    """
    for model in engines.pictures.values():
        if hasattr(model, "load"):
            with contextlib.suppress(MissingToolError):
                model.load()


def place(engines: Engines, device: str) -> None:
    """Move the models among the makers, those that can be moved, to a device.

    Args:
        engines: as they were built.
        device: "cuda" or "cpu"; empty: cuda if there is one.
    """
    models = [e for e in (engines.voice, *engines.pictures.values()) if hasattr(e, "to")]
    if models and not device:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    for model in models:
        model.to(device)


def run_job(parts: Parts, engines: Engines, job: Job, before: float = 0.0) -> None:
    """Do one job of a renderer, and count what it costs.

    Args:
        parts: what every step works with.
        engines: the makers.
        job: what is to be done.
        before: seconds that the machine has already run for this job alone, such as its start.

    Raises:
        ScenewrightError: it may succeed in another attempt.
        InvalidInputError: there is no such kind of job.
    """
    from core.combine import compose
    from core.render import render_chunk

    work = {"render": render_chunk, "compose": compose}.get(job.kind)
    if work is None:
        raise InvalidInputError(f"There is no job of kind {job.kind!r}.", code="unknown_job", field="kind")
    meter = Meter(parts.settings.machine_of(job.kind), job, parts.clock.now(), before=before)
    try:
        work(parts, engines, job, meter)
    except Exception:
        meter.settle(parts, job.video_id)
        raise
    meter.settle(parts, job.video_id)

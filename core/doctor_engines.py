"""What `scenewright doctor` looks at of those who plan, speak and draw: keys, weights, packages, a GPU."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import requests

from core.engines.languages import MODELS_SPEAK
from core.errors import MissingToolError
from core.findings import BROKEN, DOUBTFUL, WELL, Looks, Seen
from core.settings import Settings

_SECONDS = (5.0, 15.0)  # to connect, to answer
_GEMINI = "https://generativelanguage.googleapis.com"
# a file without which the folder of a model is none
_MARKS = {
    "sdxl-base": "model_index.json",
    "sdxl-fast": "model_index.json",
    "vits": "config.json",
    "xtts": "config.json",
}


def models_of(settings: Settings) -> tuple[str, ...]:
    """The folders of weights that the makers in force need."""
    pictures = ("sdxl-base", "sdxl-fast") if "sdxl" in settings.picture_names else ()
    return (*pictures, settings.voice_engine) if settings.voice_engine in _MARKS else pictures


def looks(settings: Settings, *, deep: bool) -> Looks:
    """What to look at, in order. `deep`: also ask services that are far away; that costs nothing."""
    found: Looks = [("voice", partial(_voice, settings)), ("planner", partial(_planner, settings, deep))]
    if "luma" in settings.pictures:
        found.append(("luma", partial(_luma, settings)))
    if settings.renderer != "modal" and "manim" in settings.picture_names:
        found.append(("manim", partial(_manim, settings)))
    if settings.renderer != "modal" and models_of(settings):
        found += [(name, partial(_weights, Path(settings.weights_dir), name)) for name in models_of(settings)]
        found.append(("torch", partial(_torch, settings)))
    return found


def _voice(settings: Settings) -> Seen:
    from core.engines.voice_espeak import EspeakVoice

    count = len(EspeakVoice().voices())
    if not count:
        return BROKEN, "espeak-ng lists no voice: install the package espeakng-loader again."
    name = settings.voice_engine
    if name == "xtts" and not settings.coqui_tos_agreed:
        return BROKEN, "XTTS may not be used commercially: set COQUI_TOS_AGREED=1 if you agree, or another voice."
    first = f"{name} for {', '.join(MODELS_SPEAK[name])}, " if name in MODELS_SPEAK else ""
    return WELL, f"{first}espeak-ng with {count} voices"


def _planner(settings: Settings, deep: bool) -> Seen:
    name = settings.planner_name
    if name == "text":
        return WELL, "Scripts are told as they are; for topics set GEMINI_API_KEY, or SCENEWRIGHT_PLANNER"
    if name == "gemini" and not settings.gemini_api_key:
        return BROKEN, "Gemini needs a key: set GEMINI_API_KEY."
    if not deep:
        return WELL, f"Topics are told by {name}, which is not asked without --deep"
    if name == "gemini":
        url, headers = f"{settings.planner_url or _GEMINI}/v1beta/models", {"x-goog-api-key": settings.gemini_api_key}
    else:
        url, headers = f"{settings.planner_url}/models", {"Authorization": f"Bearer {settings.planner_key}"}
    try:
        answer = requests.get(url, headers=headers, timeout=_SECONDS)
    except requests.RequestException as error:
        return (
            BROKEN,
            f"{name} does not answer ({type(error).__name__}): check SCENEWRIGHT_PLANNER_URL and the network.",
        )
    key = "GEMINI_API_KEY" if name == "gemini" else "SCENEWRIGHT_PLANNER_KEY"
    if answer.status_code in (400, 401, 403):
        return BROKEN, f"{name} refuses the key ({answer.status_code}): set {key}."
    if not answer.ok:
        return DOUBTFUL, f"{name} answers {answer.status_code}: check SCENEWRIGHT_PLANNER_URL, or try later."
    return WELL, f"Topics are told by {name}, which accepts the key"


def _luma(settings: Settings) -> Seen:
    if not settings.luma_api_key:
        return BROKEN, "Luma is named and has no key: set LUMAAI_API_KEY, or take luma out of SCENEWRIGHT_PICTURES."
    return WELL, f"Scenes can be filmed by Luma's {settings.luma_model}"


def _manim(settings: Settings) -> Seen:
    from core.engines.manim_run import LocalRun

    version = LocalRun(settings.manim_python, settings.manim_seconds, settings.work_dir).version()
    return WELL, f"Scenes can be animated by Manim {version}, in the sandbox"


def _weights(folder: Path, name: str) -> Seen:
    if not (folder / name / _MARKS[name]).is_file():
        return (
            BROKEN,
            f"There are no weights in {folder / name}: set SCENEWRIGHT_WEIGHTS to the folder that has {name}.",
        )
    return WELL, f"Weights in {folder / name}"


def _torch(settings: Settings) -> Seen:
    try:
        import torch
    except ImportError as error:
        raise MissingToolError(
            "torch is missing: run `make gpu-environment` and use the Python in .venv-gpu."
        ) from error
    if torch.cuda.is_available() and settings.device != "cpu":
        return WELL, f"torch {torch.__version__} on {torch.cuda.get_device_name()}"
    if settings.device.startswith("cuda"):
        return (
            BROKEN,
            "SCENEWRIGHT_DEVICE asks for CUDA, and torch sees no GPU: check its driver, or unset the variable.",
        )
    return DOUBTFUL, f"torch {torch.__version__} without a GPU: a picture takes minutes on the processor."

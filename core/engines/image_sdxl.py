"""Pictures by Stable Diffusion XL on diffusers: SDXL base in 30 steps, or SDXL-Lightning in 4.

Lightning (openrail++, as SDXL base) is preferred to Turbo, whose licence asks for a contract and whose pictures have
512 px. It needs its own step count, the Euler scheduler with trailing timesteps and no guidance, so it knows no
negative prompt.

Memory: 7 GB in half precision for one quality with text encoders and VAE, 5 GB more for the second one, which takes
encoders and VAE from the first where they are the same files; about 3 GB while a picture of 1024 x 1024 is made.
Attention runs through torch's scaled dot product, in channels-last layout.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from core.engine_ports import PictureBrief, Report
from core.engines.image_prompts import NEGATIVE, bucket, is_blank, prompt_of, seed_of
from core.engines.image_weights import fingerprint, has_half
from core.errors import EngineError, MissingToolError, of_system
from core.identity import digest

if TYPE_CHECKING:
    from diffusers import StableDiffusionXLPipeline

_FOLDERS = {"fast": "sdxl-fast", "high": "sdxl-base"}
STEPS = {"fast": 4, "high": 30}
_GUIDANCE = {"fast": 0.0, "high": 6.0}
_MODULES = ("unet", "vae", "text_encoder", "text_encoder_2")
_SHAREABLE = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
_SEEDS = 2  # a picture that shows nothing gets one more

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Order:
    """One picture as the pipeline is asked for it."""

    prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    tell: Report


class SdxlPictures:
    """The picture engine with a model. One pipeline per quality stays in memory for all scenes to come."""

    id = "sdxl"
    suffix = ".png"

    def __init__(
        self, weights: Path, device: str = "", *, scale: float = 1.0, steps: Mapping[str, int] | None = None
    ) -> None:
        """weights: the folder of all weights; device: cuda, cpu, or empty (cuda if there is one).

        scale: size of the pictures against the sizes the model was trained on; steps: by quality, where not STEPS.
        """
        self._weights = weights
        self._device = device
        self._scale = scale
        self._steps = {**STEPS, **(steps or {})}
        self._pipelines: dict[str, StableDiffusionXLPipeline] = {}
        self._version = ""
        self._lock = threading.Lock()  # a pipeline's scheduler counts the steps of one picture at a time

    @property
    def version(self) -> str:
        """Of this engine with these weights, steps and size: pictures of other ones have other keys."""
        if self._version:
            return self._version
        weights = {quality: fingerprint(self._weights / folder) for quality, folder in _FOLDERS.items()}
        version = f"1-{digest(weights, self._steps, self._scale)[:12]}"
        if any(weights.values()):  # else they may be put there later
            self._version = version
        return version

    def load(self, quality: str = "fast") -> None:
        """Read the weights of a quality into the CPU's memory, for a device that is named; CUDA is not touched.

        Raises MissingToolError when they are not there.
        """
        with self._lock:
            if quality not in self._pipelines:
                self._pipelines[quality] = self._read(quality, half=self._device != "cpu")

    def to(self, device: str) -> None:
        """Move what is loaded to a device, and all that is loaded later. Raises MissingToolError, EngineError."""
        with self._lock:
            self._device = device
            for quality in tuple(self._pipelines):
                if quality in self._pipelines:  # else it had to make room for the one before
                    self._placed(quality)

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write the picture as PNG, in the trained size nearest to the canvas.

        Facts: width, height (px), seed, steps, step_seconds, weights (which), warnings (sentences).

        Raises:
            MissingToolError: the weights, the packages or the device are not there.
            EngineError: picture_black; out_of_gpu_memory and gpu_broke, which may pass.
        """
        report(0.0)
        with self._lock:
            pixels, facts = self._made(brief, _rising(report))
        try:
            Image.fromarray(pixels).save(out, "PNG", compress_level=3)
        except OSError as error:
            raise of_system(error) from error
        report(1.0)
        return facts

    def _made(self, brief: PictureBrief, tell: Report) -> tuple[Pixels, dict[str, Any]]:
        """The picture of the first seed that shows anything."""
        quality = brief.quality
        pipeline = self._ready(quality)
        tokenizer = pipeline.tokenizer
        prompt, warnings = prompt_of(brief, lambda text: _tokens(tokenizer, text), tokenizer.model_max_length)
        width, height = bucket(brief.canvas, self._scale)
        order = _Order(prompt, width, height, self._steps[quality], _GUIDANCE[quality], tell)
        for again in range(_SEEDS):
            seed, begun = seed_of(brief, again), time.monotonic()
            latents = self._with_room(quality, partial(_denoised, pipeline, order, seed))
            seconds = (time.monotonic() - begun) / order.steps
            pixels = self._with_room(quality, partial(_decoded, pipeline, latents))
            if pixels is not None and not is_blank(pixels):
                return pixels, {
                    "width": width,
                    "height": height,
                    "seed": seed,
                    "steps": order.steps,
                    "step_seconds": round(seconds, 4),
                    "weights": _FOLDERS[quality],
                    "warnings": warnings,
                }
        raise EngineError("The picture model gave a black picture, with a second seed too.", code="picture_black")

    # ---- the pipelines

    def _ready(self, quality: str) -> StableDiffusionXLPipeline:
        """The pipeline of a quality on its device."""
        if quality not in self._pipelines:
            self._folder(quality)  # what is missing first is told first
            self._pipelines[quality] = self._read(quality, half=self._resolved().startswith("cuda"))
        return self._placed(quality)

    def _placed(self, quality: str) -> StableDiffusionXLPipeline:
        """The pipeline of a quality, which is loaded, on its device."""
        pipeline = self._pipelines[quality]
        self._with_room(quality, partial(_place, pipeline, self._resolved()))
        return pipeline

    def _folder(self, quality: str) -> Path:
        """Where the weights of a quality lie. Raises MissingToolError when they do not."""
        folder = self._weights / _FOLDERS[quality]
        if not (folder / "model_index.json").is_file():
            raise MissingToolError(
                f"The weights of the picture model are missing: there is no pipeline in {folder}. "
                "`modal run modal_app.py::seed_weights` puts them there.",
                code="weights_missing",
            )
        return folder

    def _resolved(self) -> str:
        """The device by name. Raises MissingToolError when this machine does not have it."""
        torch, _ = _packages()
        if not self._device:
            self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if self._device.startswith("cuda") and not torch.cuda.is_available():
            raise MissingToolError(
                "SCENEWRIGHT_DEVICE asks for CUDA, but this machine has no such GPU or its driver is missing.",
                code="no_cuda",
            )
        return self._device

    def _read(self, quality: str, *, half: bool) -> StableDiffusionXLPipeline:
        """Load a quality's folder into the CPU's memory; what another quality has in memory already is shared."""
        folder = self._folder(quality)
        torch, diffusers = _packages()
        try:
            pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(
                folder,
                dtype=torch.float16 if half else torch.float32,  # else the encoders take that of their files
                variant="fp16" if has_half(folder) else None,
                use_safetensors=True,
                local_files_only=True,
                add_watermarker=False,
                **self._shared(quality),
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise MissingToolError(
                f"The weights in {folder} cannot be read ({type(error).__name__}): they are not whole. Delete the "
                "folder and run `modal run modal_app.py::seed_weights` again.",
                code="weights_broken",
            ) from error
        if quality == "fast":
            euler = diffusers.EulerDiscreteScheduler
            pipeline.scheduler = euler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
        pipeline.set_progress_bar_config(disable=True)
        for name in ("unet", "vae"):
            getattr(pipeline, name).to(memory_format=torch.channels_last)
        return pipeline

    def _shared(self, quality: str) -> dict[str, Any]:
        """Components of the other pipelines that are the very same files in this quality's folder."""
        mine = self._weights / _FOLDERS[quality]
        return {
            name: getattr(pipeline, name)
            for other, pipeline in self._pipelines.items()
            for name in _SHAREABLE
            if fingerprint(mine / name) == fingerprint(self._weights / _FOLDERS[other] / name)
        }

    def _with_room(self, quality: str, work: Callable[[], T]) -> T:
        """Let a pipeline work; out of GPU memory once more, alone in memory and with pictures decoded in tiles.

        Raises:
            EngineError: out_of_gpu_memory, since another process may have had the memory; gpu_broke. Both may pass.
        """
        torch, _ = _packages()
        pipeline = self._pipelines[quality]
        try:
            try:
                return work()
            except torch.OutOfMemoryError:
                pass  # left first: the error holds on to what was being made
            self._pipelines = {quality: pipeline}
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            pipeline.vae.enable_tiling()
            return work()
        except torch.OutOfMemoryError as error:
            raise EngineError(
                "The GPU's memory is too small for the picture model; use a GPU with at least 16 GB, or one that "
                "nothing else uses.",
                code="out_of_gpu_memory",
                retryable=True,
            ) from error
        except torch.AcceleratorError as error:  # this process will not draw again
            raise EngineError("The GPU failed while a picture was drawn.", code="gpu_broke", retryable=True) from error
        finally:
            pipeline.vae.disable_tiling()


# ---- with torch


def _packages() -> tuple[Any, Any]:
    """(torch, diffusers), loaded when they are first needed. Raises MissingToolError."""
    try:
        import diffusers
        import torch
        import transformers
    except ImportError as error:
        raise MissingToolError(
            f"The package {error.name} is missing: pictures by sdxl need torch, diffusers and transformers.",
            code="package_missing",
        ) from error
    transformers.logging.set_verbosity_error()  # it names optional packages and counts tokens aloud
    transformers.logging.disable_progress_bar()
    diffusers.logging.disable_progress_bar()
    return torch, diffusers


def _place(pipeline: StableDiffusionXLPipeline, device: str) -> None:
    """Bring a pipeline's models to a device, in half precision on CUDA; a VAE that overflows there stays in single."""
    torch, _ = _packages()
    for name in _MODULES:
        module = getattr(pipeline, name)
        half = device.startswith("cuda") and not (name == "vae" and module.config.force_upcast)
        module.to(device)
        if module.dtype != (dtype := torch.float16 if half else torch.float32):
            module.to(dtype)


def _denoised(pipeline: StableDiffusionXLPipeline, order: _Order, seed: int) -> Any:
    """The latents of one picture. What `order.tell` raises between two steps ends the work."""
    torch, _ = _packages()

    def after_step(_pipeline: Any, index: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        order.tell((index + 1) / (order.steps + 1))
        return {}

    latents = pipeline(
        prompt=order.prompt,
        negative_prompt=NEGATIVE if order.guidance else None,
        width=order.width,
        height=order.height,
        num_inference_steps=order.steps,
        guidance_scale=order.guidance,
        generator=torch.Generator("cpu").manual_seed(seed),  # the same noise on every device
        output_type="latent",
        callback_on_step_end=after_step,
        callback_on_step_end_tensor_inputs=[],
    ).images
    if latents.is_cuda:
        torch.cuda.synchronize()  # so that the time measured is the time it took
    return latents


def _decoded(pipeline: StableDiffusionXLPipeline, latents: Any) -> Pixels | None:
    """The picture (height, width, 3) of the latents; None when it is no number."""
    torch, _ = _packages()
    vae = pipeline.vae
    with torch.no_grad():
        image = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0][0].float()
        if not torch.isfinite(image).all():
            return None
        levels = ((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    pixels: Pixels = levels.permute(1, 2, 0).cpu().numpy()
    return pixels


def _tokens(tokenizer: Any, text: str) -> int:
    """How many tokens a text has, the two marks around it included."""
    return len(tokenizer(text, verbose=False).input_ids)


def _rising(report: Report) -> Report:
    """A report that never falls, also when a picture is made with a second seed."""
    most = 0.0

    def tell(share: float) -> None:
        nonlocal most
        most = max(most, share)
        report(most)

    return tell

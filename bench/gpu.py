"""`python -m bench.gpu`: how fast a GPU draws, with SDXL's full-size architecture and random weights.

The time of a picture does not depend on the weights' values, so no download is needed. Each optimisation is held
against the plain pipeline in single precision: it may change the UNet's answer little more than half precision does.
Needs the packages of tests/gpu/requirements.txt and CUDA; without either it says so and ends well.
Not yet run on a GPU.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.figures import Figure, Topic
from bench.machine import Machine
from bench.report import keep, show

_RESULTS = Path(__file__).resolve().parent / "results"
_FASTEST = "H200"  # the device whose claims are checked
_CLAIMS = {(30, 1): 0.8, (4, 8): 6.0}  # images a second there, by (steps, batch)
_PROMPT = "cinematic illustration of a river of lava at night"
_NEAR = 0.02  # relative error of the UNet's answer in half precision
_NEARER = 0.01  # what a rearrangement may change beyond that

Build = Callable[[Any], Any]  # a pipeline on its device with weights of a torch.dtype, always the same ones


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is drawn."""

    side: int = 1024  # px
    runs: int = 3  # of each figure, after one that is not counted
    orders: tuple[tuple[int, float, int], ...] = ((30, 6.0, 1), (30, 6.0, 8), (4, 0.0, 1), (4, 0.0, 8))


# ---- the architecture


def full_size(folder: Path, device: str) -> Build:
    """A builder of SDXL base's architecture: 2.6 thousand million parameters in the UNet."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    from tests.gpu.tiny import byte_tokenizer

    def build(dtype: Any) -> Any:
        torch.manual_seed(0)
        tokenizer = byte_tokenizer(folder / "tokenizer", 77)
        with torch.device(device):
            parts = {
                "unet": unet(),
                "vae": AutoencoderKL(
                    block_out_channels=(128, 256, 512, 512),
                    down_block_types=("DownEncoderBlock2D",) * 4,
                    up_block_types=("UpDecoderBlock2D",) * 4,
                    layers_per_block=2,
                    latent_channels=4,
                    sample_size=1024,
                    scaling_factor=0.13025,
                    force_upcast=False,
                ),
                "text_encoder": CLIPTextModel(encoder_config(768, 12, 12)),
                "text_encoder_2": CLIPTextModelWithProjection(encoder_config(1280, 32, 20)),
            }
        pipeline = StableDiffusionXLPipeline(
            **{name: part.to(dtype).eval() for name, part in parts.items()},
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
            ),
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return build


def unet() -> Any:
    """The UNet as SDXL base has it, on torch's default device."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def encoder_config(hidden: int, layers: int, heads: int) -> Any:
    """A text encoder of that width; the numbers of its marks are the byte tokenizer's."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=hidden,
        hidden_act="quick_gelu" if hidden == 768 else "gelu",
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )


# ---- numerical closeness


def answer(pipeline: Any, side: int) -> Any:
    """What the UNet says of a noise that is always the same, in single precision on the CPU."""
    import torch

    model = pipeline.unet
    noise = torch.Generator("cpu").manual_seed(1)

    def drawn(*shape: int) -> Any:
        return torch.randn(*shape, generator=noise).to(model.device, model.dtype)

    width = pipeline.text_encoder_2.config.projection_dim
    latents, words = drawn(1, 4, side // 8, side // 8), drawn(1, 77, model.config.cross_attention_dim)
    sizes = torch.tensor([[side, side, 0, 0, side, side]], device=model.device, dtype=model.dtype)
    with torch.no_grad():
        said = model(
            latents,
            torch.tensor(500, device=model.device),
            encoder_hidden_states=words,
            added_cond_kwargs={"text_embeds": drawn(1, width), "time_ids": sizes},
            return_dict=False,
        )[0]
    return said.float().cpu()


def closeness(build: Build, side: int, half: Any) -> tuple[Any, list[Figure]]:
    """(the pipeline with every optimisation, how far each takes the answer from the plain one in single precision)."""
    import torch

    plain = build(torch.float32)
    wanted = answer(plain, side)
    del plain
    free()
    pipeline = build(half)
    plain_half = _error(answer(pipeline, side), wanted)
    found = [Figure(f"UNet in {str(half).removeprefix('torch.')}", plain_half, "x", _NEAR, beside="relative error")]
    beside = "relative error against single precision"
    for name, apply in rearrangements(pipeline):
        apply()
        error = _error(answer(pipeline, side), wanted)
        found.append(Figure(f"and {name}", error, "x", plain_half + _NEARER, beside=beside))
    return pipeline, found


def rearrangements(pipeline: Any) -> list[tuple[str, Callable[[], object]]]:
    """What makes it faster without another precision; production uses the first one, and attention by SDPA."""
    import torch

    def channels_last() -> None:
        for part in (pipeline.unet, pipeline.vae):
            part.to(memory_format=torch.channels_last)

    return [("channels last", channels_last), ("fused projections", pipeline.unet.fuse_qkv_projections)]


def _error(found: Any, wanted: Any) -> float:
    """Length of the difference against the length of what was wanted; infinite for what is no number."""
    error = float((found - wanted).norm() / wanted.norm())
    return error if math.isfinite(error) else math.inf


# ---- speed


def speeds(pipeline: Any, amounts: Amounts, device: str, *, of: str, claims: bool = False) -> Iterator[Figure]:
    """Pictures a second, decoded, and the most memory they took."""
    for steps, guidance, batch in amounts.orders:
        forget_peak(device)
        best = min(_seconds(pipeline, amounts, steps, guidance, batch, device) for _ in range(1 + amounts.runs))
        bound = _CLAIMS.get((steps, batch)) if claims else None
        beside = f"{peak_gib(device):.1f} GiB, {1000 * best / steps:.1f} ms a step"
        yield Figure(f"{steps} steps, batch of {batch}, {of}", batch / best, "images/s", bound, True, beside)


def _seconds(pipeline: Any, amounts: Amounts, steps: int, guidance: float, batch: int, device: str) -> float:
    """Seconds for one batch of pictures, from words to pixels."""
    import torch

    begun = time.perf_counter()
    latents = pipeline(
        prompt=[_PROMPT] * batch,
        negative_prompt=["text"] * batch if guidance else None,
        width=amounts.side,
        height=amounts.side,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator("cpu").manual_seed(n) for n in range(batch)],
        output_type="latent",
    ).images
    with torch.no_grad():
        for latent in latents:  # one by one: the decoder needs the most memory
            pipeline.vae.decode(latent[None].to(pipeline.vae.dtype) / pipeline.vae.config.scaling_factor)
    wait(device)
    return time.perf_counter() - begun


def first_picture(pipeline: Any, folder: Path, device: str, scale: float = 1.0) -> list[Figure]:
    """Seconds from nothing but files to the first picture, and for the next one, by the engine of production."""
    from core.documents import Canvas
    from core.engine_ports import PictureBrief
    from core.engines.image_sdxl import SdxlPictures

    pipeline.save_pretrained(folder / "sdxl-fast", variant="fp16" if device != "cpu" else None)
    engine = SdxlPictures(folder, device, scale=scale)
    brief = PictureBrief(Canvas.of("1:1", 1080), 1, 2, "Volcanoes", "Lava", _PROMPT, "", "en", "ember", 7, True)
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        engine.draw(brief, folder / "picture.png", lambda _: None)
        times.append(time.perf_counter() - begun)
    beside = "files in the system's cache; 4 steps, drawn, decoded, written as PNG"
    return [Figure("first picture of a process", times[0], "s", beside=beside), Figure("the next one", times[1], "s")]


# ---- the device


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def forget_peak(device: str) -> None:
    """Begin to watch the device's memory anew."""
    import torch

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> float:
    """The most memory of the device since, GiB; 0 on a CPU."""
    import torch

    return float(torch.cuda.max_memory_allocated()) / 2**30 if device != "cpu" else 0.0


def free() -> None:
    """Give back what is not used any more."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure(build: Build, device: str, name: str, amounts: Amounts, half: Any, scale: float = 1.0) -> Topic:
    """Everything of one device.

    Args:
        build: makes the pipeline that is measured.
        device: cuda or cpu.
        name: of the device, for people.
        amounts: how much is drawn.
        half: the torch.dtype of production there.
        scale: of the first picture.
    """
    plain = build(half)
    slow = list(speeds(plain, Amounts(amounts.side, amounts.runs, amounts.orders[-1:]), device, of="plain"))
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        first = first_picture(plain, Path(folder), device, scale)
    del plain
    free()
    pipeline, close = closeness(build, amounts.side, half)
    fast = list(speeds(pipeline, amounts, device, of="optimised", claims=_FASTEST in name))
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return Topic(
        f"gpu-{slug}",
        f"{name}: SDXL's architecture, random weights, {amounts.side} x {amounts.side}, best of {amounts.runs}.",
        (*close, *slow, *fast, *first),
        ("Attention by torch's scaled dot product everywhere; text encoders and decoder are counted.",),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a claim is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="How fast this GPU draws.")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder of the JSON file")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    try:
        import diffusers
        import torch
    except ImportError as error:
        console.print(f"The package {error.name} is missing: nothing was measured (tests/gpu/requirements.txt has it).")
        return 0
    if not torch.cuda.is_available():
        console.print("There is no CUDA device: nothing was measured.")
        return 0
    diffusers.logging.disable_progress_bar()
    machine, name = Machine.here(), torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        topic = measure(full_size(Path(folder), "cuda"), "cuda", name, Amounts(), torch.float16)
    show(topic, machine, console)
    keep(topic, machine, asked.results, quick=False)
    return 1 if topic.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The weights of the picture models: where they come from, pinned, what their folders hold, how they are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TOKENIZERS = {
    f"{folder}/{name}": f"{folder}/{name}"
    for folder in ("tokenizer", "tokenizer_2")
    for name in ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
}
_ENCODERS = {
    f"{folder}/{name}": f"{folder}/{name}"
    for folder in ("text_encoder", "text_encoder_2")
    for name in ("config.json", "model.fp16.safetensors")
}
_INDEX = {name: name for name in ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json")}
_UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
_TAIL_BYTES = 4096  # of a file of weights; two trainings never end with the same ones


@dataclass(frozen=True, slots=True)
class Source:
    """Files of one model repository at one revision."""

    repo: str
    revision: str
    licence: str
    gigabytes: float  # all of `files`
    files: Mapping[str, str]  # path in the repository: path in the folder


_BASE = ("stabilityai/stable-diffusion-xl-base-1.0", "462165984030d82259a11f4367a4eed129e94a7b", "openrail++")
_SHARED = {**_INDEX, **_TOKENIZERS, **_ENCODERS}
# the VAE that stays within the range of half precision; the one of the base must be run in single precision
_VAE = Source(
    "madebyollin/sdxl-vae-fp16-fix", "207b116dae70ace3637169f1ddd2434b91b3a8cd", "mit", 0.3,
    {name: f"vae/{name}" for name in ("config.json", "diffusion_pytorch_model.safetensors")},
)  # fmt: skip

# folder below the one of all weights: what is put into it
SOURCES: dict[str, tuple[Source, ...]] = {
    "sdxl-base": (Source(*_BASE, 6.8, {**_SHARED, _UNET: _UNET}), _VAE),
    "sdxl-fast": (
        Source(*_BASE, 1.7, _SHARED),
        Source(
            "ByteDance/SDXL-Lightning", "c9a24f48e1c025556787b0c58dd67a091ece2e44", "openrail++", 5.1,
            {"sdxl_lightning_4step_unet.safetensors": _UNET},
        ),
        _VAE,
    ),
}  # fmt: skip


def fingerprint(folder: Path) -> str:
    """A name for the weights and configurations below a folder, of their content; empty when there are none.

    Of a file of weights only its size and end are read, so that gigabytes take no time.
    """
    whole = hashlib.sha256()
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".txt", ".safetensors"})
    for path in files:
        size = path.stat().st_size
        whole.update(f"{path.relative_to(folder).as_posix()}:{size}:".encode())
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                file.seek(max(size - _TAIL_BYTES, 0))
            whole.update(file.read())
    return whole.hexdigest()[:12] if files else ""


def has_half(folder: Path) -> bool:
    """Whether a pipeline's folder keeps weights in half precision under the variant's name."""
    return any(folder.glob("*/*.fp16.safetensors"))

"""Tiny models of the real classes with random weights, in production's folders: `python -m tests.gpu.tiny FOLDER`."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

_HIDDEN = 32  # of both text encoders
_TOKENS = 256  # they read: more than the real ones, since every letter is a token here


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + _HIDDEN,
        cross_attention_dim=2 * _HIDDEN,
        norm_num_groups=8,
    )


def _vae(*, force_upcast: bool) -> AutoencoderKL:
    channels = (8, 16, 16, 16)
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels),
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.13025,
        force_upcast=force_upcast,
    )


def _encoder_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=_HIDDEN,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=_HIDDEN,
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        max_position_embeddings=_TOKENS,
    )


def byte_tokenizer(folder: Path, tokens: int = _TOKENS) -> CLIPTokenizer:
    """A tokenizer of a token per byte, at most so many: 256 symbols, the same at the ends of words, two marks."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in shown] + [chr(256 + n) for n in range(256 - len(shown))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=tokens)


def write_sdxl(folder: Path, *, unet_seed: int, half: bool = True, force_upcast: bool = False) -> None:
    """Write a whole SDXL pipeline of a few megabytes; only the UNet depends on `unet_seed`.

    half: UNet and encoders under the variant's name fp16, the VAE in plain files, as the pinned weights are.
    """
    torch.manual_seed(0)
    tokenizer = byte_tokenizer(folder / "tokenizer")
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(force_upcast=force_upcast),
        text_encoder=CLIPTextModel(_encoder_config()),
        text_encoder_2=CLIPTextModelWithProjection(_encoder_config()),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )
    torch.manual_seed(unet_seed)
    pipeline.register_modules(unet=_unet())
    if not half:
        pipeline.save_pretrained(folder, safe_serialization=True)
        return
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True, variant="fp16")
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    pipeline.vae.to(torch.float32).save_pretrained(folder / "vae", safe_serialization=True)


def write_models(folder: Path) -> None:
    """Write every model there is below a folder of weights: sdxl-base, sdxl-fast, and vits where it can be made."""
    write_sdxl(folder / "sdxl-base", unet_seed=1)
    write_sdxl(folder / "sdxl-fast", unet_seed=2)
    if importlib.util.find_spec("tests.gpu.tiny_vits") is not None:
        from tests.gpu import tiny_vits

        tiny_vits.write(folder / "vits")


if __name__ == "__main__":
    write_models(Path(sys.argv[1]))

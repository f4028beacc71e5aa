"""Writes a real XTTS v2 of small size with random weights, in the very files of its release: for tests of the voice."""

from __future__ import annotations

import string
from pathlib import Path

LATENTS = 32  # vectors that the model keeps of a voice
WIDTH = 64


def write(folder: Path) -> None:
    """Write config.json, model.pth (90 MB: its decoder has one size), vocab.json and speakers_xtts.pth to `folder`."""
    import torch
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.models.xtts import Xtts

    folder.mkdir(parents=True, exist_ok=True)
    codes = XttsConfig().languages
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", *(f"[{code}]" for code in codes)]
    size = _write_vocabulary(folder / "vocab.json", special, string.ascii_lowercase + " .,;:!?'-äöüß")
    small = XttsArgs(
        gpt_layers=1,
        gpt_n_model_channels=WIDTH,
        gpt_n_heads=2,
        gpt_max_audio_tokens=24,
        gpt_max_text_tokens=202,
        gpt_num_audio_tokens=66,
        gpt_start_audio_token=64,
        gpt_stop_audio_token=65,
        gpt_use_perceiver_resampler=True,
        gpt_number_text_tokens=size,
        gpt_start_text_token=3,
        gpt_stop_text_token=0,
        decoder_input_dim=WIDTH,
    )
    config = XttsConfig(model_args=small)
    with torch.random.fork_rng():
        torch.manual_seed(20_260_711)
        model = Xtts(config)
        speaker = {"gpt_cond_latent": torch.randn(1, LATENTS, WIDTH), "speaker_embedding": torch.randn(1, 512, 1)}
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    torch.save({"Ada Byron": speaker}, folder / "speakers_xtts.pth")
    config.save_json(str(folder / "config.json"))


def _write_vocabulary(path: Path, special: list[str], letters: str) -> int:
    """A tokenizer that makes a token of every letter; how many tokens it has."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    symbols = [*special, *letters]
    tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[], unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return len(symbols)

"""Writes a real VITS of small size with random weights, in the very files of a release: for tests of the voice."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

LETTERS = string.ascii_lowercase + "äöüéèàñç"


def write(folder: Path, change: Callable[[Any], None] | None = None, *, language: str = "en") -> None:
    """Write config.json and model_file.pth, about 1 MB, to `folder`.

    change: what is done to the model before its weights are kept, for example to break them.
    """
    import torch
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    small = VitsArgs(
        hidden_channels=16,
        hidden_channels_ffn_text_encoder=32,
        num_heads_text_encoder=2,
        num_layers_text_encoder=1,
        num_layers_flow=1,
        num_layers_posterior_encoder=1,
        upsample_initial_channel_decoder=32,
        resblock_kernel_sizes_decoder=[3],
        resblock_dilation_sizes_decoder=[[1, 3, 5]],
        upsample_rates_decoder=[8, 8, 2, 2],
        upsample_kernel_sizes_decoder=[16, 16, 4, 4],
        init_discriminator=False,
        use_sdp=False,
        length_scale=3.0,  # untrained durations are one frame a letter, too short to be told apart
    )
    letters = CharactersConfig(
        characters_class="TTS.tts.models.vits.VitsCharacters",
        characters=LETTERS,
        phonemes="",
        punctuations="!'(),-.:;? ",
        pad="_",
        blank="<BLNK>",
    )
    config = VitsConfig(
        model_args=small,
        audio=BaseAudioConfig(sample_rate=22_050, fft_size=1024, win_length=1024, hop_length=256, num_mels=80),
        characters=letters,
        use_phonemes=False,
        text_cleaner="basic_cleaners",
        add_blank=True,
        languages=[language],
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(20_260_711)
        model = Vits(config)
        if change is not None:
            change(model)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, folder / "model_file.pth")
    config.save_json(str(folder / "config.json"))

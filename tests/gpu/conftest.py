"""What the tests of the models share: tiny weights, made once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

# the models' packages warn of each other's ways; nothing of ours is silenced
_THEIRS = ("diffusers", "transformers", "torch", "torchaudio", "TTS", "trainer", "librosa", "numba")


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Let no warning inside those packages fail a test."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for package in _THEIRS:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:::{package}"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights with both qualities of SDXL."""
    from tests.gpu.tiny import write_sdxl

    folder = tmp_path_factory.mktemp("weights")
    write_sdxl(folder / "sdxl-base", unet_seed=1)
    write_sdxl(folder / "sdxl-fast", unet_seed=2)
    return folder

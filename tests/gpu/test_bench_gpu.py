"""The measurement of GPUs: its architecture is SDXL's, its figures are what they are called; seen on tiny models."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers", reason="needs the packages of the models: scripts/gpu_environment.sh installs them")

import torch
from diffusers import StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from bench import gpu


def parameters(model: Any) -> int:
    """How many numbers a model has."""
    return sum(p.numel() for p in model.parameters())


def test_the_architecture_has_as_many_parameters_as_sdxl() -> None:
    with torch.device("meta"):
        unet, one = gpu.unet(), CLIPTextModel(gpu.encoder_config(768, 12, 12))
        two = CLIPTextModelWithProjection(gpu.encoder_config(1280, 32, 20))

    assert (parameters(unet), parameters(one), parameters(two)) == (2_567_463_684, 123_060_480, 694_659_840)


def test_every_optimisation_is_near_the_plain_pipeline_and_every_speed_is_counted(weights: Path) -> None:
    torch.set_num_threads(1)

    def build(dtype: Any) -> Any:
        pipeline = StableDiffusionXLPipeline.from_pretrained(weights / "sdxl-fast", dtype=dtype, variant="fp16")
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    amounts = gpu.Amounts(side=64, runs=1, orders=((2, 6.0, 1), (1, 0.0, 2)))
    topic = gpu.measure(build, "cpu", "A tiny CPU", amounts, torch.float32, scale=0.125)
    figures = {f.what: f for f in topic.figures}

    assert topic.name == "gpu-a-tiny-cpu"
    assert {"UNet in float32", "and channels last", "and fused projections"} < figures.keys()
    assert all(f.value < 1e-4 for f in figures.values() if f.unit == "x")
    assert {"2 steps, batch of 1, optimised", "1 steps, batch of 2, optimised", "1 steps, batch of 2, plain"} < set(
        figures
    )
    assert all(0 < f.value < math.inf for f in figures.values() if f.unit in ("images/s", "s"))


def test_an_answer_that_is_far_off_or_no_number_is_missed(weights: Path) -> None:
    wanted = torch.ones(4)

    assert gpu._error(wanted * 1.5, wanted) == pytest.approx(0.5)
    assert gpu._error(wanted * math.nan, wanted) == math.inf


def test_without_a_gpu_it_says_so_and_ends_well(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--results", str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "There is no CUDA device: nothing was measured.")
    assert not list(tmp_path.iterdir())

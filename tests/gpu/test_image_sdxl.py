"""Pictures by SDXL: the engine of production over tiny weights of the real classes, on the CPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="needs the packages of the models: scripts/gpu_environment.sh installs them")

import torch
from PIL import Image

from core.documents import ASPECTS, Canvas
from core.engine_ports import PictureBrief
from core.engines.image_sdxl import STEPS, SdxlPictures
from core.errors import EngineError, MissingToolError, StoppedError
from core.settings import Settings
from core.wiring import build_engines, load_models, place
from tests.gpu.tiny import write_sdxl

BRIEF = PictureBrief(
    Canvas.of("9:16", 360), 1, 3, "Volcanoes", "Deep down", "a river of lava", "", "en", "ember", 7, True
)
SCALE = 0.125  # of the trained sizes: 96 x 168
HIGH = 6  # steps, instead of 30

torch.set_num_threads(1)  # threads of models this small wait for each other more than they work


def silent(_: float) -> None:
    """Nobody watches."""


def made(weights: Path) -> SdxlPictures:
    """An engine for tiny pictures."""
    return SdxlPictures(weights, "cpu", scale=SCALE, steps={"high": HIGH})


@pytest.fixture(scope="module")
def engine(weights: Path) -> SdxlPictures:
    """One engine for all scenes, as in a renderer."""
    return made(weights)


@pytest.fixture
def own(weights: Path) -> Iterator[SdxlPictures]:
    """An engine whose pipelines a test may spoil."""
    yield made(weights)


def drawn(engine: SdxlPictures, brief: PictureBrief, out: Path) -> np.ndarray[Any, Any]:
    """The picture of a brief."""
    engine.draw(brief, out, silent)
    with Image.open(out) as image:
        return np.asarray(image)


def pipeline(engine: SdxlPictures, quality: str = "fast") -> Any:
    """The loaded pipeline of a quality."""
    engine.load(quality)
    return engine._pipelines[quality]


# ---- pictures


@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_aspect_is_drawn_in_its_trained_size(engine: SdxlPictures, tmp_path: Path, aspect: str) -> None:
    facts = engine.draw(replace(BRIEF, canvas=Canvas.of(aspect, 360)), tmp_path / "a.png", silent)
    size = {"9:16": (96, 168), "16:9": (168, 96), "1:1": (128, 128)}[aspect]

    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.size, image.mode) == ("PNG", size, "RGB")
    assert (facts["width"], facts["height"]) == size


def test_the_real_size_is_drawn_too(weights: Path, tmp_path: Path) -> None:
    engine = SdxlPictures(weights, "cpu", steps={"fast": 1})

    assert drawn(engine, BRIEF, tmp_path / "a.png").shape == (1344, 768, 3)


def test_a_scene_s_picture_comes_back_and_another_scene_or_video_has_another(
    engine: SdxlPictures, weights: Path, tmp_path: Path
) -> None:
    picture = drawn(engine, BRIEF, tmp_path / "a.png")
    second = drawn(engine, replace(BRIEF, number=2), tmp_path / "b.png")
    other_video = drawn(engine, replace(BRIEF, seed=8), tmp_path / "c.png")
    again = drawn(engine, BRIEF, tmp_path / "d.png")
    fresh = drawn(made(weights), BRIEF, tmp_path / "e.png")

    assert np.array_equal(picture, again)
    assert np.array_equal(picture, fresh)
    assert not np.array_equal(picture, second)
    assert not np.array_equal(picture, other_video)


def test_what_is_to_be_seen_changes_the_picture(engine: SdxlPictures, tmp_path: Path) -> None:
    lava = drawn(engine, BRIEF, tmp_path / "a.png")

    assert not np.array_equal(lava, drawn(engine, replace(BRIEF, prompt="a glacier"), tmp_path / "b.png"))


def test_each_quality_has_its_own_weights_steps_and_guidance_and_shares_the_rest(
    own: SdxlPictures, tmp_path: Path
) -> None:
    guided: list[tuple[str, int]] = []  # how many latents each step works on: two with guidance
    for quality in ("fast", "high"):
        pipeline(own, quality).unet.register_forward_pre_hook(
            lambda _, args, quality=quality: guided.append((quality, args[0].shape[0]))
        )
    facts = {q: own.draw(replace(BRIEF, quality=q), tmp_path / f"{q}.png", silent) for q in ("fast", "high")}
    fast, high = pipeline(own, "fast"), pipeline(own, "high")

    assert guided == [("fast", 1)] * STEPS["fast"] + [("high", 2)] * HIGH
    assert {q: (f["weights"], f["steps"]) for q, f in facts.items()} == {
        "fast": ("sdxl-fast", 4),
        "high": ("sdxl-base", HIGH),
    }
    assert fast.scheduler.config.timestep_spacing == "trailing"
    assert (
        fast.vae is high.vae and fast.text_encoder is high.text_encoder and fast.text_encoder_2 is high.text_encoder_2
    )
    assert fast.unet is not high.unet


def test_other_encoders_are_not_shared(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights / "sdxl-base", tmp_path / "sdxl-base")
    write_sdxl(tmp_path / "sdxl-fast", unet_seed=2, half=False, force_upcast=True)
    engine = made(tmp_path)

    assert pipeline(engine, "fast").vae is not pipeline(engine, "high").vae
    assert drawn(engine, BRIEF, tmp_path / "a.png").std() > 1


def test_all_weights_are_of_one_precision_on_the_cpu(engine: SdxlPictures, tmp_path: Path) -> None:
    drawn(engine, BRIEF, tmp_path / "a.png")
    parts = pipeline(engine)

    found = {
        p.dtype for part in (parts.unet, parts.vae, parts.text_encoder, parts.text_encoder_2) for p in part.parameters()
    }
    assert found == {torch.float32}


# ---- progress, and the end of what is not wanted any more


def test_every_step_is_told_and_nothing_falls(engine: SdxlPictures, tmp_path: Path) -> None:
    told: list[float] = []
    engine.draw(replace(BRIEF, quality="high"), tmp_path / "a.png", told.append)

    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(set(told)) == HIGH + 2


def test_a_picture_that_is_not_wanted_any_more_ends_between_two_steps_and_the_next_is_as_ever(
    own: SdxlPictures, tmp_path: Path
) -> None:
    before = drawn(own, BRIEF, tmp_path / "a.png")
    steps: list[int] = []
    pipeline(own).unet.register_forward_hook(lambda *_: steps.append(1))

    def stop(share: float) -> None:
        if share > 0.3:
            raise StoppedError("It was cancelled.")

    with pytest.raises(StoppedError, match="cancelled"):
        own.draw(BRIEF, tmp_path / "never.png", stop)

    assert len(steps) == 2
    assert not (tmp_path / "never.png").exists()
    assert np.array_equal(before, drawn(own, BRIEF, tmp_path / "b.png"))


# ---- faults


def spoil(part: Any, how: Callable[[Any], Any], times: int) -> list[int]:
    """Let a model's answer be something else for the first calls; the list grows with each of them."""
    calls: list[int] = []

    def hook(_module: Any, _args: Any, answer: Any) -> Any:
        calls.append(1)
        return how(answer) if len(calls) <= times else None

    part.register_forward_hook(hook)
    return calls


@pytest.mark.parametrize("value", [float("nan"), -1.0], ids=["no number", "black"])
def test_a_black_picture_gets_one_more_seed(own: SdxlPictures, tmp_path: Path, value: float) -> None:
    usual = own.draw(BRIEF, tmp_path / "a.png", silent)
    decoded = spoil(pipeline(own).vae.decoder, lambda image: torch.full_like(image, value), times=1)
    told: list[float] = []
    facts = own.draw(BRIEF, tmp_path / "b.png", told.append)

    assert len(decoded) == 2
    assert facts["seed"] != usual["seed"]
    assert told == sorted(told)
    with Image.open(tmp_path / "b.png") as image:
        assert np.asarray(image).std() > 1


def test_two_black_pictures_are_an_error_that_does_not_pass(own: SdxlPictures, tmp_path: Path) -> None:
    spoil(pipeline(own).vae.decoder, lambda image: torch.full_like(image, float("nan")), times=2)
    with pytest.raises(EngineError) as raised:
        own.draw(BRIEF, tmp_path / "a.png", silent)

    assert (raised.value.code, raised.value.retryable) == ("picture_black", False)
    assert not (tmp_path / "a.png").exists()


def out_of_memory(_: Any) -> Any:
    """What torch raises on a GPU that is full."""
    raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("part", ["unet", "vae.decoder"])
def test_a_gpu_that_is_full_for_a_moment_costs_the_other_quality_its_place(
    own: SdxlPictures, tmp_path: Path, part: str
) -> None:
    usual = drawn(own, BRIEF, tmp_path / "a.png")
    pipeline(own, "high")
    model: Any = pipeline(own)
    for name in part.split("."):
        model = getattr(model, name)
    spoil(model, out_of_memory, times=1)
    picture = drawn(own, BRIEF, tmp_path / "b.png")

    assert set(own._pipelines) == {"fast"}
    assert np.array_equal(picture, usual) or part != "unet", "only decoding in tiles may change a picture"
    assert picture.std() > 1
    assert drawn(own, replace(BRIEF, quality="high"), tmp_path / "c.png").shape == picture.shape


def test_a_gpu_that_is_too_small_is_an_error_that_may_pass_elsewhere(own: SdxlPictures, tmp_path: Path) -> None:
    spoil(pipeline(own).unet, out_of_memory, times=10)
    with pytest.raises(EngineError, match="memory") as raised:
        own.draw(BRIEF, tmp_path / "a.png", silent)

    assert (raised.value.code, raised.value.retryable) == ("out_of_gpu_memory", True)


def test_a_gpu_that_breaks_is_an_error_that_may_pass_elsewhere(own: SdxlPictures, tmp_path: Path) -> None:
    def broken(_: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    spoil(pipeline(own).unet, broken, times=10)
    with pytest.raises(EngineError) as raised:
        own.draw(BRIEF, tmp_path / "a.png", silent)

    assert (raised.value.code, raised.value.retryable) == ("gpu_broke", True)


def test_a_prompt_longer_than_the_model_reads_is_cut_with_a_warning(own: SdxlPictures, tmp_path: Path) -> None:
    read: list[int] = []
    pipeline(own).text_encoder.register_forward_pre_hook(lambda _, args: read.append(int(args[0].argmax())))
    facts = own.draw(replace(BRIEF, prompt="lava and ash " * 200), tmp_path / "a.png", silent)

    assert len(facts["warnings"]) == 1
    assert read[0] < pipeline(own).tokenizer.model_max_length, "the end of the prompt was read"


def test_weights_that_are_missing_or_not_whole_are_named(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights / "sdxl-fast", tmp_path / "sdxl-fast")
    unet = tmp_path / "sdxl-fast" / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    unet.write_bytes(unet.read_bytes()[:1000])
    engine = SdxlPictures(tmp_path, "cpu", scale=SCALE)
    with pytest.raises(MissingToolError, match="sdxl-fast") as broken:
        engine.draw(BRIEF, tmp_path / "a.png", silent)
    with pytest.raises(MissingToolError, match=r"sdxl-base.*seed_weights") as missing:
        engine.draw(replace(BRIEF, quality="high"), tmp_path / "a.png", silent)

    assert (broken.value.code, missing.value.code) == ("weights_broken", "weights_missing")


def test_a_gpu_that_is_not_there_is_named(weights: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(MissingToolError, match="SCENEWRIGHT_DEVICE"):
        SdxlPictures(weights, "cuda", scale=SCALE).draw(BRIEF, tmp_path / "a.png", silent)


# ---- in a renderer


def test_a_deployment_loads_its_models_before_it_has_a_device_and_places_them_later(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched() -> bool:
        raise AssertionError("CUDA was asked for")

    monkeypatch.setattr(torch.cuda, "is_available", touched)
    settings = Settings(pictures="sdxl,cards", weights_dir=str(weights), device="cuda", picture_scale=SCALE)
    engines = build_engines(settings)
    load_models(engines)
    engine = engines.pictures["sdxl"]
    assert isinstance(engine, SdxlPictures)
    half = pipeline(engine).unet.dtype
    monkeypatch.undo()
    place(engines, "cpu")

    assert (half, pipeline(engine).unet.dtype) == (torch.float16, torch.float32)
    assert tuple(engines.pictures) == ("sdxl", "cards")
    assert drawn(engine, BRIEF, tmp_path / "a.png").std() > 1

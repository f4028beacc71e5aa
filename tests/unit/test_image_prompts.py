"""What a picture model is asked for, and how its weights are named, without any model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.documents import ASPECTS, SHORT_SIDES, Canvas
from core.engine_ports import PictureBrief
from core.engines.cards_palettes import PALETTES
from core.engines.image_prompts import BUCKETS, bucket, is_blank, prompt_of, seed_of
from core.engines.image_sdxl import SdxlPictures
from core.engines.image_weights import SOURCES, fingerprint, has_half
from core.errors import MissingToolError
from core.scene_inputs import picture_key

BRIEF = PictureBrief(
    Canvas.of("9:16", 1080), 1, 3, "Volcanoes", "Deep down", "a river of lava at night", "", "en", "ember", 7, True
)


def words(text: str) -> int:
    """A tokenizer that counts words."""
    return len(text.split())


# ---- sizes


@pytest.mark.parametrize("resolution", SHORT_SIDES)
def test_every_aspect_has_the_trained_size_nearest_to_it(resolution: int) -> None:
    sizes = {aspect: bucket(Canvas.of(aspect, resolution)) for aspect in ASPECTS}

    assert sizes == {"9:16": (768, 1344), "16:9": (1344, 768), "1:1": (1024, 1024)}


@pytest.mark.parametrize("scale", [0.01, 0.1, 0.33, 0.5, 0.77])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_scaled_size_stays_one_that_the_model_can_make(aspect: str, scale: float) -> None:
    sides = bucket(Canvas.of(aspect, 360), scale)

    assert all(side % 8 == 0 and side >= 64 for side in sides)


def test_the_trained_sizes_hold_about_a_million_pixels() -> None:
    assert all(0.95 < w * h / 1024**2 < 1.05 for w, h in BUCKETS)


# ---- seeds


def test_the_seeds_of_a_video_are_a_family_that_comes_back() -> None:
    family = [seed_of(replace(BRIEF, number=n), again) for n in range(1, 9) for again in (0, 1)]

    assert family == [seed_of(replace(BRIEF, number=n, title="other"), a) for n in range(1, 9) for a in (0, 1)]
    assert len(set(family)) == len(family)
    assert all(0 <= seed < 2**63 for seed in family)
    assert not set(family) & {seed_of(replace(BRIEF, seed=8, number=n)) for n in range(1, 9)}


# ---- prompts


def test_all_scenes_of_a_video_share_how_their_prompts_begin_and_end() -> None:
    one, _ = prompt_of(BRIEF, words, 77)
    two, _ = prompt_of(replace(BRIEF, number=2, prompt="a sleeping mountain"), words, 77)

    assert one.replace("a river of lava at night", "a sleeping mountain") == two
    assert "a river of lava at night" in one
    assert PALETTES["ember"].sentence.rstrip(".").lower() in one


def test_another_style_has_other_colours() -> None:
    assert prompt_of(replace(BRIEF, style="mint"), words, 77) != prompt_of(BRIEF, words, 77)


def test_room_is_asked_for_where_captions_will_stand() -> None:
    assert "uncluttered lower third" in prompt_of(BRIEF, words, 77)[0]
    assert "uncluttered lower third" not in prompt_of(replace(BRIEF, captions=False), words, 77)[0]


@pytest.mark.parametrize(("prompt", "title", "seen"), [("", "Deep down", "Deep down"), (" ", "", "Volcanoes")])
def test_a_scene_without_a_prompt_shows_its_title_or_the_film_s(prompt: str, title: str, seen: str) -> None:
    assert f"of {seen}," in prompt_of(replace(BRIEF, prompt=prompt.strip(), title=title), words, 77)[0]


def test_a_prompt_that_fits_is_told_as_it_is_and_a_longer_one_is_cut_at_a_word_with_a_sentence() -> None:
    fitting, none = prompt_of(BRIEF, words, 77)
    limit = words(fitting)
    longer = replace(BRIEF, prompt=BRIEF.prompt + " under stars")

    assert none == []
    assert prompt_of(BRIEF, words, limit) == (fitting, [])
    cut, warnings = prompt_of(longer, words, limit)
    assert cut == fitting
    assert warnings == [
        "The picture's prompt is longer than its model reads; it was cut after “a river of lava at night”."
    ]


def test_a_single_word_that_is_too_long_is_cut_within() -> None:
    endless = replace(BRIEF, prompt="山" * 500)
    prompt, warnings = prompt_of(endless, len, 250)

    assert len(prompt) == 250
    assert "山山山" in prompt
    assert len(warnings) == 1


def test_what_all_scenes_share_stays_when_there_is_no_room_for_more() -> None:
    prompt, warnings = prompt_of(BRIEF, words, 1)

    assert "lava" not in prompt
    assert "fine detail" in prompt
    assert warnings


# ---- pictures that show nothing


def test_black_and_flat_pictures_show_nothing_and_dark_scenes_do() -> None:
    noise = np.random.default_rng(1)
    night = np.full((64, 64, 3), 3, np.uint8)
    night[:8, :16] = 200  # a lit window

    assert is_blank(np.zeros((64, 64, 3), np.uint8))
    assert is_blank(noise.integers(0, 8, (64, 64, 3), np.uint8))
    assert is_blank(np.full((64, 64, 3), 128, np.uint8))
    assert not is_blank(night)
    assert not is_blank(noise.integers(0, 255, (64, 64, 3), np.uint8))


# ---- weights


def laid(folder: Path, weights: bytes, config: str = "{}") -> Path:
    """A folder as weights lie in it."""
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(config)
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(weights)
    return folder


def test_weights_are_told_apart_by_what_they_are_and_not_by_where_they_lie(tmp_path: Path) -> None:
    mine = fingerprint(laid(tmp_path / "a", b"header" * 5000 + b"one"))

    assert mine == fingerprint(laid(tmp_path / "b", b"header" * 5000 + b"one"))
    assert mine != fingerprint(laid(tmp_path / "c", b"header" * 5000 + b"two"))
    assert mine != fingerprint(laid(tmp_path / "d", b"header" * 5001 + b"one"))
    assert mine != fingerprint(laid(tmp_path / "e", b"header" * 5000 + b"one", '{"changed": 1}'))
    assert fingerprint(tmp_path / "nowhere") == ""
    assert has_half(tmp_path / "a")
    assert not has_half(tmp_path / "nowhere")


def test_the_engine_s_version_follows_its_weights_steps_and_size(tmp_path: Path) -> None:
    engine = SdxlPictures(tmp_path)
    absent = engine.version
    laid(tmp_path / "sdxl-fast", b"one")
    found = engine.version
    laid(tmp_path / "sdxl-base", b"two")

    assert len({absent, found, SdxlPictures(tmp_path).version}) == 3
    assert engine.version == found, "what a process has made stays under the key it began with"
    assert len({SdxlPictures(tmp_path, scale=s, steps={"high": n}).version for s in (0.5, 1.0) for n in (20, 30)}) == 4


def test_both_qualities_of_a_picture_have_keys_of_their_own(tmp_path: Path) -> None:
    engine = SdxlPictures(tmp_path)

    assert picture_key(engine, BRIEF) != picture_key(engine, replace(BRIEF, quality="high"))


def test_missing_weights_are_named_with_what_puts_them_there(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match=r"sdxl-fast.*modal run modal_app\.py::seed_weights") as raised:
        SdxlPictures(tmp_path, "cpu").draw(BRIEF, tmp_path / "picture.png", lambda _: None)

    assert raised.value.code == "weights_missing"


@pytest.mark.parametrize("folder", SOURCES)
def test_the_sources_of_a_folder_make_a_whole_pipeline_of_pinned_files(folder: str) -> None:
    placed = [place for source in SOURCES[folder] for place in source.files.values()]

    assert len(set(placed)) == len(placed)
    assert {p.split("/")[0] for p in placed} == {
        "model_index.json", "scheduler", "unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2",
    }  # fmt: skip
    assert all(len(source.revision) == 40 and source.licence for source in SOURCES[folder])

"""What a card and a voice cost, in seconds of one processor."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.figures import Figure, Topic
from bench.machine import costed
from bench.sample import scene_inputs
from core.documents import FPS
from core.engines.cards import STYLES, CardPictures
from core.engines.voice_espeak import EspeakVoice

_CARD_SECONDS = 0.3
_VOICE_SHARE = 0.05


def measure(*, quick: bool) -> Topic:
    """Draw cards in every style, speak the narrations; everything loaded before."""
    scenes = scene_inputs(2 if quick else 6)
    styles = sorted(STYLES)[:2] if quick else sorted(STYLES)
    with tempfile.TemporaryDirectory() as folder:
        costs = _cards(styles, 2 if quick else 4, Path(folder))
        voice = EspeakVoice()
        voice.speak(scenes[0].voice, Path(folder) / "voice.wav")
        spoken, cost = costed(lambda: [voice.speak(s.voice, Path(folder) / "voice.wav") for s in scenes])
    seconds = sum(v.frames for v in spoken) / FPS
    typical = {style: median(of_style) for style, of_style in costs.items()}
    slowest = max(typical, key=lambda style: typical[style])
    cards = [cost for of_style in costs.values() for cost in of_style]
    return Topic(
        "cards",
        f"{len(cards)} cards of 1080x1920 in {len(styles)} styles, drawn and saved as JPEG; "
        f"{len(scenes)} narrations, {seconds:.1f} s of sound.",
        (
            Figure("a card, median", median(cards), "CPU-s", _CARD_SECONDS, beside=f"slowest of all {max(cards):.2f}"),
            Figure("a card of the slowest style, median", typical[slowest], "CPU-s", _CARD_SECONDS, beside=slowest),
            Figure("a voice against its length", cost.cpu / seconds, "x", _VOICE_SHARE, beside=f"{cost.cpu:.2f} CPU-s"),
        ),
    )


def _silent(_: float) -> None:
    """Nobody watches."""


def _cards(styles: list[str], each: int, folder: Path) -> dict[str, list[float]]:
    """CPU seconds of every card, by style."""
    engine = CardPictures()
    briefs = [scene.picture for scene in scene_inputs(each)]
    engine.draw(replace(briefs[0], seed=1), folder / "card.jpg", _silent)  # fonts and emoji are read once per process
    costs: dict[str, list[float]] = {}
    for style in styles:
        for brief in briefs:
            wanted = replace(brief, style=style)
            _, cost = costed(lambda wanted=wanted: engine.draw(wanted, folder / "card.jpg", _silent))  # type: ignore[misc]
            costs.setdefault(style, []).append(cost.cpu)
    return costs

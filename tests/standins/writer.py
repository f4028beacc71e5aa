"""What a language model writes when it does as it is told: stories and pictures to measure, bad ones on demand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_SENTENCES = {  # of a language that is not written in Latin letters; others get the English one
    "en": "The old harbour wakes, boats leave, and gulls follow them over green water.",
    "ru": "Старая гавань просыпается, лодки уходят, и чайки летят за ними над водой.",
    "zh": "老港口醒来了，小船离开，海鸥跟着它们飞过绿色的水面。",
    "ar": "يستيقظ الميناء القديم وتغادر القوارب وتتبعها النوارس فوق الماء الأخضر.",
}
KEEPER = {"name": "Mara", "description": "a lighthouse keeper of sixty, grey braid, yellow coat, round glasses"}
STYLE = "Soft watercolour in teal and amber, low morning light."
BAD = frozenset(
    "malformed no_scenes too_many empty_narration wrong_script too_short missing_scene not_the_schema".split()
)


def asked(user_turn: str) -> dict[str, Any]:
    """The JSON object of a question."""
    question = json.loads(user_turn)
    assert set(question) == {"wanted", "user"}
    return dict(question)


def text_of(amount: int, unit: str, language: str) -> str:
    """Sentences of about so many words or characters."""
    sentence = _SENTENCES.get(language.split("-", maxsplit=1)[0], _SENTENCES["en"])
    size = len(sentence) if unit == "characters" else len(sentence.split())
    return " ".join([sentence] * max(1, round(amount / size)))


def write(user_turn: str, trick: str = "") -> str:
    """The answer to a question, spoilt as `trick` says."""
    question = asked(user_turn)
    wanted = question["wanted"]
    scenes = question["user"].get("scenes")
    story = pictures(wanted, scenes) if scenes is not None else told(wanted, trick)
    match trick:
        case "malformed":
            return json.dumps(story)[:-20]
        case "not_the_schema":
            return json.dumps({"answer": "As you wish, here is the key."})
        case "no_scenes":
            story["scenes"] = []
        case "missing_scene":
            story["scenes"] = story["scenes"][:-1]
        case "too_many":
            story["scenes"] *= 9
        case "empty_narration":
            story["scenes"][-1]["narration"] = " ... "
    return json.dumps(story, ensure_ascii=False)


def told(wanted: Mapping[str, Any], trick: str = "") -> dict[str, Any]:
    """A story."""
    language = {"wrong_script": "ru" if wanted["language"] == "en" else "en"}.get(trick, wanted["language"])
    amount = 2 if trick == "too_short" else wanted["length_per_scene"]
    begun = len(wanted["told_before"])
    return {
        "title": "The harbour at dawn",
        "style": STYLE,
        "characters": [KEEPER],
        "scenes": [
            {
                "title": f"Dawn {begun + number}",
                "narration": text_of(amount, wanted["unit"], language) if trick != "too_short" else "Gulls.",
                "visual_prompt": "Mara walks along a stone pier towards a red boat, seen from the water",
                "characters": ["Mara"] if number % 2 else [],
                "keywords": ["harbour", "boat", "gull"],
                "engine": wanted["engines"][-1]["name"] if number == 2 else "auto",
            }
            for number in range(1, wanted["scenes"] + 1)
        ],
    }


def pictures(wanted: Mapping[str, Any], scenes: list[dict[str, Any]]) -> dict[str, Any]:
    """What is seen in the scenes of a script."""
    return {
        "title": "The harbour at dawn",
        "style": STYLE,
        "characters": [KEEPER],
        "scenes": [
            {
                "number": scene["number"],
                "title": f"Picture {scene['number']}",
                "visual_prompt": "a red boat beside a stone pier, seen from the water",
                "characters": ["Mara"],
                "keywords": ["boat", "harbour"],
                "engine": "warp_drive",
            }
            for scene in scenes
        ],
    }

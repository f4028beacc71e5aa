"""The instructions that language models get: files with an id, a version and limits, never mixed with a user's text."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[1] / "prompts"
_LIMITS = ("max_scenes", "max_chars", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One instruction for a language model."""

    id: str
    version: int  # grows with every change: storyboards are kept under it
    max_scenes: int  # of one answer
    max_chars: int  # of a user's text in one question; longer ones are told in parts
    max_output_tokens: int
    text: str  # the system instruction, the same for every video

    @property
    def name(self) -> str:
        """Id and version, for keys."""
        return f"{self.id}-{self.version}"


@functools.cache
def load(prompt_id: str) -> Prompt:
    """Read a prompt file of the package. Raises ValueError when its header lacks something."""
    _, header, text = (_FOLDER / f"{prompt_id}.md").read_text(encoding="utf-8").split("---\n", 2)
    values = dict(line.split(": ", 1) for line in header.splitlines())
    missing = {"id", "version", *_LIMITS} - values.keys()
    if missing or values["id"] != prompt_id:
        raise ValueError(f"The header of {prompt_id}.md lacks {', '.join(sorted(missing)) or 'its own id'}.")
    limits = {name: int(values[name]) for name in _LIMITS}
    return Prompt(id=prompt_id, version=int(values["version"]), text=text.strip(), **limits)


def question(wanted: Mapping[str, Any], user: Mapping[str, Any]) -> str:
    """The user turn: a user's words are values of a JSON object, so they cannot end it or add to it."""
    return json.dumps({"wanted": dict(wanted), "user": dict(user)}, ensure_ascii=False, indent=1)

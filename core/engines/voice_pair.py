"""Two voices as one: the first speaks the languages it has, the second all others."""

from __future__ import annotations

from pathlib import Path

from core.engine_ports import Voice, VoiceBrief, VoiceEngine
from core.engines.voice_coqui import CoquiVoice


class VoicePair:
    """VoiceEngine that asks a model where it has the language and the wished voice, else a voice that needs none."""

    def __init__(self, first: CoquiVoice, rest: VoiceEngine) -> None:
        self._first, self._rest = first, rest
        self.id = first.id
        self.version = f"{first.version}/{rest.id}-{rest.version}"

    def to(self, device: str) -> None:
        """Move the model to a device, as torch names it."""
        self._first.to(device)

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write the WAV to `out`. Raises what the voice that speaks raises."""
        has = self._first.speaks(brief.language, brief.voice)
        return self._first.speak(brief, out) if has else self._rest.speak(brief, out)

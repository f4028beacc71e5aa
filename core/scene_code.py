"""Programs of scenes: the scene's own or one that was written for it, kept before it is run, so that it can be read."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import assets, costs
from core.documents import FPS, Asset, Scene, Video
from core.engine_ports import CodedFootage, FootageBrief, FootageEngine
from core.errors import ConflictError, LimitError, ScenewrightError, StoppedError
from core.identity import digest
from core.ports import Parts
from core.scene_inputs import inputs_of
from core.status import SceneStatus
from core.text import estimate_seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one scene with one engine."""

    parts: Parts
    video: Video
    meter: costs.Meter
    folder: Path  # scratch
    number: int  # of the scene
    engine: CodedFootage

    def known(self, brief: FootageBrief) -> Asset | None:
        """The program that is kept for this brief; one that was mended stands for the one that it was."""
        keys = (_mended(self._key(brief)), self._key(brief))
        return next((found for key in keys if (found := assets.find(self.parts, self.video.id, key))), None)

    def kept(self, brief: FootageBrief) -> Asset:
        """The same; if there is none, it is written. Raises ScenewrightError, LimitError."""
        asset = self.known(brief)
        if asset is not None:
            return asset
        if not brief.code:
            said = f"The program of scene {self.number}"
            costs.check_asset(self.parts, self.video.id, self.meter, 0.0, said)
        with self.meter.span(f"{self.number}/code"):
            try:
                program = brief.code or self.engine.write(brief)
            finally:
                self.pay()
        return self._keep(self._key(brief), program)

    def mended(self, brief: FootageBrief, program: str) -> Asset:
        """Keep a program in the place of the one that failed."""
        return self._keep(_mended(self._key(brief)), program)

    def text(self, asset: Asset) -> str:
        """A program that is kept. Raises NotFoundError."""
        return assets.fetch(self.parts, asset, self.folder / f"{asset.key}.py").read_text(encoding="utf-8")

    def pay(self) -> None:
        """Count what language models took since the last time."""
        for spent in self.engine.take_bill():
            if spent.usd:  # else it was free, or its price is not known
                line = costs.Line(self.number, "code", spent.model, 0.0, spent.usd)
                self.meter.charge(f"code-{secrets.token_hex(8)}", line)

    def _key(self, brief: FootageBrief) -> str:
        what = brief.code or self.engine.topic(brief)
        return digest("code", self.engine.id, self.engine.version, what)

    def _keep(self, key: str, program: str) -> Asset:
        path = self.folder / f"{key}.py"
        path.write_text(program, encoding="utf-8")
        return assets.keep(self.parts, self.video, "code", key, path, {"chars": len(program)})


def _mended(key: str) -> str:
    return digest("mended", key)


def code_ahead(
    scene: Scene,
    engine: FootageEngine | None,
    programs: Callable[[CodedFootage], Programs],
) -> None:
    """Let a planned scene have its program, if its engine runs one: it is coded then.

    What cannot be written now is tried again when the scene is made, where something simpler may stand in.

    Raises:
        StoppedError: the video is not wanted any more.
        LimitError: it would cost more than it may.
    """
    if not isinstance(engine, CodedFootage) or scene.status is not SceneStatus.PLANNED:
        return
    if scene.parsed_material.shows:
        return
    of_scene = programs(engine)
    inputs = inputs_of(of_scene.video, scene)
    silence = inputs.voice.lead + inputs.voice.tail
    frames = round((estimate_seconds([scene.narration], inputs.voice.speed) + silence) * FPS)
    try:
        asset = of_scene.kept(FootageBrief(inputs.picture, frames, (), scene.code))
        url = assets.url_of(of_scene.parts, asset)
        of_scene.parts.store.advance(scene, status=SceneStatus.CODED, code_url=url)
    except ConflictError:
        return  # somebody else has the scene
    except (StoppedError, LimitError):
        raise
    except ScenewrightError as error:
        facts = {"action": "not_coded", "video": scene.video_id}
        log.warning("scene %d has no program yet: %s", scene.scene_number, error.sentence, extra=facts)

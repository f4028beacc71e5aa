"""What each scene is made from: pure functions from the rows to briefs, keys and captions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from core import captions
from core.documents import CROSSFADE_FRAMES, FPS, Asset, Options, Scene, Video
from core.engine_ports import (
    FootageBrief,
    FootageEngine,
    PictureBrief,
    PictureEngine,
    Voice,
    VoiceBrief,
    VoiceEngine,
    Word,
)
from core.identity import digest
from core.plan import effective_options

LEAD_SECONDS, TAIL_SECONDS = 0.35, 0.40  # silence around a narration: the fades lie in it
FIRST_LEAD_SECONDS, LAST_TAIL_SECONDS = 0.60, 0.90


@dataclass(frozen=True, slots=True)
class SceneInputs:
    """Everything one scene is made from."""

    scene: Scene
    options: Options
    voice: VoiceBrief
    picture: PictureBrief


def inputs_of(video: Video, scene: Scene) -> SceneInputs:
    """The briefs of a scene; they depend on its own row and the video's, never on its neighbours."""
    options = effective_options(video)
    first, last = scene.scene_number == 1, scene.scene_number == video.scene_count
    return SceneInputs(
        scene=scene,
        options=options,
        voice=VoiceBrief(
            text=scene.narration,
            language=options.language,
            voice=options.voice,
            speed=options.speed,
            lead=FIRST_LEAD_SECONDS if first else LEAD_SECONDS,
            tail=LAST_TAIL_SECONDS if last else TAIL_SECONDS,
        ),
        picture=PictureBrief(
            canvas=options.canvas,
            number=scene.scene_number,
            count=video.scene_count,
            film_title=options.title or video.topic,
            title=scene.title,
            prompt=scene.visual_prompt,
            narration=scene.narration,
            language=options.language,
            style=options.style,
            seed=options.seed,
            captions=options.captions != "off",
            quality=options.quality,
        ),
    )


def span_of(scene_number: int, scene_count: int, frames: int) -> range:
    """The frames of a scene that its clip holds: those of the fades are made at the join."""
    start = CROSSFADE_FRAMES if scene_number > 1 else 0
    stop = frames - (CROSSFADE_FRAMES if scene_number < scene_count else 0)
    return range(start, stop)


def voice_key(engine: VoiceEngine, brief: VoiceBrief) -> str:
    """The key of a narration."""
    return digest("voice", engine.id, engine.version, asdict(brief))


def picture_key(engine: PictureEngine, brief: PictureBrief) -> str:
    """The key of a picture."""
    return digest("picture", engine.id, engine.version, asdict(brief))


def footage_key(engine: FootageEngine, brief: FootageBrief) -> str:
    """The key of a footage."""
    return digest("footage", engine.id, engine.version, engine.wants(brief))


def caption_text(inputs: SceneInputs, words: tuple[Word, ...], span: range) -> str | None:
    """The ASS text of a clip, or None when captions are off."""
    if inputs.options.captions == "off":
        return None
    offset = span.start / FPS
    shifted = tuple(Word(w.text, w.start - offset, w.end - offset) for w in words)
    return captions.ass(shifted, inputs.options.canvas, style=inputs.options.captions, language=inputs.options.language)


def voice_of(asset: Asset, path: Path) -> Voice:
    """A kept narration, by its recorded facts; the file itself is fetched where it is heard."""
    words = tuple(Word(text, start, end) for text, start, end in asset.facts["words"])
    return Voice(path=path, frames=int(asset.facts["frames"]), words=words)


def file_name(asset: Asset) -> str:
    """The file name of a kept picture or footage; a picture's ending says which kind of engine drew it."""
    return f"{asset.key}{asset.facts.get('suffix', '.jpg' if asset.kind == 'picture' else '.mp4')}"

"""The film that is measured: six scenes of about five seconds, with the briefs that the steps would make of them."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.combine import film_frames, starts_of
from core.documents import SAMPLE_RATE, Options, Scene, Video
from core.engine_ports import FilmBrief, Shot, Sound, SoundBrief, SoundTrack, StoryboardBrief, Voice, VoiceEngine
from core.engines.storyboard_text import TextStoryboard
from core.scene_inputs import SceneInputs, caption_text, inputs_of, span_of

TITLE = "The water cycle"
SCRIPT = (
    "Every day, the sun warms the oceans, and water rises into the air as vapour.",
    "High above the ground the vapour cools down and gathers into bright clouds.",
    "Wind carries these clouds over forests, deserts, cities and high mountains.",
    "When the drops grow heavy they fall again as rain, as hail or as soft snow.",
    "Streams and rivers bring the water back, through valleys, down to the sea.",
    "And so the same water travels round the Earth, again and again, for ever.",
)
_CHORDS = ((220.0, 261.63, 329.63), (174.61, 220.0, 261.63), (261.63, 329.63, 392.0), (196.0, 246.94, 293.66))
_CHORD_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class Take:
    """One scene with its voice and its picture made."""

    inputs: SceneInputs
    voice: Voice
    shot: Shot
    span: range  # frames of its clip; those of the fades are made at the join
    captions: str | None


def scene_inputs(count: int) -> list[SceneInputs]:
    """What the steps would hand to the engines for the first `count` scenes."""
    options = Options(title=TITLE, seed=7)
    script = "\n\n".join(SCRIPT[:count])
    board = TextStoryboard().plan(StoryboardBrief("", "", script, options))
    video = Video("bench", script=script, options=options.to_json(), scene_count=len(board.scenes))
    return [
        inputs_of(
            video,
            Scene(
                f"scene-{spec.number}",
                video_id=video.id,
                scene_number=spec.number,
                title=spec.title,
                narration=spec.narration,
                visual_prompt=spec.visual_prompt,
                engine=spec.engine,
            ),
        )
        for spec in board.scenes
    ]


def take_of(inputs: SceneInputs, engine: VoiceEngine, picture: Path, folder: Path, count: int) -> Take:
    """Speak a scene; `picture` is where its card will lie."""
    number = inputs.scene.scene_number
    voice = engine.speak(inputs.voice, folder / f"voice-{number}.wav")
    span = span_of(number, count, voice.frames)
    shot = Shot(inputs.picture, picture, voice.frames)
    return Take(inputs, voice, shot, span, caption_text(inputs, voice.words, span))


def sound_of(takes: list[Take], music: Path | None) -> SoundBrief:
    """What the sound of the film is mixed from."""
    frames = [take.voice.frames for take in takes]
    sounds = tuple(Sound(t.voice.path, start) for t, start in zip(takes, starts_of(frames), strict=True))
    return SoundBrief(sounds, film_frames(frames), music)


def film_of(takes: list[Take], segments: list[Path], sound: SoundTrack) -> FilmBrief:
    """How the takes are joined."""
    return FilmBrief(
        canvas=takes[0].inputs.options.canvas,
        segments=tuple(segments),
        sound=sound,
        frames=film_frames([take.voice.frames for take in takes]),
        title=TITLE,
        language="en",
        captions=tuple(take.captions for take in takes if take.captions),
    )


def write_music(path: Path, seconds: float = 20.0) -> None:
    """Soft chords as a stereo WAV: something to loop, fade and duck."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros(time.size)
    for number in range(round(seconds / _CHORD_SECONDS)):
        span = slice(round(number * _CHORD_SECONDS * SAMPLE_RATE), round((number + 1) * _CHORD_SECONDS * SAMPLE_RATE))
        within = time[span] - number * _CHORD_SECONDS
        swell = np.minimum(1.0, within / 0.2) * np.exp(-within / 1.5)
        for pitch in _CHORDS[number % len(_CHORDS)]:
            sound[span] += swell * np.sin(2 * np.pi * pitch * within)
    samples = np.repeat((sound * 6000).astype("<i2"), 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())

"""The measured film made with MoviePy 2.2 alone, in one pass, as fast as its own means allow.

Reads a JSON plan (see bench/compose.py), writes the film, prints what it took as JSON. What makes it the best case:
scenes are opaque except during their fades, so that most frames are one resize and one paste; captions stand still and
are drawn once each; the encoder's settings, threads and ffmpeg are those of the film it is compared with.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from moviepy import AudioFileClip, CompositeAudioClip, CompositeVideoClip, ImageClip, TextClip, afx, vfx


def scenes(plan: dict) -> list:
    """Every scene as a slow zoom; its first frames cross-fade over the scene before."""
    clips = []
    for number, scene in enumerate(plan["scenes"]):
        seconds = scene["seconds"]
        zoomed = (
            ImageClip(scene["picture"], duration=seconds)
            .with_effects([vfx.Resize(lambda t, s=seconds: 1 + 0.12 * t / s)])
            .with_position("center")
        )
        begin = scene["start"]
        if number:
            fade = plan["fade"]
            clips.append(zoomed.subclipped(0, fade).with_effects([vfx.CrossFadeIn(fade)]).with_start(begin))
            zoomed, begin = zoomed.subclipped(fade), begin + fade
        clips.append(zoomed.with_start(begin))
    return clips


def captions(plan: dict) -> list:
    """One text per group of words."""
    return [
        TextClip(
            font=plan["font"],
            text=cue["text"],
            font_size=plan["font_size"],
            color="white",
            stroke_color="black",
            stroke_width=4,
            text_align="center",
            margin=(10, 10),
            duration=cue["end"] - cue["start"],
        )
        .with_start(cue["start"])
        .with_position(("center", plan["caption_top"]))
        for cue in plan["cues"]
    ]


def sound(plan: dict) -> CompositeAudioClip:
    """Narrations over quiet, looped and faded music."""
    music = AudioFileClip(plan["music"]).with_effects(
        [afx.AudioLoop(duration=plan["seconds"]), afx.MultiplyVolume(0.15), afx.AudioFadeIn(1), afx.AudioFadeOut(2.5)]
    )
    voices = [AudioFileClip(scene["voice"]).with_start(scene["start"]) for scene in plan["scenes"]]
    return CompositeAudioClip([music, *voices]).with_duration(plan["seconds"])


def cpu_seconds() -> float:
    """User and system time, ended children included."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    """Make the film that the plan describes."""
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    wall, cpu = time.perf_counter(), cpu_seconds()
    film = CompositeVideoClip([*scenes(plan), *captions(plan)], size=tuple(plan["size"]), bg_color=(0, 0, 0))
    film = film.with_duration(plan["seconds"]).with_audio(sound(plan))
    film.write_videofile(
        plan["out"],
        fps=plan["fps"],
        codec="libx264",
        audio_codec="aac",
        preset="veryfast",
        threads=2,
        ffmpeg_params=["-crf", "21", "-x264-params", "subme=1:me=dia"],
        logger=None,
    )
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}))


if __name__ == "__main__":
    main()

"""The measured film made with MoviePy 2.2 alone, in one pass, as fast as its own means allow.

`moviepy_film.py PLAN.json same|simpler` reads the plan (see bench/peer.py), writes the film, prints what it took as
JSON. `same`: layers that move apart and the spoken word highlighted. `simpler`: one zoomed picture per scene, and
captions that do not mark the word. What makes both the best case: everything is opaque where it can be, fades alone are
blended, what stands still is drawn once, positions are whole pixels; the encoder's settings, threads and ffmpeg are those
of the film it is compared with.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time

import numpy as np
from moviepy import AudioFileClip, CompositeAudioClip, CompositeVideoClip, ImageClip, TextClip, afx, vfx
from PIL import Image, ImageDraw, ImageFont

WHITE, YELLOW, INK = (255, 255, 255), (255, 229, 0), (16, 16, 16)


def zoomed(picture: str, seconds: float):
    """A picture that comes slowly nearer."""
    clip = ImageClip(picture, duration=seconds)
    return clip.with_effects([vfx.Resize(lambda t: 1 + 0.12 * t / seconds)]).with_position("center")


def moving(sprite: dict, seconds: float):
    """A layer that drifts; illustrations float, grow and turn a little as well."""
    clip = ImageClip(sprite["file"], duration=seconds)
    drift, turns = sprite["drift"], sprite["turns"]

    def scale(t):
        return 0.955 + 0.035 * t / seconds if turns else 1.0

    def place(t):
        way = drift * (t / seconds - 0.5)
        swing = 0.4 * drift * math.sin(2 * math.pi * t / 5) if turns else 0
        left, top = sprite["x"] - sprite["width"] * scale(t) / 2, sprite["y"] - sprite["height"] * scale(t) / 2
        return round(left + way), round(top + way + swing)

    if turns:
        angle = vfx.Rotate(lambda t: turns * math.sin(2 * math.pi * t / 6), resample="bilinear", expand=False)
        clip = clip.with_effects([vfx.Resize(scale), angle])
    return clip.with_position(place if drift else place(0))


def layered(plan: dict, scene: dict):
    """A scene whose layers move at different speeds."""
    seconds = scene["seconds"]
    clips = [zoomed(scene["backdrop"], seconds), *(moving(sprite, seconds) for sprite in scene["sprites"])]
    return CompositeVideoClip(clips, size=tuple(plan["size"]), bg_color=(0, 0, 0)).with_duration(seconds)


def scenes(plan: dict, same: bool) -> list:
    """Every scene; its first frames cross-fade over the scene before."""
    clips = []
    for number, scene in enumerate(plan["scenes"]):
        clip = layered(plan, scene) if same else zoomed(scene["picture"], scene["seconds"])
        begin = scene["start"]
        if number:
            fade = plan["fade"]
            clips.append(clip.subclipped(0, fade).with_effects([vfx.CrossFadeIn(fade)]).with_start(begin))
            clip, begin = clip.subclipped(fade), begin + fade
        clips.append(clip.with_start(begin))
    return clips


def plain_captions(plan: dict) -> list:
    """One text per group of words."""
    return [
        TextClip(
            font=plan["font"],
            text="\n".join(" ".join(word["text"] for word in line) for line in cue["lines"]),
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


def highlighted_captions(plan: dict) -> list:
    """One picture per spoken word: its group, with this word in yellow."""
    font = ImageFont.truetype(plan["font"], plan["font_size"])
    clips = []
    for cue in plan["cues"]:
        words = [word for line in cue["lines"] for word in line]
        for number, word in enumerate(words):
            end = words[number + 1]["start"] if number + 1 < len(words) else cue["end"]
            if end > word["start"]:
                clip = ImageClip(drawn(cue["lines"], word, font, plan["size"][0]), duration=end - word["start"])
                clips.append(clip.with_start(word["start"]).with_position(("center", plan["caption_top"])))
    return clips


def drawn(lines: list, spoken: dict, font: ImageFont.FreeTypeFont, width: int) -> np.ndarray:
    """A group of words as RGBA, cut to what is not empty."""
    step = round(font.size * 1.25)
    image = Image.new("RGBA", (width, step * len(lines) + 20), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        x = (width - font.getlength(" ".join(word["text"] for word in line))) / 2
        for word in line:
            colour = YELLOW if word is spoken else WHITE
            draw.text((x, 5 + row * step), word["text"], font=font, fill=colour, stroke_width=4, stroke_fill=INK)
            x += font.getlength(word["text"] + " ")
    return np.asarray(image.crop(image.getbbox()))


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
    same = sys.argv[2] == "same"
    wall, cpu = time.perf_counter(), cpu_seconds()
    captions = highlighted_captions(plan) if same else plain_captions(plan)
    film = CompositeVideoClip([*scenes(plan, same), *captions], size=tuple(plan["size"]), bg_color=(0, 0, 0))
    film = film.with_duration(plan["seconds"]).with_audio(sound(plan))
    film.write_videofile(
        plan["out"],
        fps=plan["fps"],
        codec="libx264",
        audio_codec="aac",
        preset="veryfast",
        threads=2,
        ffmpeg_params=["-crf", "21", "-x264-params", plan["x264"]],
        logger=None,
    )
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}))


if __name__ == "__main__":
    main()

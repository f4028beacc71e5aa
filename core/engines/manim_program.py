"""What is run for a scene's program: Manim set to the canvas, the scene, and what went wrong without foreign lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

FILM, ERROR = "film.mp4", "error.txt"  # what a run leaves
SHOWN_AS = "scene.py"  # the program's name in its tracebacks
FRAME_HEIGHT = 8.0  # Manim's units, whatever the canvas
_ERROR_CHARS = 2_000
_PATTERN_CHARS = 300
_PATH = re.compile(r"(?<![\w.])(?:/[\w.+@~-]+){2,}/?")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")

_SOURCE = '''
import glob, inspect, json, linecache, os, shutil, sys, traceback

told = json.loads({told!r})
code = told["code"]
linecache.cache[{shown!r}] = (len(code), None, code.splitlines(keepends=True), {shown!r})


def white(kind):
    """Whether it is white if nobody says otherwise: on a bright ground nobody would see it."""
    parameter = inspect.signature(kind.__init__).parameters.get("color")
    return parameter is not None and str(parameter.default).upper() == "#FFFFFF"


def prepared():
    """Manim as this canvas needs it; nothing that would have to start LaTeX."""
    import manim, manimpango

    config = manim.config
    config.pixel_width, config.pixel_height = told["size"]
    config.frame_rate, config.frame_height = told["fps"], told["frame"][1]
    config.frame_width = told["frame"][0]
    config.media_dir, config.output_file, config.save_last_frame = "media", "film", False
    config.disable_caching, config.progress_bar, config.verbosity = True, "none", "CRITICAL"
    config.background_color = told["names"]["GROUND"]
    for font in told["fonts"]:
        manimpango.register_font(font)
    ink = told["names"]["INK"]
    plain = [c for c in vars(manim).values() if isinstance(c, type) and issubclass(c, manim.Mobject) and white(c)]
    for kind in plain:
        kind.set_default(color=ink)
    manim.Text.set_default(font=told["family"], color=ink)
    manim.MarkupText.set_default(font=told["family"], color=ink)
    manim.Typst.set_default(color=ink)
    manim.MathTypst.set_default(color=ink)
    manim.DecimalNumber.set_default(mob_class=manim.Text, color=ink)
    manim.NumberLine.set_default(label_constructor=manim.MathTypst)
    return manim


def played():
    manim = prepared()
    names = {{"__name__": "scene", "DURATION": told["seconds"]}}
    names |= {{name: manim.ManimColor(value) for name, value in told["names"].items()}}
    exec(compile(code, {shown!r}, "exec", dont_inherit=True), names)
    own = [c for c in names.values() if isinstance(c, type) and issubclass(c, manim.Scene) and c.__module__ == "scene"]
    if not own:
        raise TypeError("the program has no class that is a Scene")
    scene = own[-1]()
    scene.render()
    films = glob.glob("media/videos/**/film.mp4", recursive=True)
    if not films:
        raise ValueError("the scene plays no animation: use self.play and self.wait")
    os.replace(films[0], {film!r})


def said(error):
    """The traceback as far as it is the program's own."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = traceback.format_list([f for f in frames if f.filename == {shown!r}])
    lines += traceback.format_exception_only(type(error), error)
    if any("tex_mobject" in f.filename or "tex_file_writing" in f.filename for f in frames):
        if not any("typst" in f.filename for f in frames):
            lines.append("This part of Manim needs LaTeX, which is not here: use MathTypst or Text.")
    return "".join(lines)


try:
    played()
except BaseException as error:
    with open({error!r}, "w", encoding="utf-8", errors="replace") as file:
        file.write(said(error))
shutil.rmtree("media", ignore_errors=True)
'''


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scene plays: everything that its program is told by names."""

    size: tuple[int, int]  # px: width, height
    fps: int
    seconds: float  # DURATION
    names: Mapping[str, str]  # colours, "#rrggbb": GROUND, INK, LIGHT_1 to LIGHT_3
    family: str  # of letters
    fonts: tuple[str, ...]  # files that are loaded beside the system's

    @property
    def frame(self) -> tuple[float, float]:
        """Width and height in Manim's units."""
        return round(FRAME_HEIGHT * self.size[0] / self.size[1], 4), FRAME_HEIGHT


def source_of(code: str, stage: Stage) -> str:
    """The whole program that is run: it leaves FILM, or ERROR with what went wrong."""
    told = json.dumps({"code": code, **asdict(stage), "frame": stage.frame})
    return _SOURCE.format(told=told, shown=SHOWN_AS, film=FILM, error=ERROR)


def trimmed(text: str) -> str:
    """What went wrong as a model and a person may read it: no path of the machine, and not without end."""
    return _PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text).strip()[-_ERROR_CHARS:]


def last_line(error: str) -> str:
    """The sentence at the end of a traceback."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(("File ", "^", "~"))]
    return (own or lines or [""])[-1][:_PATTERN_CHARS]


def pattern_of(error: str) -> str:
    """What errors of one kind have in common: the last line without its numbers, addresses and paths."""
    return _NUMBER.sub("#", _ADDRESS.sub("0x#", trimmed(last_line(error))))[:_PATTERN_CHARS]

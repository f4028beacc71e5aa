"""What is said of a scene's program before it is run, and what is left of its errors afterwards."""

from __future__ import annotations

import ast
import json

import pytest

from core.engines.clip_manim import changed_lines
from core.engines.manim_checks import MOST_CHARS, complaint
from core.engines.manim_program import Stage, last_line, pattern_of, source_of, trimmed

GOOD = """
from __future__ import annotations
import math
import numpy as np
from manim import *


class Helper:
    pass


class Circle2(Scene):
    def construct(self):
        self.play(Create(Circle()), run_time=DURATION)
"""


@pytest.mark.parametrize("base", ["Scene", "MovingCameraScene", "ThreeDScene", "manim.Scene"])
def test_a_program_with_one_scene_may_run(base: str) -> None:
    assert complaint(GOOD.replace("(Scene)", f"({base})")) == ""


def test_a_scene_may_have_a_base_of_the_programs_own() -> None:
    program = "from manim import *\nclass Base:\n    pass\nclass One(Base, Scene):\n    def construct(self): pass\n"
    assert complaint(program) == ""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("x" * (MOST_CHARS + 1), "characters"),
        ("def f(:\n", "no Python, line 1"),
        ("class A(Scene):\n  x = '\0'\n", "no Python"),
        ("(" * 5000, "no Python"),
        ("import os\n" + GOOD, "os cannot be imported"),
        (GOOD + "\n    import subprocess\n", "subprocess cannot be imported"),
        ("from .x import y\n" + GOOD, ".x cannot be imported"),
        ("import numpy.linalg, urllib.request\n" + GOOD, "urllib.request cannot be imported"),
        (GOOD.replace("Circle())", "MathTex('x'))"), "MathTypst"),
        (GOOD.replace("Circle())", "manim.Tex('x'))"), "MathTypst"),
        (GOOD.replace("Circle())", "Title('x'))"), "MathTypst"),
        ("from manim import *\n", "not 0"),
        (GOOD + GOOD.replace("Circle2", "Other"), "not 2 (Circle2, Other)"),
        (GOOD.replace("construct", "build"), "no method construct"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(code: str, said: str) -> None:
    sentence = complaint(code)

    assert said in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_program_that_is_run_is_python_whatever_the_scene_holds() -> None:
    stage = Stage((360, 640), 30, 2.5, {"GROUND": "#000000", "INK": "#ffffff"}, "Inter", ())
    nasty = "x = '''\\n{told!r} \"\"\" \u2028 {} \\\\ ' \""

    (told,) = [
        node.args[0].value
        for node in ast.walk(ast.parse(source_of(nasty, stage)))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "json.loads"
        and isinstance(node.args[0], ast.Constant)
    ]

    assert json.loads(str(told))["code"] == nasty
    assert stage.frame == (4.5, 8.0)


def test_errors_are_told_without_the_machines_paths() -> None:
    error = (
        'File "scene.py", line 5, in construct\n    a.b()\n'
        "OSError: [Errno 2] No such file: '/home/ada/.venv/lib/python3.11/site-packages/manim/x.py'"
    )

    assert "/home" not in trimmed(error) and "site-packages" not in trimmed(error)
    assert "'x.py'" in trimmed(error) and 'File "scene.py", line 5' in trimmed(error)
    assert last_line(error).startswith("OSError")


def test_errors_of_one_kind_have_one_pattern() -> None:
    first = 'File "scene.py", line 5\nTypeError: f() takes 2 positional arguments but 3 were given'
    second = 'File "scene.py", line 77\nTypeError: f() takes 1 positional arguments but 12 were given'
    other = "NameError: name 'Wrote' is not defined"

    assert pattern_of(first) == pattern_of(second) == "TypeError: f() takes # positional arguments but # were given"
    assert pattern_of(other) == other
    assert (
        pattern_of("<Square object at 0x7f00aa> has no attribute 'glow'")
        == "<Square object at 0x#> has no attribute 'glow'"
    )
    assert pattern_of("") == ""


def test_a_lesson_holds_the_lines_that_changed() -> None:
    assert changed_lines("a\nb\nc\n", "a\nB\nc\nd\n") == ("b", "B\nd")

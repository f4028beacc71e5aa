"""Manim renders words and formulas inside the sandbox, with nothing more to read than Python, libraries and fonts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.sandbox.limits import Limits
from core.sandbox.runner import Program, available, run
from tests.contract.cells import ROOT

PYTHON = ROOT / ".venv-gpu/bin/python"
SCENE = """
from manim import DOWN, UP, Create, FadeIn, MathTypst, Scene, Square, Text, Write, config

config.pixel_width, config.pixel_height, config.frame_rate = 240, 426, 15
config.frame_width, config.frame_height = 4.5, 8
config.media_dir, config.output_file = "media", "film"
config.disable_caching, config.progress_bar, config.verbosity = True, "none", "WARNING"


class Energy(Scene):
    def construct(self):
        self.play(Write(Text("Energy").scale(0.8).shift(2 * UP)), Create(Square()), run_time=0.6)
        self.play(FadeIn(MathTypst("E = m c^2").shift(2 * DOWN)), run_time=0.6)


Energy().render()
"""


def why_not() -> str:
    """Why Manim cannot be run here; "" when it can."""
    if refusal := available():
        return refusal
    command = [str(PYTHON), "-I", "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('manim'))"]
    if not PYTHON.exists() or subprocess.run(command, check=False, env={}).returncode != 0:
        return "Manim is not installed in .venv-gpu; scripts/gpu_environment.sh says why."
    return ""


@pytest.fixture(scope="module", autouse=True)
def manim() -> None:
    """Manim in the second environment."""
    if reason := why_not():
        pytest.skip(reason)


def test_words_and_a_formula_become_a_film_inside_the_sandbox(tmp_path: Path) -> None:
    program = Program(
        source=SCENE, python=str(PYTHON), keep=("media/videos/*/film.mp4",), limits=Limits(cpu_seconds=120)
    )
    outcome = run(program, tmp_path)

    assert outcome.done, outcome.ended.stderr
    assert outcome.left_out == {}
    (path,) = outcome.files
    film = cv2.VideoCapture(str(tmp_path / path))
    pictures = []
    while (read := film.read())[0]:
        pictures.append(read[1])
    film.release()
    assert len(pictures) == 18
    assert pictures[0].shape == (426, 240, 3)
    lit = [[int((part > 128).any(axis=2).sum()) for part in np.split(picture, 3)] for picture in pictures]
    assert lit[0][0] == lit[0][2] == 0
    assert lit[-1][0] > 50, "the words are in the upper third"
    assert lit[-1][2] > 50, "the formula is in the lower third"


def test_a_formula_in_latex_cannot_start_latex(tmp_path: Path) -> None:
    """It needs other programs, and none can be started."""
    source = SCENE.replace("MathTypst(", "MathTex(").replace("MathTypst,", "MathTex,")
    outcome = run(Program(source=source, python=str(PYTHON)), tmp_path)

    assert outcome.ended.exit_code == 1
    assert "PermissionError" in outcome.ended.stderr

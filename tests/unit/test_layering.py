"""Arrows between folders go one way: every import that the layout does not allow is refused here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = {
    "errors",
    "status",
    "documents",
    "schema",
    "settings",
    "ports",
    "engine_ports",
    "text",
    "identity",
    "deadlines",
}
WORDS |= {"prices", "orders"}
# steps, the lowest first: each may import words and those before it
STEPS = [
    "cues",
    "captions",
    "checks",
    "wishes",
    "request",
    "assets",
    "journal",
    "times",
    "eta",
    "pace",
    "costs",
    "quote",
    "material",
    "create",
    "dispatch",
    "progress",
    "redelivery",
    "ladder",
    "plan",
    "scene_inputs",
    "scene_code",
    "scene_assets",
    "order_ahead",
    "render",
    "combine",
    "control",
    "sweep",
    "routes",
]
# above wiring; every module of the command line too
ABOVE = {"job", "containers", "deployment", "isolated", "weights", "worker", "stack", "watch", "doctor"}
ABOVE |= {"doctor_modal", "doctor_engines", "findings", "scratch"}
HEAVY = {"modal", "torch", "diffusers", "TTS", "ffmpeg", "imageio_ffmpeg", "cv2", "PIL", "numpy", "espeakng_loader"}


def modules() -> list[Path]:
    """Every Python file of the product."""
    folders = ("core", "emulator", "functions", "scripts")
    return sorted(p for f in folders for p in (ROOT / f).rglob("*.py"))


def imported(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """The dotted names a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("core", "core.engines", "core.media", "core.adapters", "core.sandbox"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def allowed(importer: str, target: str) -> bool:
    """Whether the module `importer` (dotted) may import the module `target` of this project."""
    place, name = importer.split(".", maxsplit=1)[0], importer.removeprefix("core.")
    if place == "emulator":
        return target.startswith("emulator")
    if target.startswith("emulator"):
        return False
    if place in ("functions", "scripts"):
        return target.split(".", maxsplit=1)[0] in ("core", place)
    goal = target.removeprefix("core.")
    if name.split(".")[0] in ABOVE or name.startswith("cli"):
        return True
    if name == "wiring":
        return goal.split(".")[0] not in ABOVE and not goal.startswith("cli")
    if goal in WORDS:
        return True  # words may use each other; Python itself refuses cycles
    if name in WORDS:
        return False
    if name.startswith("media"):
        return goal.startswith("media")
    if name.startswith("engines"):
        return goal.startswith(("engines", "media", "prompts", "sandbox"))
    if name.startswith("sandbox"):
        return goal.startswith("sandbox")
    if name.startswith("adapters"):
        return goal.startswith("adapters")
    return name in STEPS and goal in STEPS[: STEPS.index(name)]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_its_folder_may(path: Path) -> None:
    importer = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    refused = [
        target
        for target in imported(path)
        if target.split(".")[0] in ("core", "emulator", "functions", "scripts", "tests", "bench")
        and not allowed(importer, target)
    ]

    assert refused == []


def test_words_and_steps_use_nothing_outside_the_standard_library() -> None:
    """So that the function starts fast and the logic runs anywhere."""
    import sys

    foreign = {
        (path.name, name)
        for path in modules()
        if path.parent == ROOT / "core" and path.stem in WORDS | set(STEPS)
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names and name.split(".")[0] != "core"
    }

    assert foreign == set()


def test_the_function_loads_no_heavy_package() -> None:
    """What main.py imports at start, transitively, holds none of the renderer's packages."""
    import subprocess
    import sys

    code = f"import functions.video_generation.main, sys; print(sorted({HEAVY!r} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"

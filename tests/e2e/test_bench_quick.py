"""The benchmark command as a person types it, on its cheapest topic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_a_quick_run_prints_its_table_and_keeps_its_figures(tmp_path: Path) -> None:
    """Whether the claims hold on a busy machine is not asked here, only that the exit code says so."""
    ran = bench("cards", "--quick", "--results", str(tmp_path))

    kept = json.loads((tmp_path / "cards.json").read_text())
    missed = any(figure["verdict"] == "MISSED" for figure in kept["figures"])
    assert ran.returncode == (1 if missed else 0), ran.stderr
    assert all(figure["value"] > 0 for figure in kept["figures"])
    assert "a voice against its length" in ran.stdout
    assert f"{kept['machine']['cores']} cores" in ran.stdout


def test_an_unknown_topic_is_refused_with_the_known_ones() -> None:
    ran = bench("speed")

    assert ran.returncode == 2
    assert "there is no topic 'speed'; there are cards" in ran.stderr


def test_a_quick_run_against_the_embedded_server_has_every_figure(tmp_path: Path) -> None:
    ran = bench("emulator", "--quick", "--results", str(tmp_path))

    figures = json.loads((tmp_path / "emulator.json").read_text())["figures"]
    units = [figure["unit"] for figure in figures]
    assert ran.returncode in (0, 1), ran.stderr
    assert units == ["s", "MiB", "1/s", "1/s", "ms", "ms", "ms", "MiB", "1/s", "MiB"]
    assert all(figure["value"] > 0 for figure in figures[:-1])
    assert all("a real Appwrite" in figure["beside"] for figure in figures if figure["unit"] in ("ms", "1/s"))


def test_a_quick_run_of_an_edit_makes_one_scene_anew(tmp_path: Path) -> None:
    ran = bench("edit", "--quick", "--results", str(tmp_path))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    first, changed, _, more = json.loads((tmp_path / "edit.json").read_text())["figures"]
    assert first["value"] > 0
    assert changed["value"] > 0
    assert more["value"] == 0

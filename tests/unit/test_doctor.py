"""What the doctor says of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.doctor import examine
from core.findings import BROKEN, DOUBTFUL, WELL, Finding


@pytest.mark.parametrize(
    ("free", "level", "said"),
    [
        (300e6, BROKEN, "Only 300 MB are free in {}: make room."),
        (1.5e9, DOUBTFUL, "Only 1.5 GB are free in {}: enough for short films."),
        (40e9, WELL, "40 GB free"),
    ],
)
def test_the_scratch_folder_of_the_renderers_needs_room_too(
    free: float, level: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on another disk than the data, and be made only by the first renderer."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("SCENEWRIGHT_WORK_DIR", str(scratch / "of-renderers"))
    monkeypatch.setattr(shutil, "disk_usage", lambda at: SimpleNamespace(free=free if Path(at) == scratch else 50e9))

    found = next(finding for finding in examine(tmp_path / "data") if finding.part == "disk")

    assert found == Finding("disk", level, said.format(scratch))

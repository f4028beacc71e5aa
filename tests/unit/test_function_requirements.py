"""The packages of the function agree with each other in the versions that are pinned, as `pip check` would say."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).resolve().parents[2] / "functions/video_generation/requirements.txt"


def wanted() -> list[Requirement]:
    """What the function asks for, and, of these versions, everything that they ask for in turn."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    waiting = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found: list[Requirement] = []
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        found.append(requirement)
        if (name := requirement.name.lower()) in seen:
            continue
        seen.add(name)
        held = distribution(requirement.name).requires or []
        waiting += [r for r in map(Requirement, held) if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def test_every_package_gets_the_versions_it_asks_for() -> None:
    found = wanted()

    assert {"modal", "appwrite", "protobuf", "requests"} <= {r.name.lower() for r in found}
    assert [f"{r}: {v}" for r in found if (v := distribution(r.name).version) not in r.specifier] == []

"""`python -m bench [topic ...] [--quick]`: measures, prints, keeps, and fails when a claim does not hold."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.figures import Topic
from bench.machine import Machine
from bench.report import keep, show

TOPICS = {  # the cheap ones first
    "cards": "processor time of a card and of a voice",
    "emulator": "writes, reads, events, subscribers, memory and start of the embedded server",
    "events": "time from a write to its event, and writes per video",
    "create": "time to answer a creation, 20 clients at once",
    "memory": "peak memory of the local stack, 3 and 60 scenes",
    "demo": "`scenewright make` against the film's length",
    "edit": "a change to one of twelve scenes against making them all",
    "install": "a second install",
    "compose": "composing against encoding alone and against MoviePy",
}
_ROOT = Path(__file__).resolve().parents[1]


def run(name: str, *, quick: bool) -> Topic:
    """Measure one topic; every one is a module with a function `measure`."""
    topic: Topic = importlib.import_module(f"bench.{name}").measure(quick=quick)
    return topic


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a claim is missed."""
    listed = "; ".join(f"{name}: {what}" for name, what in TOPICS.items())
    parser = argparse.ArgumentParser(prog="python -m bench", description=f"Topics: {listed}.")
    parser.add_argument("topics", nargs="*", metavar="topic", help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="less of everything: shows that it works, proves little")
    parser.add_argument("--results", type=Path, help="folder of the JSON files (bench/results; quick: build/bench)")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.topics if name not in TOPICS]
    if unknown:
        parser.error(f"there is no topic {unknown[0]!r}; there are {', '.join(TOPICS)}")
    folder = asked.results or (_ROOT / "build" / "bench" if asked.quick else _ROOT / "bench" / "results")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    missed = []
    for name in asked.topics or TOPICS:
        machine = Machine.here()
        topic = run(name, quick=asked.quick)
        show(topic, machine, console)
        keep(topic, machine, folder, quick=asked.quick)
        missed += [f"{name}: {figure.what}" for figure in topic.figures if figure.missed]
    for claim in missed:
        console.print(f"MISSED  {claim}", style="bold red", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())

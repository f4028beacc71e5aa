"""Shows what was measured: one table per topic for people, one JSON file per topic for the documents that quote it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import Topic
from bench.machine import Machine


def show(topic: Topic, machine: Machine, console: Console) -> None:
    """Print one topic."""
    table = Table(title=topic.name, title_justify="left", title_style="bold", caption_justify="left")
    table.add_column("what", overflow="fold")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("claim", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("beside", overflow="fold", style="dim")
    for figure in topic.figures:
        style = "bold red" if figure.missed else "green"
        value = f"{figure.value:.3g}" if abs(figure.value) < 100 else f"{figure.value:.0f}"
        verdict = f"[{style}]{figure.verdict}[/]" if figure.verdict else ""
        table.add_row(figure.what, f"{value} {figure.unit}", figure.claim, verdict, figure.beside)
    console.print(table)
    for line in (topic.setting, *topic.notes, machine.sentence()):
        console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
    console.print()


def keep(topic: Topic, machine: Machine, folder: Path, *, quick: bool) -> Path:
    """Write one topic as JSON to `folder`; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "topic": topic.name,
        "quick": quick,
        "setting": topic.setting,
        "notes": list(topic.notes),
        "machine": machine.record(),
        "figures": [figure.record() for figure in topic.figures],
    }
    path = folder / f"{topic.name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path

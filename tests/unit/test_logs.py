"""A log line can be searched by video, attempt and action, and nobody's text makes a line of its own."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core import logs
from core.ports import Job

ROOT = Path(__file__).resolve().parents[2]


def line(message: str, *arguments: object, **facts: object) -> str:
    """A record as it is written."""
    record = logging.LogRecord("core.render", logging.WARNING, __file__, 1, message, arguments, None)
    record.__dict__.update(facts)
    return logs.LineFormatter().format(record)


def test_a_line_carries_the_facts_of_its_video_before_its_sentence() -> None:
    said = line("The %s was drawn.", "picture", action="asset_made", video="v1", attempt=2, scene=3)

    at, _, rest = said.partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    assert rest == "WARNING core.render action=asset_made video=v1 attempt=2 scene=3 | The picture was drawn."


def test_facts_that_are_not_there_leave_no_trace() -> None:
    assert line("Ready.", scene=0).endswith("WARNING core.render | Ready.")


def test_every_line_of_a_job_carries_its_video_and_attempt() -> None:
    logs.works_on(Job("render", "v7", 4, (1,)))
    try:
        inside, own = line("Trying again.", action="retry"), line("Another.", video="v8")
    finally:
        logs.works_on(None)

    assert "action=retry video=v7 attempt=4 | Trying again." in inside
    assert "video=v8" in own
    assert "video=" not in line("Trying again.")


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", "one\n2030-01-01T00:00:00.000Z ERROR core | two"])
def test_a_text_with_line_breaks_stays_one_line(text: str) -> None:
    assert len(line("Title: %s", text).splitlines()) == 1


def test_a_traceback_stands_below_its_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("core", logging.ERROR, __file__, 1, "It broke.", None, sys.exc_info())
    said = logs.LineFormatter().format(record).splitlines()

    assert said[0].endswith("| It broke.")
    assert said[-1] == "ValueError: broken"


@pytest.mark.parametrize(("level", "shown"), [("debug", True), ("WARNING", False), ("nonsense", True)])
def test_a_process_logs_from_its_level_on_and_an_unknown_one_stops_nothing(level: str, shown: bool) -> None:
    code = f"import logging; from core import logs; logs.set_up({level!r}); logging.getLogger('x').info('hello')"

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ("| hello" in ended.stderr) is shown
    assert ended.stdout == ""


def test_a_function_logs_to_whatever_is_standard_output_at_that_moment() -> None:
    code = """
import io, logging, sys
from core import logs
logs.set_up("INFO", to_stdout=True)
sys.stdout = kept = io.StringIO()
logging.getLogger("x").info("hello")
sys.stdout = sys.__stdout__
print("kept:", "| hello" in kept.getvalue())
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert (ended.stdout, ended.stderr) == ("kept: True\n", "")

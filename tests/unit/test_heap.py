"""A render process lives for days: what it no longer uses must not stay its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import psutil
from core.media.heap import give_back, share_one_arena
share_one_arena()
used = lambda: psutil.Process().memory_info().rss / 1e6
blocks = [bytes([1]) * 60_000 for _ in range(3000)]
last = bytes([1]) * 60_000  # above all of them: the heap cannot shrink from its end
full = used()
blocks.clear()
kept = used()
give_back()
print(full - kept, full - used())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed")
def test_what_was_freed_goes_back_to_the_system() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    by_itself, asked = map(float, ran.stdout.split())
    assert by_itself < 60
    assert asked > 120

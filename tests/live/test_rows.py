"""The rows of tests/emulator/test_rows.py, kept by a real Appwrite."""

from __future__ import annotations

from tests.emulator.test_rows import *  # noqa: F403

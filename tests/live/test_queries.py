"""The queries of tests/emulator/test_queries.py, answered by a real Appwrite."""

from __future__ import annotations

from tests.emulator.test_queries import *  # noqa: F403

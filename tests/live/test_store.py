"""The contract of tests/contract/test_store.py, held by a real Appwrite."""

from __future__ import annotations

from tests.contract.test_store import *  # noqa: F403

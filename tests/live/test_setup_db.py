"""The contract of tests/contract/test_setup_db.py, held by a real Appwrite."""

from __future__ import annotations

from tests.contract.test_setup_db import *  # noqa: F403

"""The tests for a real Appwrite, shown to work: an embedded server takes the part of the foreign one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from appwrite.services.functions import Functions
from appwrite.services.storage import Storage
from appwrite.services.tables_db import TablesDB

from tests.emulator.conftest import ROOT, Running

SOME = "second_changes_nothing or read_back_as_it_was_written or comes_back_byte_for_byte or waited_for"


def run_live(**server: str) -> str:
    """The last lines of a run of some live tests, with or without a server to run on."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("APPWRITE_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/live", "-k", SOME]
    ran = subprocess.run(command, cwd=ROOT, env=kept | server, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_live_tests_run_on_the_server_they_are_given_and_leave_nothing_behind(appwrite: Running) -> None:
    client = appwrite.client(key=appwrite.key)

    def there() -> list[list[str]]:
        lists = (TablesDB(client).list().databases, Storage(client).list_buckets().buckets, Functions(client).list())
        return [[each.id for each in found] for found in (*lists[:2], lists[2].functions)]

    before = there()

    said = run_live(
        APPWRITE_ENDPOINT=appwrite.endpoint, APPWRITE_PROJECT_ID=appwrite.project, APPWRITE_API_KEY=appwrite.key
    )

    assert re.search(r"^[4-9] passed", said, re.MULTILINE), said
    assert "skipped" not in said
    assert there() == before


def test_without_a_server_the_live_tests_are_skipped_and_say_what_to_set() -> None:
    said = run_live()

    assert re.search(r"^[4-9] skipped", said, re.MULTILINE), said
    assert "needs a real Appwrite: set APPWRITE_ENDPOINT, APPWRITE_PROJECT_ID, APPWRITE_API_KEY" in said

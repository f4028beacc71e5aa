"""Keys and tokens stay where they belong: not in documents, not in executions, not in logs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import requests

from core import schema
from core.wiring import build_parts
from tests.e2e.conftest import RunningStack
from tests.e2e.people import anonymous
from tests.waiting import wait_for

SCRIPT = "The lighthouse stands on a rock in the sea.\n\nAt night its light turns round and round for the ships."


@pytest.fixture(scope="module")
def play_url(running_stack: RunningStack) -> str:
    """The address of a finished film, token included."""
    user = anonymous(running_stack.endpoint, running_stack.project)
    made = user.call("POST", "/videos", {"script": SCRIPT, "resolution": 360})
    shown = wait_for(
        lambda: (body := user.call("GET", f"/videos/{made.body['videoId']}").body)["play_url"] and body, "the film"
    )
    return str(shown["play_url"])


@pytest.fixture(scope="module")
def secrets(running_stack: RunningStack, play_url: str) -> list[str]:
    """What nobody may find."""
    return [running_stack.key, running_stack.settings.render_token, play_url.split("token=")[1]]


def everything(running_stack: RunningStack, path: str, key: str) -> list[dict[str, Any]]:
    """All items of a list, with the server key."""
    headers = {"x-appwrite-project": running_stack.project, "x-appwrite-key": running_stack.key}
    query = {"queries[0]": json.dumps({"method": "limit", "values": [5000]})}
    answer = requests.get(running_stack.endpoint + path, headers=headers, params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()[key]
    return items


def found(secrets: list[str], text: str) -> int:
    """How many of the secrets stand in a text."""
    assert all(len(secret) > 20 for secret in secrets)
    return sum(secret in text for secret in secrets)


def test_no_document_holds_a_key_or_a_token(running_stack: RunningStack, secrets: list[str]) -> None:
    for table in schema.schema()["tables"]:
        path = f"/tablesdb/{schema.database_id()}/tables/{table['$id']}/rows"
        rows = everything(running_stack, path, "rows")
        assert rows or table["$id"] in ("settings", "agent_memory")
        assert found(secrets, json.dumps(rows)) == 0


def test_no_execution_logs_or_answers_a_key(running_stack: RunningStack, secrets: list[str]) -> None:
    executions = everything(running_stack, f"/functions/{schema.FUNCTION}/executions", "executions")

    assert executions
    assert found(secrets, json.dumps(executions)) == 0


def test_no_log_file_holds_a_key_or_a_token(running_stack: RunningStack, secrets: list[str]) -> None:
    logs = sorted((running_stack.data / "logs").glob("*.log"))

    assert logs
    assert sum(found(secrets, log.read_text(encoding="utf-8")) for log in logs) == 0


def test_no_command_line_shows_a_key(running_stack: RunningStack, secrets: list[str]) -> None:
    """Everybody on a machine can read the arguments of everybody's processes."""
    assert found(secrets, subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout) == 0


def test_settings_show_no_secret(running_stack: RunningStack, secrets: list[str]) -> None:
    assert found(secrets, repr(running_stack.settings)) == 0
    assert found(secrets, repr(build_parts(running_stack.settings))) == 0

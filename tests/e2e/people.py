"""Anonymous users of the function, and who holds a server key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests
from appwrite.client import Client
from appwrite.enums.execution_method import ExecutionMethod
from appwrite.services.functions import Functions

from core.schema import FUNCTION


@dataclass(frozen=True)
class Reply:
    """What the function answered to one execution."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the function: `id` is empty for a server key and for a guest."""

    client: Client
    id: str = ""
    session: str = ""

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Execute; a body that is no text is sent as JSON, header names are written with underscores."""
        text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        execution = Functions(self.client).create_execution(
            FUNCTION,
            body=text,
            xasync=False,
            path=path,
            method=ExecutionMethod(method),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        answered = {h.name.lower(): h.value for h in execution.responseheaders}
        said = execution.responsebody
        return Reply(int(execution.responsestatuscode), json.loads(said) if said else {}, answered)


def client(endpoint: str, project: str) -> Client:
    """A guest's client."""
    return Client().set_endpoint(endpoint).set_project(project)


def anonymous(endpoint: str, project: str) -> Caller:
    """A new anonymous user, signed in as a browser is."""
    headers = {"x-appwrite-project": project}
    answer = requests.post(f"{endpoint}/account/sessions/anonymous", json={}, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    session = json.loads(answer.headers["x-fallback-cookies"])[f"a_session_{project}"]
    return Caller(client(endpoint, project).set_session(session), answer.json()["userId"], session)


def with_key(endpoint: str, project: str, key: str) -> Caller:
    """A server that holds a key."""
    return Caller(client(endpoint, project).set_key(key))

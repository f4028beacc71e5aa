"""Jobs for a render server on some machine: laptop, GPU box, notebook."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests

from core.errors import BusyError, InvalidInputError, UnavailableError
from core.ports import CallState, Job
from core.settings import Settings

RENDER_URL_SETTING = "render_url"  # id of the row in the settings table
_SECONDS = (3.0, 5.0)  # to connect, to be answered: a worker only notes the job down
_STATES = {  # of the render server, in our words
    "waiting": CallState.WAITING,
    "done": CallState.DONE,
    "failed": CallState.FAILED,
    "cancelled": CallState.FAILED,
}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_render_url(url: str) -> str:
    """An address that may carry the token: https anywhere, http on this machine only.

    Raises:
        InvalidInputError: field render_url.
    """
    parts = urlsplit(url.strip())
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not parts.hostname or not safe:
        raise InvalidInputError(
            f"The render server's address must be https://... (http only on this machine), not {url[:80]!r}.",
            code="render_url_invalid",
            field=RENDER_URL_SETTING,
        )
    return url.strip().rstrip("/")


def render_url(settings: Settings, from_row: Callable[[str], str | None]) -> str:
    """The address in force: the setting, else the file's first line, else the settings row (changes at run time).

    Raises:
        UnavailableError: there is none.
        InvalidInputError: it may not be used.
    """
    url = settings.render_url
    if not url and settings.render_url_file:
        path = Path(settings.render_url_file)
        lines = path.read_text(encoding="utf-8").split() if path.is_file() else []
        url = lines[0] if lines else ""
    url = url or from_row(RENDER_URL_SETTING) or ""
    if not url:
        raise UnavailableError(
            "No render server is known: start `scenewright worker` and set SCENEWRIGHT_RENDER_URL to its address.",
            code="renderer_unknown",
        )
    return check_render_url(url)


class HttpDispatcher:
    """Implements ports.Dispatcher for `scenewright worker`."""

    id = "http"

    def __init__(self, settings: Settings, from_row: Callable[[str], str | None]) -> None:
        self.parallel_calls, self.scenes_per_call = settings.parallel_calls, 0
        self._settings = settings
        self._from_row = from_row
        self._local = threading.local()

    def _request(self, method: str, path: str, json: object = None) -> requests.Response:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            self._local.session = session
        url = render_url(self._settings, self._from_row)
        headers = {"Authorization": f"Bearer {self._settings.render_token}"} if self._settings.render_token else {}
        try:
            return session.request(method, f"{url}{path}", json=json, headers=headers, timeout=_SECONDS)
        except requests.RequestException as error:
            raise UnavailableError(f"the render server does not answer ({type(error).__name__}).") from error

    def submit(self, job: Job) -> str:
        """See ports.Dispatcher."""
        body = {"kind": job.kind, "video_id": job.video_id, "attempt": job.attempt, "scenes": list(job.scenes)}
        response = self._request("POST", "/calls", body)
        if response.status_code == 429:
            raise BusyError("the render server's queue is full.")
        if response.status_code != 202:
            raise UnavailableError(f"the render server answered {response.status_code}.")
        return str(response.json()["call_id"])

    def status(self, call_id: str) -> CallState:
        """See ports.Dispatcher."""
        try:
            response = self._request("GET", f"/calls/{call_id}")
        except (UnavailableError, InvalidInputError):
            return CallState.UNKNOWN
        if response.status_code == 404:
            return CallState.LOST
        if response.status_code != 200:
            return CallState.UNKNOWN
        return _STATES.get(response.json()["state"], CallState.PENDING)

    def cancel(self, call_id: str) -> None:
        """See ports.Dispatcher."""
        try:
            self._request("DELETE", f"/calls/{call_id}")
        except (UnavailableError, InvalidInputError):
            return  # it will find out by itself: every renderer re-reads its video

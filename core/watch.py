"""A client's view of a video: signed in as a user, told by Realtime what happens, never out of date for long."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from appwrite.exception import AppwriteException
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_store import AppwriteStore
from core.adapters.retries import translate
from core.documents import Video
from core.errors import (
    InvalidInputError,
    MethodError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    ScenewrightError,
    UnavailableError,
)
from core.schema import FUNCTION, VIDEOS, database_id

_PING_SECONDS = 20.0  # servers close a socket that is silent for longer
_REREAD_SECONDS = 15.0  # without an event for so long, look whether one was lost
_ALIVE_SECONDS = 2.0  # between two looks at whether the local stack still lives
_WAITS = (1.0, 5.0)  # before connecting again: the first time, later
_GIVE_UP_SECONDS = 60.0
_TIMEOUT = (3.0, 20.0)


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in user of one project. `secret` is what the server knows the user by."""

    endpoint: str
    project: str
    user_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Session(endpoint={self.endpoint!r}, project={self.project!r}, user_id={self.user_id!r})"

    def client(self) -> AppwriteClient:
        """An SDK client that acts as this user."""
        client = AppwriteClient(self.endpoint, self.project)
        client.set_session(self.secret)
        return client


# ---- signing in


def sign_in(endpoint: str, project: str, session_file: Path) -> Session:
    """The anonymous user of this machine on that project, made when there is none or its session has ended.

    Args:
        session_file: where sessions are kept, one per endpoint and project; nobody else can read it.

    Raises:
        UnavailableError: the server does not answer.
        NotAllowedError: the project does not let anonymous users in.
    """
    kept = _kept(session_file)
    name = f"{endpoint}|{project}"
    with contextlib.suppress(KeyError, TypeError):
        session = Session(**kept[name])
        if _is_valid(session):
            return session
    session = _new_session(endpoint, project)
    _keep(session_file, kept | {name: asdict(session)})
    return session


def _is_valid(session: Session) -> bool:
    try:
        session.client().call("get", "/account")
    except AppwriteException as error:
        if error.code in (401, 403, 404):
            return False
        raise translate(error, "your account") from error
    return True


def _new_session(endpoint: str, project: str) -> Session:
    with requests.Session() as http:
        http.trust_env = False
        try:
            response = http.post(
                f"{endpoint}/account/sessions/anonymous",
                headers={"X-Appwrite-Project": project},
                json={},
                timeout=_TIMEOUT,
            )
        except requests.RequestException as error:
            raise UnavailableError(f"{endpoint} does not answer ({type(error).__name__}).") from error
    if response.status_code != 201:
        raise NotAllowedError(
            f"{endpoint} refused an anonymous session ({response.status_code}): allow anonymous sign-in in the "
            "project's settings.",
            code="sign_in_refused",
        )
    # a browser without third-party cookies gets the same value in this header
    cookie = f"a_session_{project}"
    fallback = json.loads(response.headers.get("X-Fallback-Cookies") or "{}")
    secret = fallback.get(cookie) or response.cookies.get(cookie)
    if not secret:
        raise NotAllowedError(f"{endpoint} gave no session.", code="sign_in_refused")
    return Session(endpoint, project, str(response.json()["userId"]), str(secret))


def _kept(session_file: Path) -> dict[str, Any]:
    try:
        kept = json.loads(session_file.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(session_file: Path, sessions: dict[str, Any]) -> None:
    session_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = session_file.with_name(f"{session_file.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(sessions, file, indent=1)
    part.replace(session_file)


# ---- asking the function

_ERRORS: dict[int, type[ScenewrightError]] = {
    400: InvalidInputError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    405: MethodError,
    409: RefusedError,
}


def execute(
    client: AppwriteClient, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Call the function as any client does; returns the decoded answer.

    Raises:
        ScenewrightError: what the function refused, with its code and field.
        UnavailableError: the server or the function gave no answer.
    """
    params = {
        "path": path,
        "method": method,
        "async": False,
        "headers": headers or {},
        "body": json.dumps(body, ensure_ascii=False) if body is not None else "",
    }
    try:
        execution = client.call(
            "post", f"/functions/{FUNCTION}/executions", {"content-type": "application/json"}, params
        )
    except AppwriteException as error:
        raise translate(error, f"the function {FUNCTION}") from error
    status = int(execution["responseStatusCode"])
    try:
        answer = json.loads(execution["responseBody"])
    except ValueError as error:
        raise UnavailableError(
            f"The function {FUNCTION} gave no answer (status {status}); its log in the server says why.",
            code="function_broken",
        ) from error
    if status >= 400:
        kind = _ERRORS.get(status, UnavailableError)
        raise kind(str(answer.get("error", "")), code=answer.get("code"), field=answer.get("field"))
    return dict(answer)


# ---- following a video


def follow(session: Session, video_id: str, *, alive: Callable[[], str] = str) -> Iterator[Video]:
    """Every newer state of a video, from the present one to a terminal one.

    Subscribes first and reads the row once after that, on every connection: nothing falls into a gap. States come
    in order of their revision; what is older than what was seen is dropped.

    Args:
        alive: asked every two seconds; a sentence, such as that the renderer has died, ends it all at once.

    Raises:
        NotFoundError: there is no such video, or it is somebody else's.
        UnavailableError: the server was silent for a minute.
    """
    store = AppwriteStore(session.client())
    seen, last_contact, failures = -1, time.monotonic(), 0
    while True:
        try:
            with subscribed(session, [f"databases.{database_id()}.tables.{VIDEOS}.rows.{video_id}"]) as socket:
                for video in _states(socket, store, video_id, alive):
                    last_contact, failures = time.monotonic(), 0
                    if video.revision > seen:
                        seen = video.revision
                        yield video
                    if video.is_terminal:
                        return
        except (OSError, WebSocketException, UnavailableError) as error:
            sentence = alive()
            if sentence or time.monotonic() - last_contact > _GIVE_UP_SECONDS:
                sentence = sentence or f"{session.endpoint} does not answer any more."
                raise UnavailableError(sentence, code="server_lost") from error
        time.sleep(_WAITS[min(failures, len(_WAITS) - 1)])
        failures += 1


@contextlib.contextmanager
def subscribed(session: Session, channels: Sequence[str]) -> Iterator[ClientConnection]:
    """A socket on which the events of these channels arrive.

    Raises:
        UnavailableError: the server refuses the user or the channels; OSError or WebSocketException: no connection.
    """
    parts = urlsplit(session.endpoint)
    scheme = "wss" if parts.scheme == "https" else "ws"
    url = f"{scheme}://{parts.netloc}{parts.path}/realtime?project={quote(session.project)}"
    with connect(url, proxy=None, open_timeout=10, close_timeout=1, max_size=2**20) as socket:
        _expect(socket, "connected", "")
        socket.send(json.dumps({"type": "authentication", "data": {"session": session.secret}}))
        _expect(socket, "response", "authentication")
        subscription = {"subscriptionId": "watch", "channels": list(channels), "queries": []}
        socket.send(json.dumps({"type": "subscribe", "data": [subscription]}))
        _expect(socket, "response", "subscribe")
        yield socket


def _expect(socket: ClientConnection, kind: str, to: str) -> None:
    """Wait for one answer. Raises UnavailableError when the server refuses."""
    while True:
        message = json.loads(socket.recv(timeout=10))
        data = message.get("data") or {}
        if message["type"] == "error":
            raise UnavailableError(f"Realtime refused: {str(data.get('message', ''))[:200]}", code="realtime_refused")
        if message["type"] == kind and data.get("to", "") == to:
            return


def _states(socket: ClientConnection, store: AppwriteStore, video_id: str, alive: Callable[[], str]) -> Iterator[Video]:
    """The row as it is now, then as events tell, re-read whenever they fall silent."""
    yield store.get_video(video_id)
    pinged = heard = time.monotonic()
    while True:
        if sentence := alive():
            raise UnavailableError(sentence)
        now = time.monotonic()
        if now - pinged >= _PING_SECONDS:
            socket.send(json.dumps({"type": "ping"}))
            pinged = now
        if now - heard >= _REREAD_SECONDS:
            heard = now
            yield store.get_video(video_id)
        try:
            until = min(pinged + _PING_SECONDS, heard + _REREAD_SECONDS, now + _ALIVE_SECONDS)
            message = json.loads(socket.recv(timeout=until - now))
        except TimeoutError:
            continue
        if message["type"] == "event":
            if any(name.endswith(".delete") for name in message["data"]["events"]):
                raise NotFoundError("The video was deleted.", code="video_deleted")
            heard = time.monotonic()
            yield Video.from_row(message["data"]["payload"])

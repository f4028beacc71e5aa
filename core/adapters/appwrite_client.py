"""The Appwrite SDK's client with what a service needs: pooled connections, time-outs, streamed downloads."""

from __future__ import annotations

import json
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from appwrite.client import Client
from appwrite.encoders.value_class_encoder import ValueClassEncoder
from appwrite.exception import AppwriteException
from appwrite.input_file import InputFile

from core.adapters.retries import PATIENCE_SECONDS, with_retries
from core.errors import of_system

_CONNECT_SECONDS = 3.0
JSON_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_BLOCK = 1 << 18  # bytes per read of a streamed download


class AppwriteClient(Client):  # type: ignore[misc] # the SDK ships no types
    """One per process; safe to use from many threads.

    The SDK opens a new connection for every call and waits for ever; this one overrides `call` only. Failures
    that never reached a server have `code` 0, as in the SDK.
    """

    def __init__(
        self,
        endpoint: str,
        project: str,
        key: str = "",
        *,
        seconds: float = 20.0,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`seconds`: how long one answer may take; `patience`: how long a call that fails is tried again (`ask`)."""
        super().__init__()
        self.set_endpoint(endpoint.rstrip("/")).set_project(project)
        self.endpoint = endpoint.rstrip("/")
        self.project = project
        if key:
            self.set_key(key)
        self.patience = patience
        self._timeout = (_CONNECT_SECONDS, seconds)
        self._local = threading.local()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False  # a proxy variable must not swallow calls to one's own server
            # connections die while idle; a fresh one may be opened once, before anything was sent
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=0, pool_maxsize=4))
            self._local.session = session
        return session

    def call(
        self,
        method: str,
        path: str = "",
        headers: dict[str, str] | None = None,
        params: dict[str, Any] | None = None,
        response_type: str = "json",
    ) -> Any:
        """Send one request; the same contract as the SDK's own method.

        Raises:
            AppwriteException: `code` is the HTTP status, 0 when no answer came.
        """
        merged = {**self._global_headers, "X-Appwrite-Project": self.project, **(headers or {})}
        body = self._body(method, merged, params or {})
        try:
            response = self._session().request(
                method,
                self.endpoint + path,
                headers=merged,
                timeout=self._timeout,
                allow_redirects=response_type != "location",
                **body,
            )
        except requests.RequestException as error:
            raise AppwriteException(f"no answer: {type(error).__name__}", 0) from error
        if response.status_code >= 400:
            raise _exception(response)
        if response_type == "location":
            return response.headers.get("Location")
        if response.headers.get("Content-Type", "").startswith("application/json"):
            try:
                return response.json()
            except ValueError as error:  # cut off on its way: as good as no answer
                raise AppwriteException("the answer is no JSON", 0) from error
        return response.text if response_type == "text" else response.content

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """`call`, tried again as long as this client's patience lasts; `what` names the thing in errors.

        Raises:
            ScenewrightError: as `with_retries`.
        """
        sent = headers or ({} if method == "get" else JSON_HEADERS)
        return with_retries(lambda: self.call(method, path, sent, params), what, self.patience)

    def _body(self, method: str, headers: dict[str, str], params: dict[str, Any]) -> dict[str, Any]:
        kind = headers.get("content-type", "")
        if method == "get":
            return {"params": self.flatten(params)}
        if kind.startswith("multipart/form-data"):
            del headers["content-type"]  # requests writes it with the boundary
            sent = {k: (v.filename, v.data) for k, v in params.items() if isinstance(v, InputFile)}
            rest = {k: v for k, v in params.items() if k not in sent}
            return {"files": sent, "data": self.flatten(rest, stringify=True)}
        if not kind:
            headers["content-type"] = "application/json"
        return {"data": json.dumps(params, cls=ValueClassEncoder)}

    def download(self, path: str, out: Path, *, first_bytes: int = 0) -> None:
        """Stream a file to `out` by way of a part file.

        Args:
            path: API path of the download.
            out: where to put it; it appears whole or not at all.
            first_bytes: only so many bytes from the beginning, 0: all.

        Raises:
            AppwriteException: as `call`.
            MissingToolError: the disk is full or cannot be written.
        """
        headers = {**self._global_headers, "X-Appwrite-Project": self.project}
        headers.pop("content-type", None)
        if first_bytes:
            headers["range"] = f"bytes=0-{first_bytes - 1}"
        part = out.with_name(f"{out.name}.{secrets.token_hex(4)}.part")  # another thread may fetch the same
        url = self.endpoint + path
        try:
            with self._session().get(url, headers=headers, timeout=self._timeout, stream=True) as response:
                if response.status_code >= 400:
                    raise _exception(response)
                with part.open("wb") as file:
                    for block in response.iter_content(_BLOCK):
                        file.write(block)
            part.replace(out)
        except requests.RequestException as error:
            raise AppwriteException(f"no answer: {type(error).__name__}", 0) from error
        except OSError as error:
            raise of_system(error) from error
        finally:
            part.unlink(missing_ok=True)


def _exception(response: requests.Response) -> AppwriteException:
    """The SDK's exception out of an error answer, whatever its body is."""
    try:
        body = response.json()
        error = AppwriteException(body["message"], response.status_code, body.get("type"), response.text)
    except (ValueError, KeyError, TypeError):
        error = AppwriteException(response.text[:500], response.status_code, None, response.text)
    error.retry_after = response.headers.get("Retry-After")
    return error


def iso(moment: datetime) -> str:
    """Appwrite's own form of a time: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def owner_permissions(owner_id: str) -> list[str]:
    """Exactly what every row and file gets: its owner may read it; without an owner only keys may."""
    return [f'read("user:{owner_id}")'] if owner_id else []

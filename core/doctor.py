"""`scenewright doctor`: looks at every part the way it will be used, and says what to do about what is not well."""

from __future__ import annotations

import json
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import requests
from appwrite.exception import AppwriteException
from websockets.exceptions import WebSocketException

from core import doctor_engines, processes
from core import stack as local
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.http_dispatch import render_url
from core.adapters.retries import translate
from core.cli_connect import Connection, connected, folder_of
from core.errors import MissingToolError, ScenewrightError, UnavailableError
from core.findings import BROKEN, DOUBTFUL, WELL, Finding, Seen
from core.schema import FUNCTION, schema
from core.settings import Settings
from core.watch import Session, execute, subscribed

_ROOM = 2_000_000_000  # bytes that some films and their scenes take
_LITTLE_ROOM = 500_000_000
_RENDERER_SECONDS = 20.0  # a renderer that has just started loads its engines
_SCRIPTS = {"Arabic": "مرحبا", "Chinese": "你好世界", "Japanese": "こんにちは", "Korean": "안녕하세요", "Hindi": "नमस्ते"}
_ENCODERS, _FILTERS = ("libx264", "aac"), ("ass", "ebur128", "alimiter", "sidechaincompress")


def examine(data: Path | None, *, deep: bool = False) -> Iterator[Finding]:
    """Look at this machine, then at the server in force; the local stack is started if there is no other.

    `deep`: also ask services that are far away, and start a container where the renderer is Modal.
    """
    folder = folder_of(data)
    machine: dict[str, Callable[[], Seen]] = {
        "python": _python,
        "ffmpeg": _ffmpeg,
        "fonts": _fonts,
        "disk": lambda: _disk(folder, Path(Settings.from_env().work_dir or tempfile.gettempdir())),
        "folder": partial(_folder, folder),
        "port": _port,
    }
    for part, look in machine.items():
        yield look_at(part, look)
    for part, look in doctor_engines.looks(Settings.from_env(), deep=deep):
        yield look_at(part, look)
    try:
        with connected(data, start=True) as connection:
            yield from _server(connection, deep=deep)
    except ScenewrightError as error:
        yield Finding("server", BROKEN, error.sentence)


def look_at(part: str, look: Callable[[], Seen]) -> Finding:
    """Look at one part; a fault that is raised is a finding too."""
    try:
        return Finding(part, *look())
    except ScenewrightError as error:
        return Finding(part, BROKEN, error.sentence)
    except AppwriteException as error:
        return Finding(part, BROKEN, translate(error, part).sentence)
    except (OSError, WebSocketException) as error:
        return Finding(part, BROKEN, f"It does not answer ({type(error).__name__}).")


# ---- this machine


def _python() -> Seen:
    return WELL, f"Python {platform.python_version()} at {sys.executable}"  # an older one could not have come so far


def _ffmpeg() -> Seen:
    from core.media.run import ffmpeg_path

    path = ffmpeg_path()

    def said(*arguments: str) -> str:
        return subprocess.run([path, "-hide_banner", *arguments], capture_output=True, text=True, check=False).stdout

    version = said("-version").split("\n", 1)[0].removeprefix("ffmpeg version ").split(" ")[0]
    has = set(re.findall(r"^ [A-Z.]+ +(\S+)", said("-encoders") + said("-filters"), re.MULTILINE))
    lacking = [name for name in (*_ENCODERS, *_FILTERS) if name not in has]
    if lacking:
        raise MissingToolError(
            f"ffmpeg {version} at {path} lacks {', '.join(lacking)}: set SCENEWRIGHT_FFMPEG to one that has them, "
            "or remove it to use the packaged one."
        )
    return WELL, f"ffmpeg {version} with x264 and libass"


def _fonts() -> Seen:
    from core.engines.fonts import EMOJI, INTER, family_for

    missing = [path.name for path in (INTER, EMOJI) if not path.is_file()]
    if missing:
        return BROKEN, f"{', '.join(missing)} is gone from the package: install it again."
    unseen = [script for script, sample in _SCRIPTS.items() if not family_for(sample)[2]]
    if unseen:
        return DOUBTFUL, f"No font for {', '.join(unseen)}: for films in these install the Noto fonts (fonts-noto)."
    return WELL, "Inter, emoji, and system fonts for Arabic, Chinese, Japanese, Korean and Hindi"


def _disk(*folders: Path) -> Seen:
    """The folder with the least room; one that is not there yet will be where its parent is."""
    there = [next(p for p in (f.absolute(), *f.absolute().parents) if p.exists()) for f in folders]
    free, place = min((shutil.disk_usage(folder).free, folder) for folder in there)
    if free < _LITTLE_ROOM:
        return BROKEN, f"Only {free / 1e6:.0f} MB are free in {place}: make room."
    if free < _ROOM:
        return DOUBTFUL, f"Only {free / 1e9:.1f} GB are free in {place}: enough for short films."
    return WELL, f"{free / 1e9:.0f} GB free"


def _folder(folder: Path) -> Seen:
    with local.writable(folder, "data"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"scenewright")
    return WELL, f"{folder} can be written"


def _port() -> Seen:
    return WELL, f"Port {processes.free_ports(0)[0]} can be opened on {processes.HOST}"


# ---- the server in force


def _server(connection: Connection, *, deep: bool) -> Iterator[Finding]:
    yield look_at("appwrite", partial(_appwrite, connection))
    yield look_at("key", partial(_key, connection))
    yield look_at("schema", partial(_schema, connection))
    yield from _renderers(connection, deep=deep)
    try:
        session = connection.session()
    except ScenewrightError as error:
        yield Finding("sign-in", BROKEN, error.sentence)
        return
    yield Finding("sign-in", WELL, "An anonymous user can sign in")
    yield look_at("function", partial(_function, session))
    yield look_at("storage", partial(_storage, connection))
    yield look_at("realtime", partial(_realtime, session))


def _appwrite(connection: Connection) -> Seen:
    endpoint = connection.settings.endpoint
    try:
        with requests.Session() as http:
            http.trust_env = False
            headers = {"X-Appwrite-Project": connection.settings.project_id}
            response = http.get(f"{endpoint}/health/version", headers=headers, timeout=(3, 10))
            version = response.json()["version"]
    except (requests.RequestException, ValueError, KeyError) as error:
        raise UnavailableError(f"{endpoint} is no Appwrite that answers: check APPWRITE_ENDPOINT.") from error
    return WELL, f"Appwrite {version} at {endpoint}"


def _key(connection: Connection) -> Seen:
    if not connection.settings.api_key:
        return DOUBTFUL, "APPWRITE_API_KEY is not set: schema, storage and other people's videos cannot be looked at."
    client, database = connection.operator(), schema()["tablesDB"][0]["$id"]
    needed = {
        "databases.read": f"/tablesdb/{database}",
        "tables.read": f"/tablesdb/{database}/tables",
        "rows.read": f"/tablesdb/{database}/tables/{schema()['tables'][0]['$id']}/rows",
        "buckets.read": "/storage/buckets",
        "files.read": f"/storage/buckets/{schema()['buckets'][0]['$id']}/files",
        "functions.read": "/functions",
        "execution.read": f"/functions/{FUNCTION}/executions",
    }
    lacking = []
    for scope, path in needed.items():
        try:
            client.call("get", path)
        except AppwriteException as error:
            if error.type == "user_unauthorized":
                return BROKEN, "The key is not valid for this project: check APPWRITE_API_KEY and APPWRITE_PROJECT_ID."
            if error.code in (401, 403):
                lacking.append(scope)
            elif error.code != 404:
                raise
    if lacking:
        return BROKEN, f"The key lacks {', '.join(lacking)}: add these scopes in the project's settings."
    return WELL, "The key is valid and has the scopes that are needed"


def _schema(connection: Connection) -> Seen:
    if not connection.settings.api_key:
        return DOUBTFUL, "Not looked at: there is no key."
    client = connection.operator()

    def there(path: str) -> dict[str, Any]:
        try:
            return dict(client.call("get", path))
        except AppwriteException as error:
            if error.code == 404:
                return {}
            raise

    missing = []
    for table in schema()["tables"]:
        found = there(f"/tablesdb/{table['databaseId']}/tables/{table['$id']}")
        for kind in ("columns", "indexes"):
            usable = {item["key"] for item in found.get(kind, []) if item["status"] == "available"}
            missing += [f"{table['$id']}.{item['key']}" for item in table[kind] if item["key"] not in usable]
    missing += [b["$id"] for b in schema()["buckets"] if not there(f"/storage/buckets/{b['$id']}")]
    missing += [f["$id"] for f in schema()["functions"] if not there(f"/functions/{f['$id']}")]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return BROKEN, f"Missing: {', '.join(missing[:5])}{more}; run `python scripts/setup_db.py`."
    return WELL, f"{len(schema()['tables'])} tables, {len(schema()['buckets'])} buckets and the function are there"


def _renderers(connection: Connection, *, deep: bool) -> Iterator[Finding]:
    if connection.settings.renderer != "modal":
        yield look_at("renderer", partial(_renderer, connection))
        return
    from core import doctor_modal

    for part, look in doctor_modal.looks(connection.settings, deep=deep):
        yield look_at(part, look)


def _renderer(connection: Connection) -> Seen:
    at = connection.settings
    if at.renderer != "http":
        return DOUBTFUL, f"The renderer {at.renderer} is not looked at from here."
    url = render_url(at, connection.store().setting if at.api_key else lambda _: None)
    headers = {"Authorization": f"Bearer {at.render_token}"} if at.render_token else {}
    deadline = time.monotonic() + _RENDERER_SECONDS
    with requests.Session() as http:
        http.trust_env = False
        try:
            while (health := http.get(f"{url}/health", timeout=5)).status_code == 503 and time.monotonic() < deadline:
                time.sleep(0.2)
            known = http.get(f"{url}/calls/doctor", headers=headers, timeout=5).status_code
        except requests.RequestException as error:
            raise UnavailableError(f"Nothing answers at {url}: start `scenewright worker`.") from error
    if known == 401:
        return BROKEN, f"{url} refuses the token: set the same SCENEWRIGHT_RENDER_TOKEN here and there."
    if health.status_code != 200:
        return BROKEN, f"{url} has no process that is ready; its log says why."
    body = health.json()
    return WELL, f"{body['ready']} of {body['processes']} processes ready, {body['waiting']} calls waiting, at {url}"


def _function(session: Session) -> Seen:
    begun = time.monotonic()
    answer = execute(session.client(), "GET", "/health")
    return WELL, f"{FUNCTION} answers {answer['status']!r} in {(time.monotonic() - begun) * 1000:.0f} ms"


def _storage(connection: Connection) -> Seen:
    if not connection.settings.api_key:
        return DOUBTFUL, "Not looked at: there is no key."
    client, bucket_id, file_id = connection.operator(), "source_code", f"doctor-{secrets.token_hex(6)}"
    files, content = AppwriteFiles(client), secrets.token_hex(64)
    with tempfile.TemporaryDirectory() as folder:
        sent, back = Path(folder) / "doctor.txt", Path(folder) / "back.txt"
        sent.write_text(content)
        files.upload(bucket_id, file_id, sent, "")
        try:
            files.download(bucket_id, file_id, back)
        finally:
            client.call("delete", f"/storage/buckets/{bucket_id}/files/{file_id}")
        if back.read_text() != content:
            return BROKEN, f"A file in {bucket_id} came back changed: check the server's disk."
    return WELL, "A small file went up, came back the same, and is deleted"


def _realtime(session: Session) -> Seen:
    with subscribed(session, ["account"]) as socket:
        begun = time.monotonic()
        mark = secrets.token_hex(4)
        body = {"prefs": {"doctor": mark}}
        session.client().call("patch", "/account/prefs", {"content-type": "application/json"}, body)
        while time.monotonic() - begun < 5:
            try:
                message = json.loads(socket.recv(timeout=5))
            except TimeoutError:
                break
            if message["type"] == "event" and mark in json.dumps(message["data"]["payload"]):
                return WELL, f"A change was heard of after {(time.monotonic() - begun) * 1000:.0f} ms"
    return BROKEN, "No event came in 5 seconds: check that the server's realtime service runs."

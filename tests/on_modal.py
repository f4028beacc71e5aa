"""The app of modal_app.py, deployed by Modal's own command line on the control plane of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.emulator.conftest import Running
from tests.plane import Plane

ROOT = Path(__file__).resolve().parents[1]
APP, BACKEND = "scenewright", "scenewright-backend"
RENDER, COMPOSE = "Renderer.*", "compose"  # functions of the app as the plane names them


@contextmanager
def deployed(plane: Plane, server: Running, env: Mapping[str, str]) -> Iterator[Plane]:
    """Put the app on the plane, to work for this Appwrite, and let this process speak to it.

    `env`: what the one who deploys has set.
    """
    plane.secrets[BACKEND] = {
        "APPWRITE_ENDPOINT": server.endpoint,
        "APPWRITE_PROJECT_ID": server.project,
        "APPWRITE_API_KEY": server.key,
    }
    plane.deploy("-m modal_app", cwd=ROOT, env=dict(env))
    with plane.speaking():
        yield plane
    assert not plane.unimplemented

"""The app of modal_app.py, deployed by Modal's own command line on the control plane of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.plane import Plane

ROOT = Path(__file__).resolve().parents[1]
APP, BACKEND = "scenewright", "scenewright-backend"


def backend(endpoint: str, project: str, key: str) -> dict[str, str]:
    """What the Secret of the renderers holds."""
    return {"APPWRITE_ENDPOINT": endpoint, "APPWRITE_PROJECT_ID": project, "APPWRITE_API_KEY": key}


@contextmanager
def deployed(secret: dict[str, str], env: dict[str, str], **options: object) -> Iterator[Plane]:
    """A control plane with the app on it.

    Args:
        secret: see `backend`.
        env: what the one who deploys has set.
        options: of Plane.
    """
    with Plane(secrets={BACKEND: secret}, **options) as plane:  # type: ignore[arg-type]
        plane.deploy("-m modal_app", cwd=ROOT, env=env)
        with plane.speaking():
            yield plane

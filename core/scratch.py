"""The scratch folder of a render server: what killed processes leave in it is removed, at once or by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "scenewright-scratch-"
_YOUNG_SECONDS = 60.0  # a folder may stand so long before its maker has locked it


class Scratch:
    """A folder that is locked for as long as the process that made it lives, with a room for each render process."""

    def __init__(self, parent: str) -> None:
        """parent: where to make it; empty: in the system's folder. Folders there whose makers are dead are removed."""
        place = Path(parent or tempfile.gettempdir())
        place.mkdir(parents=True, exist_ok=True)
        _clear(place)
        self._path = _made(_PREFIX, place)
        self._lock = os.open(self._path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def room(self) -> Path:
        """A new folder for one process. Raises OSError where there is no space for it."""
        return _made("room-", self._path)

    @property
    def shared(self) -> Path:
        """A folder for all of them."""
        path = self._path / "shared"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)


def _made(prefix: str, place: Path) -> Path:
    """A new folder there, through which a sandboxed program of another user may go."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    path.chmod(0o711)
    return path


def _clear(place: Path) -> None:
    """Remove the folders that nobody holds any more."""
    for path in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is held, somebody else's, or just being removed by another server
            if time.time() - path.stat().st_mtime > _YOUNG_SECONDS:
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(lock)

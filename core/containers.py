"""What a container does around its jobs: engines built once, settings from its environment, ends in plain words."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from core import logs
from core.engine_ports import Engines
from core.errors import ScenewrightError
from core.job import do, read_job
from core.media.heap import share_one_arena
from core.ports import Parts
from core.settings import Settings
from core.wiring import build_engines, build_parts, load_models, place


@dataclass(frozen=True, slots=True)
class Loaded:
    """The engines in memory, and how many seconds that took."""

    engines: Engines
    seconds: float


@dataclass(slots=True)
class Container:
    """A container that is ready for jobs, one after another."""

    parts: Parts
    engines: Engines
    start_seconds: float = 0.0  # what its start took: the first job pays for it

    def work(self, body: object, call: str = "") -> dict[str, str]:
        """Do one job.

        Args:
            body: {"kind", "video_id", "attempt", "scenes"}: ids only.
            call: id of the call, by which a job that is delivered once more is known; empty: it never is.

        Returns:
            {"state": "done"}: there is nothing left to do in this job, also when it is not wanted any more;
            {"state": "failed", "code", "sentence"}: it failed for good, and trying it again would not help.

        Raises:
            RuntimeError: it failed and may succeed in another attempt. A plain error, because callers have none of
                the packages that errors are made of here.
        """
        try:
            job = replace(read_job(body), call=call)
        except ScenewrightError as error:
            return _failed(error)
        before, self.start_seconds = self.start_seconds, 0.0
        failure = do(self.parts, self.engines, job, before)
        if failure is None:
            return {"state": "done"}
        if failure.retryable:
            raise _plain(failure)
        return _failed(failure)


def _failed(error: ScenewrightError) -> dict[str, str]:
    return {"state": "failed", "code": error.code, "sentence": error.sentence}


def _plain(error: ScenewrightError) -> RuntimeError:
    return RuntimeError(f"{error.code}: {error.sentence}")


@contextmanager
def _border() -> Iterator[None]:
    """Errors of a container's beginning reach the caller as plain ones too."""
    try:
        yield
    except ScenewrightError as error:
        raise _plain(error) from None
    except Exception as error:
        raise RuntimeError(f"The container could not begin: {type(error).__name__}: {error}") from error


def load() -> Loaded:
    """Build the engines, on the CPU: what a snapshot of the container's memory may hold.

    Raises:
        RuntimeError: a setting cannot be read, weights are not there, or they cannot be loaded.
    """
    begun = time.monotonic()
    share_one_arena()
    with _border():
        settings = Settings.from_env()
        logs.set_up(settings.log_level)
        import core.combine
        import core.render  # noqa: F401  in the snapshot too, and missed here when it was forgotten in the image

        engines = build_engines(settings)
        load_models(engines)
        return Loaded(engines, time.monotonic() - begun)


def ready(loaded: Loaded) -> Container:
    """What must be new in every container, also in one that was restored from a snapshot.

    The settings are read again, since a secret may have changed since the snapshot; chance must not repeat itself.
    A restore, which cannot see its own time, counts as what it saved: that is more than it takes.

    Raises:
        RuntimeError: a setting cannot be read, or the models do not fit the device.
    """
    begun = time.monotonic()
    random.seed()
    with _border():
        settings = Settings.from_env()
        place(loaded.engines, settings.device)
        return Container(build_parts(settings), loaded.engines, loaded.seconds + time.monotonic() - begun)


def check() -> dict[str, str]:
    """Read one thing of Appwrite with the key: what every job begins with.

    Returns:
        {"state": "done", "endpoint"}, or {"state": "failed", "code", "sentence"}.
    """
    try:
        settings = Settings.from_env()
        build_parts(settings).store.due_videos(datetime.now(UTC), 1)
    except ScenewrightError as error:
        return _failed(error)
    return {"state": "done", "endpoint": settings.endpoint}


@functools.cache
def container() -> Container:
    """The one of this process, for a function without hooks."""
    return ready(load())

"""One job as it crosses the border to a renderer: read, done in whatever process, and what is told of its end."""

from __future__ import annotations

import logging
from contextlib import suppress

from core import logs
from core.dispatch import fail
from core.engine_ports import Engines
from core.errors import InvalidInputError, ScenewrightError, of_system
from core.ports import Job, Parts
from core.wiring import run_job

log = logging.getLogger(__name__)


def read_job(body: object) -> Job:
    """A job out of JSON.

    Raises:
        InvalidInputError: naming the field.
    """
    if not isinstance(body, dict):
        raise InvalidInputError("The body must be a JSON object.", field="body")
    kind, video_id, attempt = body.get("kind"), body.get("video_id"), body.get("attempt")
    scenes = body.get("scenes", [])
    if kind not in ("render", "compose"):
        raise InvalidInputError("`kind` must be render or compose.", field="kind")
    if not isinstance(video_id, str) or not 0 < len(video_id) <= 36:
        raise InvalidInputError("`video_id` must be an id.", field="video_id")
    if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 0:
        raise InvalidInputError("`attempt` must be a number from 0.", field="attempt")
    if not isinstance(scenes, list) or not all(type(n) is int and n > 0 for n in scenes):
        raise InvalidInputError("`scenes` must be a list of scene numbers.", field="scenes")
    return Job(kind, video_id, attempt, tuple(scenes))


def do(parts: Parts, engines: Engines, job: Job, before: float = 0.0) -> ScenewrightError | None:
    """Do a job; what ended it before its time, if anything did, as an error with a sentence.

    `before`: seconds that the machine has run for this job alone, see `wiring.run_job`.

    What nobody below has explained ends the video too, in words. What is no Exception passes: a process that is told
    to stop marks nothing as failed, and whatever it had in hand is found by its silence.
    """
    logs.works_on(job)
    try:
        run_job(parts, engines, job, before)
    except ScenewrightError as failure:
        return failure
    except Exception as failure:
        log.exception("a %s job broke", job.kind, extra={"action": "broke"})
        told = _explained(failure)
        _fail_video(parts, job, told)
        return told
    finally:
        logs.works_on(None)
    return None


def _explained(failure: Exception) -> ScenewrightError:
    """A sentence for what nobody below has explained: the machine's refusals, and mistakes of ours."""
    if isinstance(failure, (OSError, MemoryError)):
        return of_system(failure)
    return ScenewrightError(f"The renderer broke ({type(failure).__name__}); its log says more.", code="renderer_broke")


def _fail_video(parts: Parts, job: Job, told: ScenewrightError) -> None:
    """End the video with that sentence, not in silence; what may pass is left to the sweep."""
    if told.retryable:
        return
    with suppress(ScenewrightError):
        video = parts.store.get_video(job.video_id)
        if video.attempt == job.attempt:
            fail(parts, video, told.code, told.sentence)

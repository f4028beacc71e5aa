"""From a queued video to scenes in the hands of a renderer: the storyboard is kept first, the rest follows from it."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from core import assets, costs
from core.dispatch import advance_while, fail, hand_out, render_jobs
from core.documents import AUTO, Options, Scene, Spent, Storyboard, Video
from core.engine_ports import StoryboardBrief, StoryboardEngine
from core.errors import ConflictError, InvalidInputError, NotFoundError, ScenewrightError, StoppedError, WaitError
from core.identity import digest, scene_id
from core.journal import EventKind, note
from core.ladder import of_storyboard
from core.material import GivenScenes, check_plan, material_of
from core.pace import settle
from core.ports import Parts
from core.prices import dollars
from core.progress import PLANNED
from core.request import Choices, check_size, validate
from core.status import SceneStatus, VideoStatus
from core.text import estimate_seconds
from core.times import took

log = logging.getLogger(__name__)


def told_by(video: Video) -> dict[str, Any]:
    """What a row says is to be told, as a request names it. Raises InvalidInputError."""
    told: dict[str, Any] = {"topic": video.topic, "description": video.description, "script": video.script}
    try:
        return {**told, "scenes": json.loads(video.plan)} if video.plan else told
    except json.JSONDecodeError as error:
        raise InvalidInputError("`plan` is no JSON.", code="bad_plan", field="plan") from error


def adopt(parts: Parts, video: Video, choices: Choices) -> Video | None:
    """Make a row that was made by hand (Console, CLI, key) one of ours, or fail it with the sentence."""
    fresh = Video(id=video.id)
    reset = {
        name: getattr(fresh, name)
        for name in (
            "progress", "current_scene", "scene_count", "attempt", "tries", "handle", "cost_usd", "final_file_id",
            "combined_video_url", "captions_url", "subtitles_url", "thumbnail_url", "duration_seconds",
            "error_code", "error_message", "substitutions",
        )
    }  # fmt: skip
    try:
        raw_options = json.loads(video.options or "{}")
        if not isinstance(raw_options, dict):
            raise InvalidInputError("`options` must be a JSON object.", code="not_an_object", field="options")
        request = validate({k: v for k, v in {**told_by(video), **raw_options}.items() if v != ""}, choices)
        check_plan(parts, request.plan, video.owner_id)
        changes = {**asdict(request), "options": request.options.to_json(), "stage": "Waiting to be planned"}
    except (InvalidInputError, json.JSONDecodeError) as error:
        sentence = error.sentence if isinstance(error, InvalidInputError) else "`options` is no JSON."
        code = error.code if isinstance(error, InvalidInputError) else "not_json"
        failed = {"status": VideoStatus.FAILED, "error_code": code, "error_message": sentence, "due_at": None}
        if code in ("not_json", "not_an_object"):
            failed["options"] = "{}"  # everybody reads this column as a JSON object
        parts.store.adopt(video, owner_id=video.owner_id, **(reset | failed | {"stage": f"Failed: {sentence}"[:500]}))
        return None
    return parts.store.adopt(video, owner_id=video.owner_id, **(reset | changes))


def plan(parts: Parts, video_id: str, choices: Choices) -> bool:
    """Plan a queued video (or one whose planning died, in its new attempt) and hand it to the renderer.

    Safe to be called any number of times at once: one claim per attempt decides who plans.

    Returns:
        Whether this call had it in hand.
    """
    video = parts.store.get_video(video_id)
    is_new = video.updated_at == video.created_at  # the creation of a row is no change to it
    try:
        if video.status is VideoStatus.QUEUED and video.revision == 0:
            adopted = adopt(parts, video, choices)
            if adopted is None:
                return True
            video = adopted
        if video.status not in (VideoStatus.QUEUED, VideoStatus.PLANNING):
            return False
        if not parts.store.claim("plan", video.attempt, video_id=video.id):
            return False
        row = _Row(parts, video, None if is_new else video)
        row.video = parts.store.advance(
            video,
            status=VideoStatus.PLANNING,
            progress=max(video.progress, 2),
            stage="Writing the storyboard",
            due_at=parts.clock.now() + timedelta(seconds=parts.settings.planning_seconds),
        )
    except ConflictError:
        return False  # somebody else has it
    begun = time.monotonic()
    try:
        storyboard = keep_storyboard(parts, row)
        _check_length(row.video, storyboard, choices)
        numbers = keep_scenes(parts, row.video, storyboard)
    except WaitError as error:
        row.settle()
        _wait(parts, video, row.video, error)
    except StoppedError as error:
        log.info("stopped: %s", error.sentence, extra={"action": "stopped", "video": video.id})
    except ScenewrightError as error:
        if error.retryable:
            raise  # the sweep comes back to it
        fail(parts, row.video, error.code, error.sentence)
    else:
        row.settle()
        _hand_over(parts, row.video, storyboard, numbers, time.monotonic() - begun)
    return True


@dataclass
class _Row:
    """A video in the hands of its planner."""

    parts: Parts
    video: Video  # as it was written last
    before: Video | None  # as it was before that; None: it was just created

    def settle(self) -> None:
        """Wait until the row may be written again."""
        if self.before is not None:
            settle(self.parts, self.before)

    def pay(self, spent: Spent) -> None:
        """Write down what a language model took so far, whatever became of the video meanwhile.

        Raises:
            StoppedError: it is not to be planned here any more.
        """
        self.settle()
        now, attempt = self.parts.clock.now(), self.video.attempt
        try:
            paid = advance_while(
                self.parts, self.video, lambda _: True, lambda v: costs.planned(v, attempt, spent, now)
            )
        except NotFoundError as error:
            raise StoppedError("The video was deleted.") from error
        assert paid is not None  # it is wanted in any case
        if (paid.attempt, paid.status) != (attempt, VideoStatus.PLANNING):
            raise StoppedError(f"The video is {paid.status} in attempt {paid.attempt}.")
        self.before, self.video = self.video, paid


def _hand_over(parts: Parts, video: Video, storyboard: Storyboard, numbers: list[int], seconds: float) -> None:
    """Hand a planned video to the renderer; `seconds`: that planning took."""
    count = len(numbers)
    of_scenes = f"{count} {'scene' if count == 1 else 'scenes'}"
    usd = (storyboard.spent and storyboard.spent.usd) or 0.0
    said = f"The storyboard has {of_scenes}{_by(storyboard.spent)}."

    def tell(planned: Video) -> None:
        at = planned.updated_at
        note(parts, planned, EventKind.PLANNED, said, seconds=seconds, cost_usd=usd, at=at)
        for warning in storyboard.warnings:
            note(parts, planned, EventKind.SUBSTITUTED, warning, at=at)

    hand_out(
        parts,
        video,
        render_jobs(parts, numbers),
        tell=tell,
        status=VideoStatus.RENDERING,
        scene_count=count,
        current_scene=1,
        progress=max(video.progress, PLANNED),
        stage=" ".join([f"Storyboard ready: {of_scenes}, handed to the renderer", *storyboard.warnings])[:500],
        substitutions=of_storyboard(storyboard.warnings),
    )


def _by(spent: Spent | None) -> str:
    """Who wrote it and what that took, as the end of a sentence."""
    if spent is None:
        return ""
    calls = f"{spent.calls} {'call' if spent.calls == 1 else 'calls'}"
    tokens = f"{spent.input_tokens:,} tokens in and {spent.output_tokens:,} out"
    price = f"{dollars(spent.usd)}" if spent.usd is not None else "its price is not known here and counts as $0.00"
    return f", planned with {spent.model} in {calls} ({tokens}; {price})"


def _wait(parts: Parts, before: Video, video: Video, error: WaitError) -> None:
    """Planning goes on later: that is no try, but a new attempt, for the claim of this one is used up."""
    stage = f"Waiting to be planned: {error.sentence}"
    waiting = advance_while(
        parts,
        video,
        lambda v: v.attempt == video.attempt and not v.is_terminal,
        lambda v: {"attempt": v.attempt + 1, "due_at": error.again_at, "stage": stage[:500]},
    )
    if waiting is not None and stage != before.stage:
        note(parts, waiting, EventKind.WAITING, stage, at=waiting.updated_at)


def _check_length(video: Video, storyboard: Storyboard, choices: Choices) -> None:
    """Refuse a story whose film would not fit its bucket; a script was asked before. Raises InvalidInputError."""
    if not video.script.strip():
        options, texts = video.parsed_options, [scene.narration for scene in storyboard.scenes]
        seconds = estimate_seconds(texts, options.speed)
        check_size(options.canvas, seconds, len(texts), choices.film_bytes_max(), field="target_seconds")


def keep_storyboard(parts: Parts, row: _Row) -> Storyboard:
    """The storyboard asset, found, or made and kept.

    Raises:
        LimitError: a language model would cost more than may be spent.
        InvalidInputError, WaitError: as the planner says.
        StoppedError: it is not to be planned here any more.
    """
    video, options = row.video, row.video.parsed_options
    brief = StoryboardBrief(video.topic, video.description, video.script, options)
    engine: StoryboardEngine = GivenScenes(video.plan) if video.plan else parts.storyboard
    key = digest("storyboard", engine.id, engine.version, asdict(brief))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "storyboard.json"
        asset = assets.find(parts, video.id, key)
        if asset:
            return Storyboard.from_json(assets.fetch(parts, asset, path).read_text(encoding="utf-8"))
        costs.check(parts, video, video.cost_usd, engine.usd, "Planning")
        begun = time.monotonic()
        storyboard = engine.plan(brief, row.pay)
        _check_wanted(parts, video)  # a planner may have thought for a minute
        path.write_text(storyboard.to_json(), encoding="utf-8")
        facts = {"scenes": len(storyboard.scenes), "strategy": storyboard.strategy, "title": storyboard.title}
        if storyboard.spent:
            facts["model"] = asdict(storyboard.spent)
        assets.keep(parts, video, "storyboard", key, path, {**facts, **took(engine.id, begun)})
    log.info(
        "%d scenes by %s", len(storyboard.scenes), storyboard.strategy, extra={"action": "planned", "video": video.id}
    )
    return storyboard


def _check_wanted(parts: Parts, video: Video) -> None:
    """Raise StoppedError when the video was cancelled, deleted, or planned by somebody else meanwhile."""
    try:
        current = parts.store.get_video(video.id)
    except NotFoundError as error:
        raise StoppedError("The video was deleted.") from error
    if current.attempt != video.attempt or current.status is not VideoStatus.PLANNING:
        raise StoppedError(f"The video is {current.status} in attempt {current.attempt}.")


def keep_scenes(parts: Parts, video: Video, storyboard: Storyboard) -> list[int]:
    """One row per scene, with ids that follow from video and number; returns the numbers.

    Raises:
        InvalidInputError: the storyboard has no scenes, or more than this deployment makes.
    """
    count = len(storyboard.scenes)
    if not 0 < count <= parts.settings.scenes_max:
        raise InvalidInputError(
            f"The storyboard has {count} scenes; 1 to {parts.settings.scenes_max} are possible.",
            code="too_many_scenes",
            field="script",
        )
    for spec in storyboard.scenes:
        parts.store.create_scene(
            Scene(
                id=scene_id(video.id, spec.number),
                video_id=video.id,
                scene_number=spec.number,
                status=SceneStatus.PLANNED,
                title=spec.title[:256],
                narration=spec.narration,
                visual_prompt=spec.visual_prompt,
                engine=parts.settings.picture_names[0] if spec.engine == AUTO else spec.engine,
                code=spec.code,
                material=material_of(parts, spec.files, video.owner_id).to_json(),
            ),
            video.owner_id,
        )
    return [spec.number for spec in storyboard.scenes]


def effective_options(video: Video) -> Options:
    """The options a renderer works with: a seed of 0 becomes the video's own."""
    options = video.parsed_options
    if options.seed:
        return options
    return Options(**{**asdict(options), "seed": int(digest("seed", video.id)[:7], 16)})

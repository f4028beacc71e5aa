"""The commands that ask something of a video that exists, each by the function's own route and its refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from core import cli_view as view
from core.cli_connect import AsJson, Data, connected, errors, out
from core.watch import execute


def _ask(data: Any, method: str, video_id: str, more: str = "", body: object = None) -> dict[str, Any]:
    with connected(data) as connection:
        return execute(connection.caller(), method, f"/videos/{quote(video_id, safe='')}{more}", body)


def _say(answer: dict[str, Any], as_json: bool) -> None:
    """Where the video stands now, and how to see it go on."""
    if as_json:
        view.print_json(out, answer)
        return
    line = f"{answer['status']} | {answer['progress']} % | {answer['currentStep']}"
    out.print(line, markup=False, soft_wrap=True)
    if answer["status"] not in ("cancelled", "completed", "failed"):
        errors.print(f"See it go on: scenewright watch {answer['videoId']}", markup=False, style="dim")


def cancel(video_id: str, as_json: AsJson = False, data: Data = None) -> None:
    """Stop the work on a video at once; finished scenes stay."""
    _say(_ask(data, "POST", video_id, "/cancel"), as_json)


def retry(
    video_id: str,
    scene: Annotated[list[int] | None, typer.Option(min=1, help="Only this scene; may be given several times.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make again what failed, or what something simpler stands in for; the rest is reused."""
    _say(_ask(data, "POST", video_id, "/retry", {"scenes": scene or []}), as_json)


def resume(video_id: str, as_json: AsJson = False, data: Data = None) -> None:
    """Go on with a cancelled or failed video where it stopped."""
    _say(_ask(data, "POST", video_id, "/resume"), as_json)


def edit(
    video_id: str,
    scene: Annotated[int, typer.Argument(min=1, help="Number of the scene, from 1.")],
    narration: Annotated[str | None, typer.Option(help="What is said.")] = None,
    visual_prompt: Annotated[str | None, typer.Option(help="What is to be seen.")] = None,
    title: Annotated[str | None, typer.Option(help="Title on screen.")] = None,
    engine: Annotated[str | None, typer.Option(help="Maker of the picture.")] = None,
    picture: Annotated[str | None, typer.Option(help="Your own picture, a file; an empty name: no more.")] = None,
    clip: Annotated[str | None, typer.Option(help="Your own film, a file.")] = None,
    audio: Annotated[str | None, typer.Option(help="Your own recording, a file.")] = None,
    code: Annotated[Path | None, typer.Option(help="The scene's own program, a file.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Change one scene; only that scene is made anew, and the film joined again."""
    from core.cli_make import read_script
    from core.cli_scenes import check_file, send

    wanted = {"narration": narration, "visual_prompt": visual_prompt, "title": title, "engine": engine}
    body = {name: value for name, value in wanted.items() if value is not None}
    files = {"picture": picture, "clip": clip, "audio": audio}
    paths = {kind: check_file(Path(name), kind, kind) for kind, name in files.items() if name}
    body |= {f"{kind}_file_id": "" for kind, name in files.items() if name == ""}
    if code:
        body["code"] = read_script(str(code))
    with connected(data) as connection:
        client = connection.caller()
        owner = connection.store().get_video(video_id).owner_id if paths else ""
        body |= {f"{kind}_file_id": send(client, path, owner, "material") for kind, path in paths.items()}
        answer = execute(client, "PATCH", f"/videos/{quote(video_id, safe='')}/scenes/{scene}", body)
    _say(answer, as_json)


def delete(
    video_id: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Delete a video with everything that was made for it."""
    if not yes and not typer.confirm(f"Delete the video {video_id} and all its files?"):
        raise typer.Abort
    answer = _ask(data, "DELETE", video_id)
    if as_json:
        view.print_json(out, answer)
    else:
        out.print("Deleted." if answer["deleted"] else "Stopped; it is deleted as soon as its renderer has let go.")


def process(video_id: str, as_json: AsJson = False, data: Data = None) -> None:
    """Look after one video now: what `sweep` does for those that are due; a failed one is tried again."""
    _say(_ask(data, "POST", video_id, "/process"), as_json)


def events(
    video_id: str,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=100_000, help="Leave out so many of the oldest.")] = 0,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show what happened to a video, the oldest first."""
    found = _ask(data, "GET", video_id, f"/events?limit={limit}&offset={offset}")["events"]
    if as_json:
        for event in found:
            view.print_json(out, event)
        return
    rows = [
        (e["at"][:19].replace("T", " "), e["kind"], str(e["scene"] or ""), str(e["attempt"]), e["sentence"])
        for e in found
    ]
    out.print(view.pairs_table(rows, ("WHEN (UTC)", "WHAT", "SCENE", "ATTEMPT", "")))


COMMANDS = (cancel, retry, resume, edit, delete, process, events)

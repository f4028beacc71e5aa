"""The commands about money: what a video would cost, what it did cost, and the most it may."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote as quoted

import typer

from core import cli_view as view
from core.cli_connect import AsJson, Data, connected, errors, out
from core.prices import dollars
from core.watch import execute


def quote(
    script: Annotated[str, typer.Option("--script", "-s", help="Text file to be told; - for stdin.")],
    language: Annotated[str | None, typer.Option(help="Such as en, de, pt-BR.")] = None,
    aspect: Annotated[str | None, typer.Option(help="9:16, 16:9 or 1:1.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Short side in px: 360, 480, 720 or 1080.")] = None,
    speed: Annotated[float | None, typer.Option(help="Of speech, 0.5 to 2.")] = None,
    engine: Annotated[str | None, typer.Option(help="Maker of the pictures.")] = None,
    quality: Annotated[str | None, typer.Option(help="Of pictures by a model: fast or high.")] = None,
    target_seconds: Annotated[int | None, typer.Option(help="Wished length of the film.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say what a video of this script would take and cost, by the times learnt from earlier ones. Makes nothing."""
    from core.cli_make import read_script

    options = {"language": language, "aspect": aspect, "resolution": resolution, "speed": speed, "engine": engine}
    options |= {"quality": quality, "target_seconds": target_seconds}
    body: dict[str, object] = {name: value for name, value in options.items() if value is not None}
    body["script"] = read_script(script)
    with connected(data, start=True) as connection:
        answer = execute(connection.caller(), "POST", "/quote", body)
    if as_json:
        view.print_json(out, answer)
        return
    stages = answer["stageSeconds"]
    rows = [
        ("scenes", f"{answer['sceneCount']}, a film of about {view.spoken_time(answer['narrationSeconds'])}"),
        ("finished in", f"about {view.spoken_time(answer['expectedSeconds'])}"),
        *((stage, f"{seconds:.1f} s") for stage, seconds in stages.items()),
        ("GPU", f"{answer['gpuSeconds']:.1f} s"),
        ("processors", f"{answer['coreSeconds']:.1f} core-s"),
        ("cost", _range(answer)),
    ]
    out.print(view.pairs_table(rows, ("WHAT", "EXPECTED")))
    machines = ", ".join(f"{kind}: {name or 'costs nothing'}" for kind, name in answer["machines"].items())
    learnt = f"learnt from {answer['learntFromVideos']} videos like it"
    errors.print(f"Machines: {machines}; prices of {answer['pricesAsOf']}; {learnt}.", markup=False, style="dim")


def _range(answer: dict[str, Any]) -> str:
    if not answer["usd"]:
        return "nothing"
    return f"about {dollars(answer['usd'])}, from {dollars(answer['usdLow'])} to {dollars(answer['usdHigh'])}"


def receipt(video_id: str, as_json: AsJson = False, data: Data = None) -> None:
    """Show what a video has cost, by scene and stage."""
    with connected(data) as connection:
        answer = execute(connection.caller(), "GET", f"/videos/{quoted(video_id, safe='')}/receipt")
    if as_json:
        view.print_json(out, answer)
        return
    rows = [
        (
            str(line["scene"] or ""),
            line["stage"],
            line["machine"],
            "reused" if line["reused"] else f"{line['seconds']:.1f} s",
            dollars(line["usd"]),
        )
        for line in answer["lines"]
    ]
    rows.append(("", "all", "", f"{answer['seconds']:.1f} s", dollars(answer["costUsd"])))
    out.print(view.pairs_table(rows, ("SCENE", "STAGE", "MACHINE", "TIME", "COST")))


def limit(video_id: str, usd: float, as_json: AsJson = False, data: Data = None) -> None:
    """Change the most a video may cost, in USD; 0: any amount."""
    with connected(data) as connection:
        path = f"/videos/{quoted(video_id, safe='')}"
        answer = execute(connection.caller(), "PATCH", path, {"max_cost_usd": usd})
    if as_json:
        view.print_json(out, answer)
    else:
        allowed = f"at most {dollars(usd)}" if usd else "any amount"
        out.print(f"It has cost {dollars(answer['costUsd'])} and may cost {allowed}.", markup=False)


COMMANDS = (quote, receipt, limit)

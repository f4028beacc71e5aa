"""`scenewright`: the commands people type, each a few lines over the parts that do the work."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from typer.core import TyperGroup

from core import cli_control, cli_costs
from core import cli_view as view
from core import stack as local
from core.cli_connect import AsJson, Data, connected, errors, folder_of, out
from core.documents import Video
from core.errors import InvalidInputError, RefusedError, ScenewrightError, UnavailableError
from core.prices import dollars
from core.settings import Settings
from core.status import VideoStatus
from core.watch import execute

# ---- exit codes

DONE, FAILED, BAD_INPUT, UNREACHABLE, CANCELLED, INTERRUPTED = 0, 1, 2, 3, 4, 130
_EXIT_CODES = {
    DONE: "done",
    FAILED: "the video failed, or a check of `doctor` did",
    BAD_INPUT: "bad input or usage",
    UNREACHABLE: "a server is unreachable or a tool is missing",
    CANCELLED: "the video was cancelled",
    INTERRUPTED: "interrupted; the video can be resumed",
}


def exit_code(error: ScenewrightError) -> int:
    """What the shell is told about an error."""
    if error.http_status in (503, 401, 429) or error.code.startswith("missing_") or error.http_status == 500:
        return UNREACHABLE
    return BAD_INPUT


def show(error: ScenewrightError) -> None:
    """One red line on standard error."""
    where = f" (field: {error.field})" if error.field else ""
    errors.print(f"{error.code}: {error.sentence}{where}", style="red", markup=False, soft_wrap=True)


class _Commands(TyperGroup):
    """Turns our errors into one line and an exit code, whatever command raised them."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ScenewrightError as error:
            show(error)
            if os.environ.get("SCENEWRIGHT_LOG_LEVEL") == "DEBUG":
                errors.print_exception()
            raise typer.Exit(exit_code(error)) from error
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A topic or a script in, a narrated and captioned video out.",
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in _EXIT_CODES.items()) + ".",
)
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="FILE.mp4 or a folder; default: a new name here.", show_default=False)
]


# ---- videos


@app.command()
def make(
    topic: Annotated[str, typer.Argument(help="What the film is about; alone it needs a language model.")] = "",
    script: Annotated[str | None, typer.Option("--script", "-s", help="Text file to be told; - for stdin.")] = None,
    scenes: Annotated[Path | None, typer.Option(help="JSON file with the scenes one by one.")] = None,
    language: Annotated[str | None, typer.Option(help="Such as en, de, pt-BR.")] = None,
    aspect: Annotated[str | None, typer.Option(help="9:16, 16:9 or 1:1.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Short side in px: 360, 480, 720 or 1080.")] = None,
    voice: Annotated[str | None, typer.Option(help="As `scenewright voices` lists them.")] = None,
    speed: Annotated[float | None, typer.Option(help="Of speech, 0.5 to 2.")] = None,
    style: Annotated[str | None, typer.Option(help="As `scenewright styles` lists them.")] = None,
    engine: Annotated[str | None, typer.Option(help="Maker of the pictures.")] = None,
    quality: Annotated[str | None, typer.Option(help="Of pictures by a model: fast or high.")] = None,
    captions: Annotated[str | None, typer.Option(help="Style of the captions, or off.")] = None,
    music: Annotated[Path | None, typer.Option(help="Sound file to play under the voice.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the film.")] = None,
    target_seconds: Annotated[int | None, typer.Option(help="Wished length of the film.")] = None,
    audience: Annotated[str | None, typer.Option(help="For whom a topic is told, such as 'children of ten'.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Most it may cost, USD.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same pictures.")] = None,
    out_file: Out = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a video from a script or a topic. The last line on standard output is the path of the mp4."""
    from core import cli_make as making
    from core.cli_scenes import read_scenes

    options = {"language": language, "aspect": aspect, "resolution": resolution, "voice": voice, "speed": speed}
    options |= {
        "style": style,
        "engine": engine,
        "quality": quality,
        "captions": captions,
        "title": title,
        "seed": seed,
    }
    options |= {"target_seconds": target_seconds, "audience": audience, "max_cost_usd": max_cost}
    text = making.read_script(script) if script else None
    given = {k: v for k, v in options.items() if v is not None}
    wish = making.Wish(topic, text, music, out_file, given, read_scenes(scenes) if scenes else None)
    making.check_wish(wish, Settings.from_env())
    with connected(data, start=True) as connection:
        session = connection.session()
        errors.print("Creating the video...")
        video_id = making.create(session, wish)
        errors.print(f"Video created: {video_id}", markup=False)
        with _resumable(video_id, data):
            video = making.watch(connection, session, video_id, view.view_for(errors, out, as_json))
            _finish(making.fetch(session, video, out_file) if _completed(video) else video, as_json)


@app.command()
def watch(video_id: str, out_file: Out = None, as_json: AsJson = False, data: Data = None) -> None:
    """Watch a video of yours until it has ended, and fetch the film."""
    from core import cli_make as making

    with connected(data, start=True) as connection, _resumable(video_id, data):
        session = connection.session()
        video = making.watch(connection, session, video_id, view.view_for(errors, out, as_json))
        _finish(making.fetch(session, video, out_file) if _completed(video) else video, as_json)


@contextmanager
def _resumable(video_id: str, data: Path | None) -> Iterator[None]:
    """Say how to go on when a person stops watching, or the server is lost."""
    try:
        yield
    except (KeyboardInterrupt, UnavailableError):
        where = f" --data {data}" if data else ""
        errors.print(
            f"Nothing is lost: `scenewright watch {video_id}{where}` goes on, and so does the work "
            "whenever the stack runs.",
            markup=False,
            soft_wrap=True,
        )
        raise


def _completed(video: Video) -> bool:
    return video.status is VideoStatus.COMPLETED


def _finish(result: Any, as_json: bool) -> None:
    """Say how it ended, last of all the path."""
    if isinstance(result, Video):
        if as_json:
            view.print_json(out, view.state(result))
        sentence = result.error_message or f"The video was {result.status}."
        show(ScenewrightError(sentence, code=result.error_code or str(result.status)))
        raise typer.Exit(CANCELLED if result.status is VideoStatus.CANCELLED else FAILED)
    files = {"film": str(result.film), **{kind: str(path) for kind, path in result.beside.items()}}
    if as_json:
        view.print_json(out, {**view.state(result.video), "duration_seconds": result.video.duration_seconds, **files})
        return
    cost = f" for {dollars(result.video.cost_usd)}" if result.video.cost_usd else ""
    errors.print(f"Completed: a film of {view.spoken_time(result.video.duration_seconds)}{cost}.", style="green")
    for path in (*result.beside.values(), result.film):
        out.print(str(path), markup=False, soft_wrap=True)


@app.command()
def status(video_id: str, as_json: AsJson = False, data: Data = None) -> None:
    """Show one video with its scenes."""
    with connected(data) as connection:
        store = connection.store()
        video, scenes = store.get_video(video_id), store.scenes(video_id)
    if as_json:
        view.print_json(out, view.state(video) | {"scenes": [view.scene_state(s) for s in scenes]})
    else:
        out.print(view.video_table(video, scenes))


@app.command("list")
def list_videos(
    status: Annotated[str, typer.Option(help="Only videos of this status.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 25,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 seconds.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the videos, the newest first."""
    if status and status not in set(VideoStatus):
        offered = ", ".join(VideoStatus)
        raise InvalidInputError(f"`--status` must be one of {offered}.", code="unknown_value", field="status")
    with connected(data) as connection:
        store = connection.store()
        owner = "" if connection.settings.api_key else connection.session().user_id
        videos, total = store.list_videos(owner, status=status, limit=limit)
        if as_json:
            for video in videos:
                view.print_json(out, view.state(video))
            return
        if not watch:
            out.print(view.videos_table(videos, total))
            return
        with Live(view.videos_table(videos, total), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(2)
                live.update(view.videos_table(*store.list_videos(owner, status=status, limit=limit)), refresh=True)


for command in (*cli_control.COMMANDS, *cli_costs.COMMANDS):
    app.command()(command)


@app.command()
def stats(data: Data = None) -> None:
    """Count the videos by status."""
    with connected(data) as connection:
        store = connection.store()
        owner = "" if connection.settings.api_key else connection.session().user_id
        counts = [(str(s), str(store.list_videos(owner, status=s, limit=1)[1])) for s in VideoStatus]
        if owner:
            counts.append(("spent today", dollars(execute(connection.caller(), "GET", "/costs")["usd"])))
    out.print(view.pairs_table(counts, ("STATUS", "VIDEOS")))


@app.command()
def voices(language: Annotated[str, typer.Argument(help="Only those of a language.")] = "") -> None:
    """List the voices."""
    from core.engines.languages import MODELS_SPEAK
    from core.engines.voice_espeak import EspeakVoice

    engine, wanted = EspeakVoice(), language.lower().replace("_", "-")
    found = [v for v in engine.voices() if not wanted or f"{v[1].lower()}-".startswith(f"{wanted}-")]
    if not found:
        raise InvalidInputError(f"No voice speaks {language[:40]!r}.", code="language_not_spoken", field="language")
    out.print(view.pairs_table(sorted(found, key=lambda v: v[1]), ("VOICE", "LANGUAGE", "NAME")))
    model = Settings.from_env().voice_engine
    if model in MODELS_SPEAK:
        spoken = ", ".join(MODELS_SPEAK[model])
        errors.print(f"Who asks for none of these hears {model} in {spoken}; these are espeak-ng's.", style="dim")
    errors.print(f"Any of them may carry a timbre, such as {found[0][0]}+{engine.variants()[0]}.", style="dim")


@app.command()
def styles() -> None:
    """List the styles."""
    from core.engines.cards_palettes import STYLES

    out.print(view.pairs_table(list(STYLES.items()), ("STYLE", "LOOKS LIKE")))


# ---- the local stack


@app.command()
def up(
    data: Data = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the embedded server.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Render processes; 0: one per core.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running; `down` stops it.")] = False,
) -> None:
    """Start the local stack: Appwrite-compatible server, function, renderer. Runs until Ctrl-C."""
    folder = folder_of(data)
    begun = time.monotonic()
    stack = local.start(folder, port, workers, detached=detach)
    out.print(_welcome(stack, time.monotonic() - begun), markup=False, soft_wrap=True)
    if detach or not stack.started:
        return
    try:
        while not (dead := stack.dead()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        out.print("Stopped.")
        return
    finally:
        stack.stop(wait=False)
    show(ScenewrightError(f"{dead} ended by itself; see {folder / 'logs'}.", code="stack_died"))
    raise typer.Exit(UNREACHABLE)


def _welcome(stack: local.Stack, seconds: float) -> str:
    how = f"started in {seconds:.1f} s" if seconds > 0.2 else "runs already"
    return f"""Scenewright {how}.
  endpoint  {stack.settings.endpoint}
  project   {stack.settings.project_id}
  renderer  {stack.settings.render_url}
  logs      {stack.data / "logs"}
Make a video:  scenewright make --script FILE --data {stack.data}
What happens then:
  backend  1. the function validates the request and records the video
           2. the new row starts the planning: a storyboard, and one row per scene
           3. the renderer makes voices, pictures and clips, then joins and checks the film
  client   4. subscribes to the video's row and sees every step as it happens
           5. fetches the film by its play_url once the status is completed"""


@app.command()
def down(data: Data = None) -> None:
    """Stop the local stack."""
    folder = folder_of(data)
    out.print("Stopped." if local.stop_running(folder) else f"No local stack runs on {folder}.")


@app.command()
def worker(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8750,
) -> None:
    """Run only the render server, for the Appwrite project that the environment names."""
    from core.cli_worker import listen, serve

    settings = Settings.from_env()
    listener = listen(settings, host, port)
    out.print(
        f"Render server on http://{host}:{port}. It is asynchronous: POST /calls answers with an id at once, the work "
        "goes on in the background, and GET /calls/{id} shows it. Ctrl-C stops it; whatever it did is continued later.",
        markup=False,
        soft_wrap=True,
    )
    serve(settings, listener)


@app.command()
def sweep(
    every: Annotated[float | None, typer.Option(min=1, help="Again and again, every so many seconds.")] = None,
    data: Data = None,
) -> None:
    """Look after videos nobody works on: what the schedule does each minute, from here."""
    from core import logs
    from core.sweep import sweep as look
    from core.wiring import build_choices, build_parts

    with connected(data) as connection:
        connection.operator()
        logs.set_up(connection.settings.log_level)
        parts = build_parts(connection.settings)
        choices = build_choices(connection.settings, parts.files)
        while True:
            out.print(f"Looked at {look(parts, choices)} videos.")
            if every is None:
                return
            time.sleep(every)


@app.command("set")
def set_value(name: str, value: str, data: Data = None) -> None:
    """Set what may change while everything runs; known is: render_url."""
    from core.adapters.http_dispatch import RENDER_URL_SETTING, check_render_url

    if name != RENDER_URL_SETTING:
        sentence = f"There is no such setting; known is {RENDER_URL_SETTING}."
        raise InvalidInputError(sentence, code="unknown_setting", field="name")
    checked = check_render_url(value)
    with connected(data) as connection:
        connection.operator()
        connection.store().put_setting(name, checked)
    out.print(f"{name} is set.")


@app.command()
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Of each log, from its end.")] = 40,
    data: Data = None,
) -> None:
    """Show the logs of the local stack."""
    seen: dict[Path, int] = {}
    while True:
        for path in local.log_files(folder_of(data)):
            text = path.read_bytes()
            fresh = text[seen[path] :].splitlines() if path in seen else text.splitlines()[-lines or len(text) :]
            seen[path] = len(text)
            for line in fresh:
                out.print(f"{path.stem}: {line.decode('utf-8', 'replace')}", markup=False, soft_wrap=True)
        if not follow:
            break
        time.sleep(0.5)
    if not seen:
        raise RefusedError(f"There are no logs in {folder_of(data)}.", code="no_logs", field="data")


@app.command()
def purge(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
) -> None:
    """Delete everything the local stack keeps: all videos, users and logs of this folder."""
    folder = folder_of(data)
    if not yes and not typer.confirm(f"Delete all videos and everything else in {folder}?"):
        raise typer.Exit(INTERRUPTED)
    local.purge(folder)
    out.print(f"Deleted what was in {folder}.", markup=False)


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also ask services, and start a container on Modal.")] = False,
    data: Data = None,
) -> None:
    """Check every part, and say what to do about what is not well."""
    from core.doctor import examine

    worst = 0
    for finding in examine(data, deep=deep):
        worst = max(worst, finding.level)
        out.print(finding.line(), soft_wrap=True)
    raise typer.Exit(FAILED if worst == 2 else DONE)


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    app()


if __name__ == "__main__":
    main()

"""`scenewright`: the commands people type, each a few lines over the parts that do the work."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from core import stack as local
from core.errors import ScenewrightError
from core.settings import Settings

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

errors = Console(stderr=True, highlight=False)


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
            if Settings.from_env().log_level == "DEBUG":
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
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the local stack; default: SCENEWRIGHT_DATA or ./.scenewright.")
]


def data_folder(data: Path | None) -> Path:
    """The folder in force."""
    return data or Path(Settings.from_env().data_dir)


@app.command()
def up(
    data: Data = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the embedded server.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Render processes; 0: one per core.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running; `down` stops it.")] = False,
) -> None:
    """Start the local stack: Appwrite-compatible server, function, renderer. Runs until Ctrl-C."""
    folder = data_folder(data)
    begun = time.monotonic()
    stack = local.start(folder, port, workers, detached=detach)
    console = Console(highlight=False)
    console.print(_welcome(stack, time.monotonic() - begun), markup=False, soft_wrap=True)
    if detach or not stack.started:
        return
    with stack:
        while not (dead := stack.dead()):
            time.sleep(0.5)
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
    folder = data_folder(data)
    typer.echo("Stopped." if local.stop_running(folder) else f"No local stack runs on {folder}.")


@app.command()
def worker(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8750,
) -> None:
    """Run only the render server, for the Appwrite project that the environment names."""
    from core.cli_worker import serve

    typer.echo(
        f"Render server on http://{host}:{port}. It is asynchronous: POST /calls answers with an id at once, the work "
        "goes on in the background, and GET /calls/{id} shows it. Ctrl-C stops it; whatever it did is continued later."
    )
    serve(Settings.from_env(), host, port)


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    app()


if __name__ == "__main__":
    main()

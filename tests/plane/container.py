"""One container: its files, its environment and the process of Modal's own entrypoint."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from modal_proto import api_pb2

from tests.plane.catalog import ENVIRONMENT, Catalog
from tests.plane.records import Function

HOME = "/root"  # where Modal's containers start, and where source mounts begin
# the container must not outlive the plane, whatever ends it, and must hear SIGINT although whoever started the tests
# may have it ignored, as shells do for what runs in their background; both settings survive the exec
LAUNCH = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, 9); signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
# an interpreter that has this project installed in place must see the mounted files alone
NO_EDITABLE = """\
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
sys.path[:] = [entry for entry in sys.path if "__editable__" not in entry]
"""


def lay_out(catalog: Catalog, function: Function, folder: Path) -> Path:
    """Write the function's source mounts below `folder`; returns what is the container's home directory."""
    for name, sha in catalog.mounted(function).items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(catalog.files[sha])
    home = folder / HOME.lstrip("/")
    home.mkdir(parents=True, exist_ok=True)
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(NO_EDITABLE)
    return home


def environment(catalog: Catalog, function: Function, extra: dict[str, str]) -> dict[str, str]:
    """Variables of the image, then of the Secrets, then `extra`; a Volume's mount path becomes the Volume's folder."""
    made = function.definition
    env = catalog.image_env(made.image_id) | catalog.secret_env(list(made.secret_ids)) | extra
    for mount in made.volume_mounts:
        folder = str(catalog.volume(catalog.volumes[mount.volume_id]))
        for name, value in env.items():
            if Path(value).is_relative_to(mount.mount_path):
                env[name] = str(folder / Path(value).relative_to(mount.mount_path))
    return env


def arguments(catalog: Catalog, function: Function, task_id: str) -> api_pb2.ContainerArguments:
    """What the server tells the entrypoint."""
    app = catalog.apps[function.app_id]
    return api_pb2.ContainerArguments(
        task_id=task_id,
        function_id=function.id,
        app_id=app.id,
        function_def=function.definition,
        serialized_params=function.params,
        environment_name=ENVIRONMENT,
        app_layout=catalog.layout(app),
        checkpoint_id=f"ch-{task_id}",
    )


async def start(
    catalog: Catalog, function: Function, task_id: str, socket: Path, python: str, extra: dict[str, str]
) -> asyncio.subprocess.Process:
    """Start the entrypoint in its own process group; its output goes to a file beside the socket."""
    folder = socket.parent
    home = lay_out(catalog, function, folder)
    told = folder / "arguments"
    told.write_bytes(arguments(catalog, function, task_id).SerializeToString())
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(home)}
    env |= environment(catalog, function, extra)
    env |= {
        "MODAL_CONTAINER_ARGUMENTS_PATH": str(told),
        "MODAL_SERVER_URL": f"unix://{socket}",
        "MODAL_TASK_ID": task_id,
        "MODAL_IMAGE_ID": function.definition.image_id,
        "MODAL_IS_REMOTE": "1",
        "MODAL_ENVIRONMENT": ENVIRONMENT,
        "MODAL_CONFIG_PATH": str(folder / "none.toml"),
        "PYTHONPATH": f"{home}:{folder / 'site'}",
        "PYTHONUNBUFFERED": "1",
    }
    with (folder / "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", LAUNCH),
            *(python, "-m", "modal._container_entrypoint"),
            cwd=home,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the entrypoint, or with SIGKILL its whole process group; no error when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        elif process.returncode is None:
            process.send_signal(number)

"""An App that does what its caller asks for: the other end of the tests of the control plane."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import modal

app = modal.App("sample")
base = modal.Image.debian_slim(python_version="3.11").apt_install("ffmpeg").env({"SAMPLE_MODE": "plain"})
image = base.env({"SAMPLE_WEIGHTS": "/weights/base"}).add_local_python_source("sample_kit")
bare = modal.Image.debian_slim(python_version="3.11")
weights = modal.Volume.from_name("sample-weights", create_if_missing=True)
backend = modal.Secret.from_name("sample-backend", required_keys=["SAMPLE_KEY"])


def note(event: str) -> None:
    """Tell the test what happens in here."""
    with (Path(os.environ["SAMPLE_FOLDER"]) / "notes").open("a") as file:
        file.write(f"{event} {modal.current_input_id()}\n")


def wait_for_go() -> None:
    """Work until the test says that it is enough, a minute at most."""
    end = time.monotonic() + 60
    while not (Path(os.environ["SAMPLE_FOLDER"]) / "go").exists() and time.monotonic() < end:
        time.sleep(0.02)


@app.function(image=image, retries=0, timeout=600)
def compose(job: dict[str, Any]) -> dict[str, Any]:
    """Do what `video_id` says."""
    act = job["video_id"]
    note("begun")
    try:
        if act == "wait":
            wait_for_go()
    except BaseException as stop:
        note(type(stop).__name__)
        raise
    if act == "refuse":
        return {"state": "failed", "code": "sample", "sentence": "No."}
    if act == "raise":
        raise ValueError("This cannot be made.")
    if act == "raise a foreign error":
        from sample_kit import ForeignError  # type: ignore[import-not-found]

        raise ForeignError("Only known inside.")
    if act == "import what is left out":
        import left_out  # type: ignore[import-not-found]

        return {"state": left_out.ANSWER}
    if act == "import the project":
        import core

        return {"state": core.__name__}
    return {"state": "done"}


@app.function(image=image, env={"SAMPLE_OWN": "of the function"})
def see(value: Any = None) -> dict[str, Any]:
    """Say where this runs, and give the argument back."""
    names = ("SAMPLE_MODE", "SAMPLE_WEIGHTS", "SAMPLE_OWN", "HOME", "SAMPLE_EXTRA")
    return {
        "value": value,
        "pid": os.getpid(),
        "python": sys.executable,
        "env": {name: os.environ.get(name) for name in names},
        "inherited": sorted(name for name in os.environ if name.startswith("PYTEST")),
    }


@app.function(image=image, retries=0, timeout=1)
def take_long() -> None:
    """Take longer than allowed."""
    wait_for_go()


@app.function(image=image, retries=0, restrict_modal_access=True, single_use_containers=True)
def reach_out() -> int:
    """Try to call another function, which code that nobody vouches for must not."""
    see.spawn()
    return os.getpid()


@app.function(image=image, scaledown_window=2, retries=modal.Retries(max_retries=2, initial_delay=1.0))
def fail_once() -> str:
    """Fail, unless it has been done before."""
    done = Path(os.environ["SAMPLE_FOLDER"]) / "failed"
    if not done.exists():
        done.touch()
        raise RuntimeError("The first time fails.")
    return "well"


@app.function(image=image)
def fan_out(numbers: list[int]) -> list[int]:
    """Call another function from inside, once for each number."""
    return [seen["value"] for seen in see.map(numbers)]


@app.cls(
    image=image,
    gpu=["L4", "A10"],
    cpu=2.0,
    memory=12288,
    secrets=[backend],
    volumes={"/weights": weights},
    timeout=900,
    startup_timeout=600,
    scaledown_window=5,
    max_containers=1,
    retries=modal.Retries(max_retries=2, initial_delay=5.0),
    enable_memory_snapshot=True,
)
class Renderer:
    """A class as the project's own: prepared on the CPU, moved, called, closed."""

    @modal.enter(snap=True)
    def on_cpu(self) -> None:
        """First."""
        self.steps = ["on_cpu"]

    @modal.enter(snap=False)
    def on_gpu(self) -> None:
        """Second."""
        self.steps.append("on_gpu")

    @modal.method()
    def render(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do the work, and have the rest done by another function that is not waited for."""
        note("rendered")
        if job.get("wait"):
            wait_for_go()
        (Path(os.environ["SAMPLE_WEIGHTS"]).parent / "written").write_text("by a container")
        weights.commit()
        call = compose.spawn({**job, "video_id": "value"})
        return {
            "steps": self.steps,
            "key": os.environ["SAMPLE_KEY"],
            "weights": os.environ["SAMPLE_WEIGHTS"],
            "call": call.object_id,
        }

    @modal.exit()
    def leave(self) -> None:
        """Last."""
        note("left")


@app.function(image=bare)
def seed() -> None:
    """Fill the Volume, as `modal run` would."""
    note("seeded")

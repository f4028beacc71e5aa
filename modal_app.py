"""The app on Modal, declarations only: images, machines, secrets, weights; all work is `core`'s, as on a laptop."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import modal

from core.deployment import SECRET, SECRET_KEYS, VOLUME, WEIGHTS, Deployment, container_env
from core.schema import PATH as SCHEMA
from core.settings import Settings

CORE = Path(__file__).resolve().parent / "core"
PYTHON = "3.11"
# pinned as requirements.lock and tests/gpu/requirements.txt pin them; tests/unit/test_modal_app.py compares
PACKAGES = (
    "appwrite==27.0.0 emoji==2.16.0 espeakng-loader==0.2.4 ffmpeg-python==0.2.0 fonttools==4.68.0 "
    "imageio-ffmpeg==0.8.1 lumaai==1.21.0 modal==1.6.4 numpy==2.4.6 opencv-python-headless==5.0.0.93 "
    "pillow==13.0.0 requests==2.34.2 resvg_py==0.5.0"
).split()
MODEL_PACKAGES = (
    "accelerate==1.15.0 coqui-tts==0.28.0 diffusers==0.42.0 safetensors==0.8.0 six==1.17.0 torch==2.13.0 "
    "torchaudio==2.11.0 torchcodec==0.17.0 transformers==5.23.0"
).split()
WRITER_PACKAGES = ["google-genai==3.4.0"]  # who writes programs of scenes
MANIM_PACKAGES = "manim==0.22.0 ManimPango==0.7.1 pycairo==1.29.2 typst==0.15.0 numpy==2.4.6 pillow==13.0.0".split()

settings, machines = replace(Settings.from_env(), renderer="modal"), Deployment.from_env()
told = container_env(settings)
render_machine, compose_machine = settings.machine_of("render"), settings.machine_of("compose")


def with_source(image: modal.Image) -> modal.Image:
    """The image with our code and its data (fonts, prompts, the schema), added last: a change rebuilds nothing."""
    return image.add_local_dir(CORE, "/root/core", ignore=["**/__pycache__", "**/*.pyc"]).add_local_file(
        SCHEMA, "/root/appwrite.json"
    )


base = modal.Image.debian_slim(python_version=PYTHON).uv_pip_install(*PACKAGES)
models = (
    modal.Image.debian_slim(python_version=PYTHON)
    .apt_install("ffmpeg", "espeak-ng", "libsndfile1")  # the voices' phonemes come from the program espeak-ng
    .uv_pip_install(*PACKAGES, *MODEL_PACKAGES, *WRITER_PACKAGES)
    .env({"HF_HUB_OFFLINE": "1"})  # weights come from the Volume alone
)
# two of Manim's packages are built here, from C
manim = (
    modal.Image.debian_slim(python_version=PYTHON)
    .apt_install("build-essential", "libcairo2-dev", "libpango1.0-dev", "pkg-config")
    .uv_pip_install(*MANIM_PACKAGES)
)

app = modal.App(settings.modal_app)
weights = modal.Volume.from_name(VOLUME, create_if_missing=True)
backend = modal.Secret.from_name(SECRET, required_keys=list(SECRET_KEYS))


@app.cls(
    image=with_source(models),
    gpu=machines.gpus(render_machine),
    cpu=render_machine.cores,
    memory=round(render_machine.gib * 1024),
    env=told,
    secrets=[backend],
    volumes={WEIGHTS: weights.with_mount_options(read_only=True)},
    timeout=machines.timeout_seconds,
    startup_timeout=machines.startup_timeout_seconds,
    scaledown_window=machines.scaledown_seconds,
    max_containers=machines.max_containers,
    retries=0,  # a new attempt is handed out by the sweep, which knows what is made already
    enable_memory_snapshot=bool(machines.snapshot),
)
class Renderer:
    """Makes scenes: the models stay in its memory from one call to the next."""

    @modal.enter(snap=bool(machines.snapshot))
    def load(self) -> None:
        """Imports, and weights in memory; no word to the GPU, which a snapshot cannot hold."""
        from core import containers

        self.loaded = containers.load()

    @modal.enter(snap=False)
    def place(self) -> None:
        """Weights on the GPU, connections, fresh randomness."""
        from core import containers

        self.container = containers.ready(self.loaded)

    @modal.method()
    def render(self, job: dict[str, Any]) -> dict[str, str]:
        """Make the scenes of a job: see `containers.Container.work`."""
        return self.container.work(job, modal.current_function_call_id() or "")


@app.function(
    image=with_source(base),
    cpu=compose_machine.cores,
    memory=round(compose_machine.gib * 1024),
    env=told | {"SCENEWRIGHT_PICTURES": "cards", "SCENEWRIGHT_VOICE": "espeak"},  # joins need no model
    secrets=[backend],
    timeout=machines.compose_timeout_seconds,
    scaledown_window=machines.compose_scaledown_seconds,
    max_containers=machines.max_containers,
    retries=0,
)
def compose(job: dict[str, Any]) -> dict[str, str]:
    """Join the scenes of a video: see `containers.Container.work`."""
    from core import containers

    return containers.container().work(job, modal.current_function_call_id() or "")


@app.function(image=with_source(base), env=told, secrets=[backend], timeout=120, scaledown_window=2, retries=0)
def check() -> dict[str, str]:
    """Whether containers can work with Appwrite, for `scenewright doctor --deep`: see `containers.check`."""
    from core import containers

    return containers.check()


@app.function(
    image=with_source(base), volumes={WEIGHTS: weights}, timeout=3600, retries=0, env={"SCENEWRIGHT_WEIGHTS": WEIGHTS}
)
def seed_weights(names: str = "sdxl-base,sdxl-fast,vits") -> list[str]:
    """Fill the Volume, once: `modal run -m modal_app::seed_weights [--names xtts]`; returns what is there.

    `core.weights` lists the models with their revisions, licences and sizes.
    """
    from core.weights import HUB, seed

    folder, hub = Path(os.environ["SCENEWRIGHT_WEIGHTS"]), os.environ.get("HF_ENDPOINT", HUB)
    held = seed(folder, [name.strip() for name in names.split(",") if name.strip()], hub=hub)
    weights.commit()
    print("\n".join(held))  # noqa: T201  for who runs it
    return held


# source that nobody vouches for has an app of its own, where there is nothing to find and nowhere to go
isolated_app = modal.App(f"{settings.modal_app}-isolated")


@isolated_app.function(
    image=with_source(manim),
    cpu=(1.0, 2.0),
    memory=(1024, 4096),
    timeout=660,
    scaledown_window=2,
    max_containers=machines.max_containers,
    retries=0,
    block_network=True,
    restrict_modal_access=True,
    single_use_containers=True,
)
def run_source(request: dict[str, Any]) -> dict[str, Any]:
    """Run Python source within limits: see `core.isolated.run_source`."""
    from core import isolated

    return isolated.run_source(request)

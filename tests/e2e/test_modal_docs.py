"""The guide's way to Modal, command by command as it is printed there, against the model of Modal's server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import requests
from modal.cli.entry_point import entrypoint_cli

from core import doctor_modal
from core.deployment import VOLUME
from core.doctor import look_at
from core.findings import WELL
from core.settings import Settings
from core.weights import files_of
from tests import on_modal
from tests.emulator.conftest import ROOT, running
from tests.plane import Plane
from tests.unit.test_weights import Hub, hub

__all__ = ["hub"]  # a fixture

GUIDE = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("\n### Modal\n")[2].partition("\n## ")[0]
COMMAND = re.compile(r"`(?:\.venv/bin/)?modal ([a-z]+(?: [a-z]+(?=[ `]))?)")
NAMED = sorted(
    {
        (words, str(path.relative_to(ROOT)))
        for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("core/**/*.py"))
        for words in COMMAND.findall(path.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize(("words", "path"), NAMED)
def test_every_command_of_modals_that_is_named_anywhere_is_one_it_has(words: str, path: str) -> None:
    command: click.Command = entrypoint_cli
    for word in words.split():
        if not isinstance(command, click.Group):
            break  # an argument
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"{path} names `modal {words}`"
        command = found


def script(values: dict[str, str]) -> str:
    """All blocks of the section, one after the other as a reader goes, with the reader's own values."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", SECTION, re.MULTILINE | re.DOTALL)
    text = "\n".join(line.strip() for block in blocks for line in block.splitlines())
    for name, value in values.items():
        assert name in text, f"the guide has no {name} any more"
        text = text.replace(name, value)
    assert "<" not in text
    return text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")


def test_who_follows_the_guide_has_a_deployment_that_the_doctor_finds_well(hub: Hub, tmp_path: Path) -> None:
    source = f"video_generation={ROOT}"
    with Plane(env={"HF_ENDPOINT": hub.url}) as plane, running(tmp_path / "appwrite", "--source", source) as server:
        own = {
            "https://<your server>/v1": server.endpoint,
            "<project>": server.project,
            "<key for the renderer>": server.key,
            "<id>": plane.env["MODAL_TOKEN_ID"],
            "<secret>": plane.env["MODAL_TOKEN_SECRET"],
        }
        vits = plane.volume(VOLUME) / "vits"  # the one model that is not on the hub
        vits.mkdir()
        for name in files_of("vits"):
            (vits / name).touch()
        at = {
            "APPWRITE_ENDPOINT": server.endpoint,
            "APPWRITE_PROJECT_ID": server.project,
            "APPWRITE_API_KEY": server.key,
        }
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", **at, **plane.env}

        done = subprocess.run(
            ["bash", "-euc", script(own)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False
        )

        assert done.returncode == 0, done.stdout + done.stderr + plane.log()
        assert plane.secrets[on_modal.BACKEND] == at
        assert set(plane.deployed(on_modal.APP)) >= {on_modal.RENDER, on_modal.COMPOSE}
        variables = variables_of(server.endpoint, server.project, server.key)
        assert variables["SCENEWRIGHT_RENDERER"] == "modal"
        assert variables["MODAL_TOKEN_ID"] == plane.env["MODAL_TOKEN_ID"]
        assert "MODAL_TOKEN_SECRET" in variables
        with plane.speaking():
            looks = doctor_modal.looks(
                Settings(renderer="modal", pictures="sdxl,cards", voice_engine="vits"), deep=True
            )
            found = [look_at(*look) for look in looks]
        assert {f.level for f in found} == {WELL}, f"{found}\n{plane.log()}"
        assert not plane.unimplemented


def variables_of(endpoint: str, project: str, key: str) -> dict[str, str]:
    """What the function is told, by name; a secret's value is not shown."""
    headers = {"x-appwrite-project": project, "x-appwrite-key": key}
    answer = requests.get(f"{endpoint}/functions/video_generation/variables", headers=headers, timeout=10)
    answer.raise_for_status()
    return {v["key"]: v["value"] for v in answer.json()["variables"]}

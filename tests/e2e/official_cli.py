"""The official Appwrite CLI as a person runs it: the real program, in a clone, with a home folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.web_programs import WEB

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = WEB / "node_modules" / ".bin"
GUIDE = ROOT / "docs" / "deploying.md"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Cli:
    """A person at a shell. `home` keeps what the CLI remembers; commands run in `folder` and see `variables`."""

    home: Path
    folder: Path
    variables: dict[str, str]

    def say(self, command: str) -> str:
        """Everything a command line prints, colours left out. Its exit code says little: it is 0 on many failures."""
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE") if name in os.environ}
        environment = {
            **inherited,
            **self.variables,
            "HOME": str(self.home),
            "PATH": f"{PROGRAMS}{os.pathsep}{inherited['PATH']}",
            "NODE_NO_WARNINGS": "1",
        }
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        return _ANSI.sub("", ended.stdout)


def printed_commands() -> list[str]:
    """The CLI's commands in the deployment guide's list, in order."""
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if "appwrite push functions" in block)
    return [line for line in block.splitlines() if line.startswith("appwrite ")]


def clone(folder: Path) -> Path:
    """A fresh clone of this checkout, with things beside it that must stay at home."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, capture_output=True, text=True)
    secret = "SECRET=do-not-deploy-me\n"
    for name in (".env", ".env.production", "core/.env", "credentials.json", "functions/video_generation/id.pem"):
        (folder / name).write_text(secret)
    return folder

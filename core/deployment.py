"""What an operator may set about the machines on Modal, read when the app is deployed, and what containers are told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from core.errors import InvalidInputError
from core.prices import Machine
from core.settings import Settings

_MOST_SECONDS = 86_400
# what containers get from the Secret, what names places of the operator's own machine, and what is fixed there
_NOT_TOLD = frozenset(
    "APPWRITE_ENDPOINT APPWRITE_PROJECT_ID SCENEWRIGHT_RENDER_URL SCENEWRIGHT_RENDER_URL_FILE "
    "SCENEWRIGHT_WEIGHTS SCENEWRIGHT_DATA SCENEWRIGHT_WORK_DIR SCENEWRIGHT_FFMPEG SCENEWRIGHT_WORKERS "
    "SCENEWRIGHT_WORKER_QUEUE MODAL_TOKEN_ID MODAL_ENVIRONMENT MODAL_SERVER_URL".split()
)
WEIGHTS = "/weights"  # where the Volume is
VOLUME, SECRET = "scenewright-weights", "scenewright-backend"  # their names on Modal
SECRET_KEYS = ("APPWRITE_ENDPOINT", "APPWRITE_PROJECT_ID", "APPWRITE_API_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How the app runs. Costs are USD for a video of 6 scenes and 60 s by SDXL (30 steps) and XTTS, not measured yet.

    The machines themselves are SCENEWRIGHT_RENDER_MACHINE (A10,2,12: $0.031 and 90 s; L4,2,12: $0.033 and 122 s;
    L40S,2,12: $0.033 and 62 s; H100,2,12: $0.049 and 51 s) and SCENEWRIGHT_COMPOSE_MACHINE (,4,4: $0.0025).
    Each variable is SCENEWRIGHT_MODAL_ and the name in capitals.
    """

    second_gpus: str = "L4"  # by comma, taken where the first cannot be had; A10 and L4 cost the same within 5 %
    scaledown_seconds: int = 5  # idle seconds are paid: $0.0018 a container (A10); Modal's own default of 60: $0.0215
    compose_scaledown_seconds: int = 2  # $0.0001
    max_containers: int = 4  # the most that can be spent: 4 x $1.29 an hour (A10); more videos wait
    timeout_seconds: int = 900  # of one call, what a call that hangs may cost: $0.32 (A10)
    compose_timeout_seconds: int = 900  # $0.06
    startup_timeout_seconds: int = 600  # 7 GB from the Volume take about 5 s; the first start makes the snapshot
    snapshot: int = 1  # 1: containers start from a picture of their memory: 9 instead of 18 s, $0.003 less (A10)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the environment. Raises InvalidInputError naming the variable that cannot be used."""
        source = os.environ if env is None else env
        values: dict[str, str | int] = {}
        for f in fields(cls):
            name = f"SCENEWRIGHT_MODAL_{f.name.upper()}"
            if name not in source:
                continue
            text = source[name].strip()
            if f.name != "second_gpus" and not text.isdecimal():
                raise InvalidInputError(f"{name} must be a whole number, not {text[:40]!r}.", field=name)
            values[f.name] = text if f.name == "second_gpus" else int(text)
        made = cls(**values)  # type: ignore[arg-type]
        made.check()
        return made

    def check(self) -> None:
        """Refuse here what Modal would refuse at the end of a deployment. Raises InvalidInputError."""
        limits = {
            "scaledown_seconds": (2, 1200),
            "compose_scaledown_seconds": (2, 1200),
            "max_containers": (1, 1000),
            "timeout_seconds": (1, _MOST_SECONDS),
            "compose_timeout_seconds": (1, _MOST_SECONDS),
            "startup_timeout_seconds": (1, _MOST_SECONDS),
            "snapshot": (0, 1),
        }
        for field, (least, most) in limits.items():
            if not least <= getattr(self, field) <= most:
                name = f"SCENEWRIGHT_MODAL_{field.upper()}"
                raise InvalidInputError(f"{name} must be from {least} to {most}.", field=name)
        for gpu in self._second():
            Machine.parse(f"{gpu},1,1", "SCENEWRIGHT_MODAL_SECOND_GPUS")

    def _second(self) -> list[str]:
        return [name.strip() for name in self.second_gpus.split(",") if name.strip()]

    def gpus(self, machine: Machine) -> list[str] | None:
        """The GPUs of a machine as Modal names them, in the order in which they are tried; None: it has none."""
        if not machine.gpu:
            return None
        first = f"{machine.gpu}:{machine.gpus}" if machine.gpus > 1 else machine.gpu
        return list(dict.fromkeys([first, *self._second()]))


def container_env(settings: Settings) -> dict[str, str | None]:
    """What containers are told beside the Secret: the settings of who deploys, never a secret one."""
    secret = {f.metadata["env"] for f in fields(settings) if f.metadata["secret"]}
    told = {name: value for name, value in settings.to_env().items() if name not in secret | _NOT_TOLD}
    return {**told, "SCENEWRIGHT_WEIGHTS": WEIGHTS}

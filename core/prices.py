"""What a second of a machine costs: the one table of prices, with its date, and machines as settings name them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from core.errors import InvalidInputError

AS_OF = "2026-08-19"  # when modal.com/pricing said so
GPU_SECOND = {  # USD per second of one GPU
    "T4": 0.000164,
    "L4": 0.000222,
    "A10": 0.000306,
    "L40S": 0.000542,
    "A100-40GB": 0.000583,
    "A100-80GB": 0.000694,
    "H100": 0.001097,
    "H200": 0.001261,
    "B200": 0.001736,
    "B300": 0.001972,
}
CORE_SECOND = 0.0000131  # USD per second of one physical core, which is two virtual ones
GIB_SECOND = 0.00000222  # USD per second of one GiB of memory
# as ai.google.dev/gemini-api/docs/pricing said on 2026-07-04
MILLION_TOKENS = {  # USD of a model for a million tokens of input, and of output with what it thought
    "gemini-2.5-flash": (0.30, 2.50),
    "gemini-2.5-flash-lite": (0.10, 0.40),
    "gemini-2.5-pro": (1.25, 10.00),
    "gemini-3.1-flash-lite": (0.25, 1.50),
    "gemini-3.5-flash": (1.50, 9.00),
}
_ALSO = {"A100": "A100-40GB", "A10G": "A10", "H100!": "H100", "B200+": "B200"}
_MOST = 4096.0  # cores or GiB: more is a slip


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a call runs, by what is paid for; without anything in it, it costs nothing."""

    gpu: str = ""  # a name of GPU_SECOND, empty: none
    gpus: int = 0
    cores: float = 0.0
    gib: float = 0.0

    @classmethod
    def parse(cls, text: str, setting: str) -> Self:
        """Read "GPU,cores,GiB", such as "H100,4,16", "L4:2,8,32" or ",4,8"; empty: a machine that costs nothing.

        Raises:
            InvalidInputError: naming the setting.
        """
        if not text.strip():
            return cls()
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 3:
            raise _refused(setting, text, "three parts with commas between them")
        name, _, count = parts[0].partition(":")
        known = _ALSO.get(name.upper(), name.upper())
        if name and known not in GPU_SECOND:
            raise _refused(setting, text, f"a GPU out of {', '.join(GPU_SECOND)}")
        if count and not (name and count.isdecimal() and 1 <= int(count) <= 8):
            raise _refused(setting, text, "1 to 8 GPUs")
        cores, gib = (_number(part, setting, text) for part in parts[1:])
        return cls(known, int(count or 1) if name else 0, cores, gib)

    @property
    def usd_per_second(self) -> float:
        """Dollars for one second."""
        gpu = GPU_SECOND[self.gpu] * self.gpus if self.gpu else 0.0
        return gpu + self.cores * CORE_SECOND + self.gib * GIB_SECOND

    @property
    def name(self) -> str:
        """As settings and receipts name it; empty: it costs nothing."""
        if self == Machine():
            return ""
        gpu = f"{self.gpu}:{self.gpus}" if self.gpus > 1 else self.gpu
        return f"{gpu},{self.cores:g},{self.gib:g}"


def tokens_usd(model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Dollars that a language model takes for so many tokens; None: its price is not known."""
    if model not in MILLION_TOKENS:
        return None
    into, out = MILLION_TOKENS[model]
    return (input_tokens * into + output_tokens * out) / 1e6


def _number(part: str, setting: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError as error:
        raise _refused(setting, text, "numbers of cores and GiB") from error
    if not (math.isfinite(value) and 0 <= value <= _MOST):
        raise _refused(setting, text, f"cores and GiB from 0 to {_MOST:g}")
    return value


def _refused(setting: str, text: str, wanted: str) -> InvalidInputError:
    sentence = f"{setting} must be GPU,cores,GiB, such as H100,4,16 or ,4,8: it needs {wanted}, not {text[:40]!r}."
    return InvalidInputError(sentence, code="bad_machine", field=setting)


def dollars(usd: float) -> str:
    """An amount as people read it: two digits behind the point, more of them where it would be nothing otherwise."""
    text = f"{usd:.6f}".rstrip("0")
    whole, _, behind = text.partition(".")
    return f"${usd:.2f}" if usd >= 1 else f"${whole}.{behind.ljust(2, '0')}"

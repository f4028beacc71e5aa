"""What Modal's server alone checks: names of GPUs, limits of times and payloads."""

from __future__ import annotations

from typing import Any

from grpclib import GRPCError, Status

# modal.com/docs/guide/gpu
GPUS = frozenset("T4 L4 A10 A10G L40S A100 A100-40GB A100-80GB RTX-PRO-6000 H100 H100! H200 B200 B200+ B300".split())
MAX_GPUS = 8
MAX_TIMEOUT = 86400  # seconds
MAX_INLINE = 8 * 1024  # bytes of a spawned call's arguments or result outside the blob store


def check_function(definition: Any) -> None:
    """Raise INVALID_ARGUMENT when the server would refuse this definition of a function."""
    gpu = definition.resources.gpu_config
    if gpu.gpu_type and gpu.gpu_type.upper() not in GPUS:
        raise GRPCError(Status.INVALID_ARGUMENT, f"Unknown GPU type {gpu.gpu_type!r}")
    if gpu.gpu_type and not 1 <= gpu.count <= MAX_GPUS:
        raise GRPCError(Status.INVALID_ARGUMENT, f"GPU count must be 1 to {MAX_GPUS}, not {gpu.count}")
    if gpu.gpu_type and definition.scheduler_placement.nonpreemptible:
        raise GRPCError(Status.INVALID_ARGUMENT, "nonpreemptible cannot be combined with a GPU")
    for name, seconds in (("timeout", definition.timeout_secs), ("startup timeout", definition.startup_timeout_secs)):
        if not 1 <= seconds <= MAX_TIMEOUT:
            raise GRPCError(Status.INVALID_ARGUMENT, f"The {name} must be 1 to {MAX_TIMEOUT} s, not {seconds}")


def check_inline(size: int) -> None:
    """Raise INVALID_ARGUMENT when `size` bytes are too many for the inline payload of a spawned call."""
    if size > MAX_INLINE:
        raise GRPCError(Status.INVALID_ARGUMENT, f"Inline payload of {size} bytes, at most {MAX_INLINE} are taken")

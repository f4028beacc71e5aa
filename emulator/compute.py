"""The limits of functions, read from the environment under the names a self-hosted Appwrite gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`archive_bytes`: the largest deployment; `build_s`: seconds a build may take; `kept_executions`: how many ended
    executions of a function are kept, the newest; `kept_s`: seconds for which they are kept.
    """

    archive_bytes: int = 30_000_000
    build_s: int = 2_700
    kept_executions: int = 5_000
    kept_s: int = 30 * 24 * 3600


_NAMES = {
    "archive_bytes": "_APP_COMPUTE_SIZE_LIMIT",
    "build_s": "_APP_COMPUTE_BUILD_TIMEOUT",
    "kept_executions": "_APP_MAINTENANCE_RETENTION_EXECUTIONS_COUNT",  # ours; Appwrite keeps by age alone
    "kept_s": "_APP_MAINTENANCE_RETENTION_EXECUTION",
}


def limits_from(environment: Mapping[str, str] = os.environ) -> Limits:
    """The limits an environment sets. Raises ValueError naming a variable that is no positive whole number."""
    given: dict[str, int] = {}
    for field, name in _NAMES.items():
        if written := environment.get(name, ""):
            if not written.isascii() or not written.isdigit() or int(written) < 1:
                raise ValueError(f"{name} must be a positive whole number, not {written!r}.")
            given[field] = int(written)
    return Limits(**given)

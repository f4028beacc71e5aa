"""A module beside the sample App that no image of it carries."""

from __future__ import annotations

ANSWER = 42

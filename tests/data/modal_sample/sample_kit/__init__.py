"""A package of the sample App that its callers do not have."""

from __future__ import annotations


class ForeignError(Exception):
    """An error whose class no caller knows."""

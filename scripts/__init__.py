"""Programs people run on their own servers."""

from __future__ import annotations

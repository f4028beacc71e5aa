"""Claims about speed and size, each measured beside its bound."""

from __future__ import annotations

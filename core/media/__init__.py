"""How ffmpeg is addressed: arguments are pure functions, running and probing stand apart."""

from __future__ import annotations

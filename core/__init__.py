"""What is a video, and what are its steps? Words at the bottom, steps above them, wiring on top."""

from __future__ import annotations

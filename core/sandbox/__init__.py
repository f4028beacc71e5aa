"""A place for Python that nobody vouches for: locked by the kernel, bounded, and gone afterwards."""

from __future__ import annotations

"""What the ports meet outside: Appwrite and the renderers."""

from __future__ import annotations

"""What makes an asset: a voice, a picture, a clip, a film, a storyboard."""

from __future__ import annotations

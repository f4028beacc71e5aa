"""Changed pictures: size, crop, border, corners, opacity, rotation, background and format, by Pillow."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from emulator.errors import AppwriteError, invalid_argument

OUTPUTS = ("jpg", "jpeg", "png", "webp", "heic", "avif", "gif")
LONGEST_SIDE = 4000
MOST_PIXELS = 64_000_000
SHEET = (1200, 800)  # what stands for a file that is no picture
_FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "gif": "GIF"}
_OUTPUT_OF_TYPE = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
}
# Where the kept part lies when a picture is cropped: fractions of the width and of the height.
_GRAVITY = {
    "center": (0.5, 0.5), "top-left": (0.0, 0.0), "top": (0.5, 0.0), "top-right": (1.0, 0.0), "left": (0.0, 0.5),
    "right": (1.0, 0.5), "bottom-left": (0.0, 1.0), "bottom": (0.5, 1.0), "bottom-right": (1.0, 1.0),
}  # fmt: skip
_COLOR = re.compile(r"^[0-9a-fA-F]{6}$")


@dataclass(frozen=True)
class Wanted:
    """What a preview shall be. Sizes in pixels, 0 for "as it is"; `quality` -1 for the format's usual one."""

    width: int
    height: int
    gravity: str
    quality: int
    border_width: int
    border_color: str
    border_radius: int
    opacity: float
    rotation: int
    background: str
    output: str


def wanted(query: Mapping[str, str]) -> Wanted:
    """The checked query parameters. Raises general_argument_invalid."""
    return Wanted(
        width=_whole(query, "width", 0, LONGEST_SIDE, 0),
        height=_whole(query, "height", 0, LONGEST_SIDE, 0),
        gravity=_one_of(query, "gravity", tuple(_GRAVITY), "center"),
        quality=_whole(query, "quality", -1, 100, -1),
        border_width=_whole(query, "borderWidth", 0, 100, 0),
        border_color=_color(query, "borderColor"),
        border_radius=_whole(query, "borderRadius", 0, LONGEST_SIDE, 0),
        opacity=_fraction(query, "opacity"),
        rotation=_whole(query, "rotation", -360, 360, 0),
        background=_color(query, "background"),
        output=_one_of(query, "output", OUTPUTS, ""),
    )


def render(path: Path, mime_type: str, name: str, asked: Wanted) -> tuple[bytes, str]:
    """The preview's bytes and type. Raises storage_image_resolution_exceeded, storage_file_type_unsupported."""
    picture, output = _open(path, mime_type, name)
    output = asked.output or output
    if output == "heic":
        raise AppwriteError("storage_file_type_unsupported", "This server cannot write HEIC pictures; ask for avif.")
    return _encoded(_changed(picture, asked), _FORMATS[output], asked.quality)


def _open(path: Path, mime_type: str, name: str) -> tuple[Image.Image, str]:
    output = _OUTPUT_OF_TYPE.get(mime_type)
    if output is not None:
        try:
            picture = Image.open(path)
            if picture.width * picture.height > MOST_PIXELS:
                sentence = f"The picture has more than {MOST_PIXELS:,} pixels."
                raise AppwriteError("storage_image_resolution_exceeded", sentence)
            # In upright position, and with an alpha channel all later steps can rely on.
            return ImageOps.exif_transpose(picture).convert("RGBA"), output
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pass  # it begins like a picture and is none: it is shown as any other file
    return _sheet(name), "png"


def _sheet(name: str) -> Image.Image:
    sheet = Image.new("RGBA", SHEET, (244, 244, 247, 255))
    label = Path(name).suffix.removeprefix(".").upper()[:8] or "FILE"
    ImageDraw.Draw(sheet).text((SHEET[0] / 2, SHEET[1] / 2), label, (110, 110, 125, 255), anchor="mm", font_size=160)
    return sheet


def _changed(picture: Image.Image, asked: Wanted) -> Image.Image:
    picture = _resized(picture, asked)
    if asked.border_width:
        color = f"#{asked.border_color or '000000'}"
        picture = ImageOps.expand(picture, asked.border_width, color)
    if asked.border_radius:
        mask = Image.new("L", picture.size, 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, *picture.size), asked.border_radius, 255)
        picture.putalpha(Image.composite(picture.getchannel("A"), Image.new("L", picture.size, 0), mask))
    if asked.opacity < 1:
        picture.putalpha(picture.getchannel("A").point(lambda alpha: int(alpha * asked.opacity)))
    if asked.rotation % 360:
        picture = picture.rotate(-asked.rotation, expand=True, resample=Image.Resampling.BICUBIC)
    if asked.background:
        ground = Image.new("RGBA", picture.size, f"#{asked.background}")
        picture = Image.alpha_composite(ground, picture)
    return picture


def _resized(picture: Image.Image, asked: Wanted) -> Image.Image:
    """One side given keeps the proportions; both given crop to fill them."""
    width, height = asked.width, asked.height
    if width and height:
        return ImageOps.fit(picture, (width, height), centering=_GRAVITY[asked.gravity])
    if width:
        return picture.resize((width, max(1, round(picture.height * width / picture.width))))
    if height:
        return picture.resize((max(1, round(picture.width * height / picture.height)), height))
    return picture


def _encoded(picture: Image.Image, kind: str, quality: int) -> tuple[bytes, str]:
    if kind == "JPEG":
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture).convert("RGB")
    options = {"quality": quality} if quality >= 0 and kind in ("JPEG", "WEBP", "AVIF") else {}
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue(), f"image/{kind.lower()}"


def _whole(query: Mapping[str, str], name: str, least: int, most: int, usual: int) -> int:
    written = query.get(name) or str(usual)
    try:
        value = int(written)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise invalid_argument(name, f"Value must be a valid range between {least} and {most:,}")
    return value


def _fraction(query: Mapping[str, str], name: str) -> float:
    try:
        value = float(query.get(name) or 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise invalid_argument(name, "Value must be a valid range between 0 and 1")
    return value


def _color(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "").removeprefix("#")
    if value and not _COLOR.match(value):
        raise invalid_argument(name, "Value must be a valid hexadecimal color without #")
    return value


def _one_of(query: Mapping[str, str], name: str, allowed: tuple[str, ...], usual: str) -> str:
    value = query.get(name) or usual
    if value != usual and value not in allowed:
        raise invalid_argument(name, f"Value must be one of ({', '.join(allowed)})")
    return value

"""Paints the parts of a card: ground, lines, glass, shapes, emoji, text; each a sheet with its own transparency."""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import numpy as np
import resvg_py
from PIL import Image, ImageDraw

from core.documents import Canvas
from core.engines.cards_layouts import Box, Item
from core.engines.cards_palettes import RGB, Palette
from core.engines.fonts import EMOJI
from core.media.layers import Pixels

GROUND_STEP = 8  # canvas px per pixel of the ground
OVERSCAN = 1.24  # of the ground: it turns and grows under the canvas
LINES_MARGIN = 0.035  # of the short side: room for the lines to slide in
TITLE_CONTRAST = 6.0  # least contrast of a title with what is behind it (4.5 is the norm for reading)


def ground(
    canvas: Canvas, palette: Palette, focus: tuple[float, float], texts: list[Box], seed: int, *, captions: bool
) -> Pixels:
    """Soft lights on a dark or bright ground, float32 RGB at 1 / GROUND_STEP, OVERSCAN times the canvas.

    Behind `texts` (canvas px) it is dimmed, or brightened, as far as their contrast needs.
    """
    width = round(canvas.width * OVERSCAN / GROUND_STEP)
    height = round(canvas.height * OVERSCAN / GROUND_STEP)
    x = (np.arange(width, dtype=np.float32) + 0.5) * GROUND_STEP - canvas.width * (OVERSCAN - 1) / 2
    y = ((np.arange(height, dtype=np.float32) + 0.5) * GROUND_STEP - canvas.height * (OVERSCAN - 1) / 2)[:, None]
    rng = np.random.default_rng(seed)
    out = np.empty((height, width, 3), np.float32)
    out[:] = palette.base
    w, h, reach = canvas.width, canvas.height, (canvas.width * canvas.height) ** 0.5
    strong = (0.95, 0.86, 0.74, 0.55) if not palette.light else (0.85, 0.34, 0.22, 0.60)
    first, second, third = palette.glows
    spots = [
        (first, 0.14 * w, 0.10 * h, 0.72 * reach), (second, 0.95 * w, 0.30 * h, 0.58 * reach),
        (third, 0.08 * w, 0.84 * h, 0.58 * reach), (first, 0.92 * w, 0.95 * h, 0.48 * reach),
    ]  # fmt: skip
    for (colour, cx, cy, radius), strength in zip(spots, strong, strict=True):
        dx, dy = rng.uniform(-0.09, 0.09, 2) * reach
        distance = np.sqrt((x - cx - dx - (focus[0] - w / 2) * 0.10) ** 2 + (y - cy - dy) ** 2)
        alpha = strength * np.clip(1 - distance / radius, 0, 1) ** 1.8
        out += alpha[..., None] * (np.array(colour, np.float32) - out)
    foot = np.clip((y - 0.46 * h) / (0.54 * h), 0, 1) ** 1.2 * (0.34 if palette.light else 0.75)
    out += foot[..., None] * (np.array(palette.foot, np.float32) - out)
    if palette.light and captions:  # captions are white
        deep = np.array(mixed(palette.glows[2], palette.ink, 0.25), np.float32)
        rise = np.clip((y - 0.56 * h) / (0.44 * h), 0, 1) ** 1.5
        out += (0.58 * rise)[..., None] * (deep - out)
    return _readable(out, canvas, palette, texts)


def _readable(out: Pixels, canvas: Canvas, palette: Palette, texts: list[Box]) -> Pixels:
    """Move the colours behind the texts towards black (white) until letters stand out, with soft borders."""
    ink = luminance(np.array(palette.ink, np.float32))
    here = luminance(out)
    if palette.light:
        need = (ink + 0.05) * TITLE_CONTRAST - 0.05
        keep = np.clip((1 - need) / np.maximum(1 - here, 1e-4), 0, 1)  # linear light: close enough, then checked soft
    else:
        allowed = (ink + 0.05) / TITLE_CONTRAST - 0.05
        keep = np.clip(allowed / np.maximum(here, 1e-4), 0, 1) ** (1 / 2.2)
    wanted = np.ones_like(keep)
    left, top = canvas.width * (OVERSCAN - 1) / 2, canvas.height * (OVERSCAN - 1) / 2
    margin = canvas.short_side * 0.05
    for box in texts:
        x0, x1 = (int((v + left) / GROUND_STEP) for v in (box.x - margin, box.right + margin))
        y0, y1 = (int((v + top) / GROUND_STEP) for v in (box.y - margin, box.bottom + margin))
        wanted[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1] = keep[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1]
    radius = max(2, round(canvas.short_side * 0.055 / GROUND_STEP))
    wanted = cv2.erode(wanted, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    wanted = cv2.GaussianBlur(wanted, (0, 0), radius * 0.7)[..., None]
    result: Pixels = 255 - (255 - out) * wanted if palette.light else out * wanted
    return result


def luminance(rgb: Pixels) -> Pixels:
    """Relative luminance 0 to 1 of sRGB 0..255 along the last axis (WCAG 2)."""
    c = np.clip(rgb / 255, 0, 1)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    result: Pixels = linear @ np.array([0.2126, 0.7152, 0.0722])
    return result


def lines(canvas: Canvas, palette: Palette, focus: tuple[float, float], seed: int) -> Pixels:
    """Thin circles round a point near the focus, one plane of brightness to be added."""
    s = canvas.short_side
    width, height = canvas.width + 2 * round(s * LINES_MARGIN), canvas.height + 2 * round(s * LINES_MARGIN)
    rng = np.random.default_rng(seed + 7)
    cx = focus[0] + rng.uniform(-0.30, 0.30) * s + (width - canvas.width) / 2
    cy = focus[1] + rng.uniform(-0.30, 0.30) * s + (height - canvas.height) / 2
    out = np.zeros((height, width), np.uint8)
    thickness = max(1, round(s * 2 / 1080))
    for i in range(16):
        radius = s * (0.085 + 0.060 * i)
        strength = (36 if palette.light else 26) * max(0.18, 1 - i * 0.056)
        centre = (round(cx * 16), round(cy * 16))
        cv2.circle(out, centre, round(radius * 16), (strength,), thickness, cv2.LINE_AA, shift=4)
    return out


def glass(box: Box, palette: Palette, s: float) -> Pixels:
    """A pane of glass with a bright edge and a soft shadow, premultiplied RGBA, its centre the box's."""
    width, height = round(box.width), round(box.height)
    radius = min(0.060 * s, 0.10 * min(width, height) + 0.02 * s)
    falling = _falling(width, height)
    fill = (0.42 + 0.40 * falling) if palette.light else (0.06 + 0.21 * falling)
    edge = (0.55 + 0.40 * falling) if palette.light else (0.10 + 0.65 * falling)
    body = rounded(width, height, radius).astype(np.float32)
    line = max(1.0, s * 2.5 / 1080)
    inner = np.zeros_like(body)
    pad = line
    core = rounded(width, height, radius, inset=pad).astype(np.float32)
    inner = body - core
    alpha = np.maximum(core * fill, inner * edge).astype(np.uint8)
    pane = coloured(alpha, (255, 255, 255))
    return shadowed(pane, palette.shade, s * 25 / 1080, 0, 0.16 if palette.light else 0.35, cast=body.astype(np.uint8))


def disc(box: Box, palette: Palette, s: float) -> Pixels:
    """A bright disc, graded from the second to the third light, with a rim and a shadow."""
    side = round(box.width)
    mask = rounded(side, side, side / 2)
    second, third = palette.glows[1], palette.glows[2]
    face = coloured(mask, graded(side, side, mixed(second, (255, 255, 255), 0.10), third))
    rim = cv2.subtract(mask, rounded(side, side, side / 2, inset=s * 0.006))
    light = (rim.astype(np.float32) * (0.15 + 0.55 * _falling(side, side))).astype(np.uint8)
    return shadowed(over(coloured(light, (255, 255, 255)), face), palette.shade, s * 0.030, s * 0.016, 0.40)


def sheet(box: Box, palette: Palette, s: float, slant: float, *, beside: bool) -> Pixels:
    """A sheet of colour with one slanted (beside: rounded) edge, to be bled off the canvas."""
    width, height = round(box.width), round(box.height)
    big = Image.new("L", (width * 2, height * 2))
    pen = ImageDraw.Draw(big)
    if beside:
        radius = round(s * 0.14 * 2)
        grown = (0, -radius * 2, width * 2 + radius * 2, height * 2 - 1)
        if slant < 0:
            grown = (-radius * 2, -radius * 2, width * 2 - 1, height * 2 - 1)
        pen.rounded_rectangle(grown, radius, fill=255)
    else:
        drop = round(s * 0.085 * 2)
        left, right = (height * 2 - drop, height * 2) if slant > 0 else (height * 2, height * 2 - drop)
        pen.polygon([(0, 0), (width * 2, 0), (width * 2, right), (0, left)], fill=255)
    mask = cv2.resize(np.asarray(big), (width, height), interpolation=cv2.INTER_AREA)
    first, second, third = palette.glows
    start, end = (second, third) if palette.light else (mixed(second, first, 0.15), mixed(first, third, 0.35))
    return shadowed(coloured(mask, graded(width, height, start, end)), palette.shade, s * 0.026, s * 0.010, 0.45)


def polaroid(box: Box, palette: Palette, s: float, tilt: float) -> Pixels:
    """A white frame round a graded square, turned by `tilt` degrees clockwise."""
    width, height = round(box.width), round(box.height)
    frame = coloured(rounded(width, height, s * 0.020), (250, 249, 247))
    margin = round(width * 0.055)
    inner_w, inner_h = width - 2 * margin, round(height * 0.79)
    first, second, third = palette.glows
    colours = (mixed(first, (255, 255, 255), 0.25), second) if palette.light else (mixed(third, first, 0.4), second)
    photo = coloured(rounded(inner_w, inner_h, s * 0.012), graded(inner_w, inner_h, *colours))
    spot = frame[margin : margin + inner_h, margin : margin + inner_w]
    spot[:] = over(photo, spot)
    return shadowed(turned(frame, tilt), palette.shade, s * 0.026, s * 0.020, 0.42)


def orbit(box: Box, palette: Palette, s: float) -> Pixels:
    """A thin bright ring with a faint veil inside."""
    side = round(box.width)
    disc_mask = rounded(side, side, side / 2)
    ring = cv2.subtract(disc_mask, rounded(side, side, side / 2, inset=max(1.5, s * 0.0045)))
    falling = _falling(side, side)
    alpha = np.maximum(
        disc_mask * ((0.30 if palette.light else 0.05) + 0.10 * falling), ring * (0.35 + 0.45 * falling)
    ).astype(np.uint8)
    return coloured(alpha, graded(side, side, palette.glows[1], palette.glows[2]) if palette.light else (255, 255, 255))


def picture_of(emoji: str, size: float, tilt: float, density: float, palette: Palette, s: float) -> Pixels:
    """An emoji whose visible part fills `size` canvas px, with its shadow, at `density` px per canvas px."""
    drawn = _emoji(emoji, round(size * density), round(tilt, 1))
    small = 0.6 if size < 0.25 * s else 1.0
    strength = 0.26 if palette.light else 0.46
    return shadowed(drawn, palette.shade, s * 0.015 * small * density, s * 0.021 * small * density, strength)


@lru_cache(maxsize=8)
def _emoji(emoji: str, size: int, tilt: float) -> Pixels:
    """The bare emoji, premultiplied RGBA; its longer visible side is `size` px before it is turned."""
    font = size * 0.80  # the drawing of most is 1.18 font sizes wide
    side = round(font * 1.9)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}">'
        f'<g transform="rotate({tilt} {side / 2} {side / 2})">'
        f'<text x="50%" y="{side / 2 + font * 0.36}" text-anchor="middle" font-family="Noto Color Emoji" '
        f'font-size="{font}">{emoji}</text></g></svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, font_files=[str(EMOJI)], skip_system_fonts=True)
    image = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
    rows, columns = np.flatnonzero(image[..., 3].any(axis=1)), np.flatnonzero(image[..., 3].any(axis=0))
    if len(rows) == 0:
        return np.zeros((size, size, 4), np.uint8)
    cut = np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    result = coloured(cut[..., 3], cut[..., :3])
    longest = max(result.shape[:2])
    if longest > size:
        shape = (max(1, result.shape[1] * size // longest), max(1, result.shape[0] * size // longest))
        result = cv2.resize(result, shape, interpolation=cv2.INTER_AREA)
    return result


def title(item: Item, palette: Palette) -> Pixels:
    """The lines of the title; on a dark ground with a soft shadow. Larger than its box, same centre."""
    assert item.setting is not None
    setting, box = item.setting, item.box
    pad = round(setting.size * 0.30)
    width, height = round(box.width) + 2 * pad, round(box.height) + 2 * pad
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    font = setting.face.at(setting.size)
    for number, line in enumerate(item.lines):
        free = box.width - setting.face.width(line, setting.size)
        x = pad + {"left": 0.0, "center": free / 2, "right": free}[item.align]
        pen.text((x, pad + setting.ascent + number * setting.step), line, font=font, fill=255, anchor="ls")
    letters = coloured(np.array(image), palette.ink)
    if palette.light:
        return letters
    return shadowed(letters, palette.shade, setting.size * 0.10, setting.size * 0.05, 0.45, grow=False)


def chip(item: Item, palette: Palette, s: float) -> Pixels:
    """The pill with its dot and its words."""
    assert item.setting is not None
    width, height = round(item.box.width), round(item.box.height)
    tint: RGB = palette.ink if palette.light else (255, 255, 255)
    pill = rounded(width, height, height / 2)
    out = coloured((pill * (0.09 if palette.light else 0.17)).astype(np.uint8), tint)
    dot = round(height * 0.25)
    middle = height // 2
    right_to_left = item.setting.face.right_to_left
    dot_x = round(width - s * 0.030 - dot) if right_to_left else round(s * 0.024)
    spot = out[middle - dot // 2 : middle - dot // 2 + dot, dot_x : dot_x + dot]
    spot[:] = over(coloured(rounded(dot, dot, dot / 2), palette.glows[1]), spot)
    image = Image.new("L", (width, height))
    text_x = s * 0.030 if right_to_left else s * 0.024 + dot + s * 0.016
    font = item.setting.face.at(item.setting.size)
    ImageDraw.Draw(image).text(
        (text_x, middle + item.setting.size * 0.36), item.lines[0], font=font, fill=240, anchor="ls"
    )
    return over(coloured(np.array(image), palette.ink), out)


def rule(item: Item, palette: Palette) -> Pixels:
    """The short bar under the title, graded from the second to the third light."""
    width, height = round(item.box.width), round(item.box.height)
    return coloured(rounded(width, height, height / 2), graded(width, height, palette.glows[1], palette.glows[2]))


def rounded(width: int, height: int, radius: float, inset: float = 0.0) -> Pixels:
    """The mask of a rectangle with round corners, antialiased; `inset` px smaller on every side."""
    big = Image.new("L", (width * 2, height * 2))
    edge = inset * 2
    area = (edge, edge, width * 2 - 1 - edge, height * 2 - 1 - edge)
    ImageDraw.Draw(big).rounded_rectangle(area, max(0.0, (radius - inset) * 2), fill=255)
    return cv2.resize(np.asarray(big), (width, height), interpolation=cv2.INTER_AREA)


def graded(width: int, height: int, start: RGB, end: RGB) -> Pixels:
    """Colours that run from the top left to the bottom right corner, uint8 RGB."""
    ramp = np.linspace(0, 1, 33, dtype=np.float32)
    t = ((ramp[None, :] + ramp[:, None]) / 2)[..., None]
    small = np.array(start, np.float32) * (1 - t) + np.array(end, np.float32) * t
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def mixed(one: RGB, other: RGB, share: float) -> RGB:
    """The first colour with a share of the other."""
    r, g, b = (round(p + (q - p) * share) for p, q in zip(one, other, strict=True))
    return r, g, b


def coloured(mask: Pixels, colours: Pixels | RGB) -> Pixels:
    """A mask filled with one colour or with a picture of colours: premultiplied RGBA."""
    if isinstance(colours, tuple):
        planes = [cv2.convertScaleAbs(mask, alpha=value / 255) for value in colours]
        return cv2.merge([*planes, mask])
    dimmed = cv2.multiply(np.ascontiguousarray(colours), cv2.merge([mask] * 3), scale=1 / 255)
    return cv2.merge([*cv2.split(dimmed), mask])


def over(top: Pixels, bottom: Pixels) -> Pixels:
    """One premultiplied sheet on another of the same size."""
    clear = cv2.merge([cv2.bitwise_not(np.ascontiguousarray(top[..., 3]))] * 4)
    return cv2.add(top, cv2.multiply(np.ascontiguousarray(bottom), clear, scale=1 / 255))


def shadowed(
    sheet_: Pixels,
    shade: RGB,
    sigma: float,
    down: float,
    strength: float,
    *,
    cast: Pixels | None = None,
    grow: bool = True,
) -> Pixels:
    """The sheet on its own soft shadow, larger on all sides alike (unless its margin is there already: grow False).

    cast: what casts the shadow, when that is more than the sheet's own alpha; the sheet itself then stays clear.
    """
    pad = round(2.2 * sigma + down) if grow else 0
    padded = cv2.copyMakeBorder(sheet_, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    alpha = padded[..., 3] if cast is None else cv2.copyMakeBorder(cast, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    height, width = alpha.shape
    small = cv2.resize(alpha, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, sigma / 4))
    shift = np.array([[1, 0, 0], [0, 1, -down / 4]], np.float64)
    small = cv2.warpAffine(small, shift, small.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    shadow = cv2.convertScaleAbs(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), alpha=strength)
    return over(padded, coloured(shadow, shade))


def turned(sheet_: Pixels, tilt: float) -> Pixels:
    """The sheet turned by `tilt` degrees clockwise, on a sheet large enough."""
    height, width = sheet_.shape[:2]
    pad = round(abs(np.sin(np.radians(tilt))) * max(width, height) / 2) + 2
    padded = cv2.copyMakeBorder(sheet_, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    centre = ((padded.shape[1] - 1) / 2, (padded.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, -tilt, 1.0)
    return cv2.warpAffine(padded, matrix, (padded.shape[1], padded.shape[0]), flags=cv2.INTER_CUBIC)


def _falling(width: int, height: int) -> Pixels:
    """1 at the top left corner, 0 at the bottom right, float32."""
    x = np.linspace(0.5, 0, width, dtype=np.float32)
    y = np.linspace(0.5, 0, height, dtype=np.float32)
    result: Pixels = y[:, None] + x[None, :]
    return result

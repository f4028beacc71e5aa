"""What people bring for a scene in place of what an engine would make: their picture, their film, their voice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from core.documents import SAMPLE_RATE, SAMPLES_PER_FRAME, Canvas
from core.engine_ports import Brought, FootageBrief, Notes, PictureBrief, Report, Voice, VoiceBrief
from core.engines.narration import clean, tokens
from core.errors import EngineError
from core.media import brought as media
from core.media.polish import polish
from core.media.speech import Mark, Sound, audible, shape, write_wav

LARGEST_PICTURE = 60_000_000  # px
_DENSITY = 1.25  # a picture is kept larger than the canvas, as the camera nears
_CUT_AT_MOST = 0.4  # share of a picture that may be cut off to cover the canvas
_ROOM = 0.88  # of the canvas for a picture that is shown whole, so that the camera never cuts it
_BLOCKS_PER_SECOND = 200  # of `speech.audible`


@contextmanager
def _fetched(file: Brought, beside: Path) -> Iterator[Path]:
    """The file here, for as long as it is read; what is wrong with it is said with its name."""
    path = beside.with_name(f"{beside.name}.brought")
    try:
        file.fetch(path)
        yield path
    except EngineError as error:
        if not error.code.startswith("bad_"):
            raise
        raise EngineError(f"{file.said} {error.sentence}.", code=error.code) from error
    finally:
        path.unlink(missing_ok=True)


# ---- pictures


class OwnPicture:
    """PictureEngine that shows a person's picture: the whole canvas, cut a little or on its own blurred ground."""

    id = "own-picture"
    suffix = ".png"

    def __init__(self, file: Brought) -> None:
        self._file = file
        self.version = f"1-{file.mark}"

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write it as PNG. Facts: width, height (px, as it came). Raises EngineError, code bad_picture."""
        with _fetched(self._file, out) as path:
            picture = _opened(path)
        report(0.5)
        _on_canvas(picture, brief.canvas).save(out, compress_level=1)
        return {"width": picture.width, "height": picture.height}


def _opened(path: Path) -> Image.Image:
    """A picture as a person sees it: upright, in RGB, on white where it is transparent."""
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > LARGEST_PICTURE:
                said = f"is too large: {image.width} x {image.height} px"
                raise EngineError(
                    f"{said}, at most {LARGEST_PICTURE // 10**6} million are possible", code="bad_picture"
                )
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise EngineError("is far too large", code="bad_picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise EngineError("cannot be read as a JPEG, PNG or WebP", code="bad_picture") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey
        image = Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    ground = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(ground, seen).convert("RGB")


def _on_canvas(picture: Image.Image, canvas: Canvas) -> Image.Image:
    """The picture in the shape of the canvas."""
    size = (round(canvas.width * _DENSITY), round(canvas.height * _DENSITY))
    across, down = size[0] / picture.width, size[1] / picture.height
    cover = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    if 1 - min(across, down) / max(across, down) <= _CUT_AT_MOST:
        return cover
    ground = ImageEnhance.Brightness(cover.filter(ImageFilter.GaussianBlur(min(size) / 18))).enhance(0.55)
    scale = min(across, down) * _ROOM
    whole = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    ground.paste(
        picture.resize(whole, Image.Resampling.LANCZOS), ((size[0] - whole[0]) // 2, (size[1] - whole[1]) // 2)
    )
    return ground


# ---- films


class OwnClip:
    """FootageEngine that shows a person's film; where it is too short it begins again."""

    id = "own-clip"
    version = "1"
    holds = False

    def __init__(self, file: Brought) -> None:
        self._file = file

    def wants(self, brief: FootageBrief) -> Mapping[str, Any]:  # noqa: ARG002
        """Nothing of the brief: it is what it is."""
        return {"mark": self._file.mark}

    def shoot(self, brief: FootageBrief, out: Path, notes: Notes, report: Report) -> Mapping[str, Any]:  # noqa: ARG002
        """Bring it here. Raises EngineError, code bad_clip."""
        with _fetched(self._file, out) as path:
            report(0.5)
            media.check_film(path)
            path.replace(out)
        return {}


# ---- voices


class OwnVoice:
    """VoiceEngine that plays a person's recording, as loud as any voice; its words are timed by their letters."""

    id = "own-audio"

    def __init__(self, file: Brought) -> None:
        self._file = file
        self.version = f"1-{file.mark}"

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write it as a narration; without a text it has no words. Raises EngineError, code bad_audio."""
        with _fetched(self._file, out) as path:
            heard = media.sound(path)
            if not audible(heard).any():
                raise EngineError("is silent", code="bad_audio")
            heard = polish(heard, SAMPLE_RATE)
            texts = tokens(clean(brief.text))
            sound, words = shape(heard, _marks(texts or [""], heard), brief.lead, brief.tail)
        write_wav(out, sound)
        return Voice(out, sound.size // SAMPLES_PER_FRAME, words if texts else ())


def _marks(texts: list[str], sound: Sound) -> list[Mark]:
    """When each token begins if all take their share, by letters, of what is not silent."""
    heard = np.flatnonzero(audible(sound))
    weights = [sum(c.isalnum() for c in text) for text in texts]
    before = list(accumulate(weights, initial=0))[:-1]
    places = [min(int(heard.size * share / max(1, sum(weights))), heard.size - 1) for share in before]
    return [Mark(text, float(heard[place]) / _BLOCKS_PER_SECOND) for text, place in zip(texts, places, strict=True)]

"""Captions from the words of a voice: ASS with the spoken word highlighted for clips, SubRip and WebVTT for films.

Pure: words and a canvas in, text out. Texts of other people are data here; nothing in them can act as markup.
ASS as libass reads it (override tags, BorderStyle 4); WebVTT by the W3C; SubRip in its common form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.cues import GROWN, SIDE_MARGIN, Cue, font_size, grouped, joined, line_em, scale_of, subtitles
from core.documents import Canvas
from core.engine_ports import Word

FONT = "Inter ExtraBold"
YELLOW = "&H0000E5FF"  # of the spoken word; ASS writes alpha, blue, green, red
_WHITE, _INK, _GLASS = "&H00FFFFFF", "&H00101010", "&H60101010"
_BRIDGE = 0.15  # seconds between two words over which the highlight stays


@dataclass(frozen=True, slots=True)
class _Style:
    """How one caption style draws a cue."""

    outline: float = 0.055  # of the font size
    shadow: float = 0.022
    border: int = 1  # ASS BorderStyle; 4 is libass's box around the whole event
    back: str = "&H80000000"
    by_word: bool = True  # one event per spoken word
    grown: float = 1.0
    sweep: bool = False  # colour runs through the cue
    single: bool = False  # one word at a time
    scale: float = 1.0  # of the font size


_STYLES = {
    "highlight": _Style(grown=GROWN),
    "plain": _Style(by_word=False),
    "box": _Style(outline=0, shadow=0.16, border=4, back=_GLASS, scale=0.86),
    "karaoke": _Style(by_word=False, sweep=True),
    "pop": _Style(single=True, scale=1.3),
}
_STYLE_FORMAT = (
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
    "MarginR, MarginV, Encoding"
)
CAPTION_STYLES: tuple[str, ...] = tuple(_STYLES)


# ---- ASS


def escape_ass(text: str) -> str:
    """Text of one line that libass shows as it stands, without any override code."""
    return text.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}")


def ass(words: Sequence[Word], canvas: Canvas, *, style: str, language: str) -> str:
    """The ASS text of one clip; `words` in the clip's time, `style` one of CAPTION_STYLES.

    Every glyph stands inside `canvas.caption_band`.
    """
    look = _STYLES[style]
    size = font_size(canvas) * look.scale
    top, bottom = canvas.caption_band
    place = f"\\an5\\pos({canvas.width / 2:g},{(top + bottom) / 2:g})"
    margin = round(canvas.width * SIDE_MARGIN)
    colours = f"{YELLOW if look.sweep else _WHITE},{_WHITE},{_INK},{look.back}"
    edge = f"{look.border},{size * look.outline:.2f},{size * look.shadow:.2f}"
    header = (
        "[Script Info]",
        "ScriptType: v4.00+",
        f"PlayResX: {canvas.width}",
        f"PlayResY: {canvas.height}",
        "WrapStyle: 2",
        "ScaledBorderAndShadow: yes",
        "YCbCr Matrix: TV.709",
        f"Language: {re.sub('[^A-Za-z0-9-]', '', language)[:20]}",
        "",
        "[V4+ Styles]",
        _STYLE_FORMAT,
        # bold, so that fonts standing in for missing letters are; last, encoding -1: the text tells its direction
        f"Style: Caption,{FONT},{size:.2f},{colours},-1,0,0,0,100,100,0,0,{edge},5,{margin},{margin},0,-1",
        "",
        "[Events]",
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
    )
    widest = line_em(canvas, size)
    most = 1.0 if look.single else 6.0 if canvas.width > canvas.height else 4.0
    events = [
        f"Dialogue: 0,{_ass_time(start)},{_ass_time(end)},Caption,,0,0,0,,{{{place}{_sized(scale)}}}{text}"
        for cue in grouped(words, widest, most)
        for scale in [scale_of(cue, widest)]
        for start, end, text in _events(cue, look, scale)
        if _ass_time(start) != _ass_time(end)
    ]
    return "\n".join([*header, *events]) + "\n"


def _sized(scale: float) -> str:
    """The override that sets text at `scale` of the style's size."""
    return f"\\fscx{scale * 100:.0f}\\fscy{scale * 100:.0f}"


def _events(cue: Cue, look: _Style, scale: float) -> list[tuple[float, float, str]]:
    """(start, end, text) of everything a cue shows, without gaps."""
    if look.sweep:
        return [(cue.start, cue.end, _text(cue, _sweep(cue)))]
    if not look.by_word:
        return [(cue.start, cue.end, _text(cue, {}))]
    if look.single:
        return [(cue.start, cue.end, f"{{{_sized(scale * 0.78)}\\t(0,90,{_sized(scale)})}}" + _text(cue, {}))]
    on, off = f"{{\\1c&H{YELLOW[4:]}&{_sized(scale * look.grown)}}}", f"{{\\1c&HFFFFFF&{_sized(scale)}}}"
    spoken = [piece for line in cue.lines for piece in line if piece.spoken]
    events: list[tuple[float, float, str]] = []
    for i, piece in enumerate(spoken):
        following = spoken[i + 1].start if i + 1 < len(spoken) else cue.end
        end = following if following - piece.end <= _BRIDGE else piece.end
        events.append((piece.start, end, _text(cue, {id(piece): (on, off)})))
        if end < following:
            events.append((end, following, _text(cue, {})))
    return events


def _sweep(cue: Cue) -> dict[int, tuple[str, str]]:
    """Karaoke tags: each word fills while it is spoken, hundredths of a second from the cue's begin."""
    marks: dict[int, tuple[str, str]] = {}
    at = round(cue.start * 100)
    for piece in (piece for line in cue.lines for piece in line):
        wait, end = round(piece.start * 100) - at, round(piece.end * 100)
        still = f"\\k{wait}" if wait > 0 else ""
        marks[id(piece)] = (f"{{{still}\\kf{max(0, end - round(piece.start * 100))}}}", "")
        at = max(at, end)
    return marks


def _text(cue: Cue, marks: dict[int, tuple[str, str]]) -> str:
    """The cue as ASS text; `marks`: tags before and after a piece, by its identity."""
    lines = []
    for line in cue.lines:
        shown = ""
        for i, piece in enumerate(line):
            before, after = marks.get(id(piece), ("", ""))
            shown += ("" if i == 0 or piece.glued else " ") + before + escape_ass(piece.text) + after
        lines.append(shown)
    return "\\N".join(lines)


def _ass_time(seconds: float) -> str:
    hundredths = max(0, round(seconds * 100))
    return f"{hundredths // 360_000}:{hundredths // 6000 % 60:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"


def srt(scenes: Sequence[Sequence[Word]]) -> str:
    """SubRip of the whole film; `scenes`: the words of each in the film's time. Markup in the words is defused."""
    blocks = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + "\n".join(re.sub(r"([<{])(?=\S)", "\\1\u2060", joined(line)) for line in cue.lines)
        for number, cue in enumerate(subtitles(scenes), 1)
    ]
    return "\n\n".join(blocks) + "\n"


def vtt(scenes: Sequence[Sequence[Word]]) -> str:
    """WebVTT of the whole film; `scenes`: the words of each in the film's time. Markup in the words is escaped."""
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + "\n".join(joined(line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in cue.lines)
        for cue in subtitles(scenes)
    ]
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def _clock(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    hours, rest = divmod(milliseconds, 3_600_000)
    return f"{hours:02}:{rest // 60_000:02}:{rest // 1000 % 60:02}{point}{rest % 1000:03}"

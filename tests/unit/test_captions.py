"""Captions: grouped as people read, timed as the voice speaks, and never more than text."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.captions import CAPTION_STYLES, ass, escape_ass, srt, vtt
from core.cues import grouped, subtitles
from core.documents import Canvas
from core.engine_ports import Word

CANVAS = Canvas.of("9:16", 1080)
TEXT = (
    "Honeybees dance to tell their sisters where the flowers are. Why? Dr. Frisch read this language in 1944, "
    "and people laughed — at first. Today we know that a single bee can remember faces and count to four."
)


def spoken(text: str, speed: float = 1.0, at: float = 0.35) -> list[Word]:
    """Words as a voice would time them: by letters, with a pause after each sentence; a dash takes no time."""
    words = []
    for token in text.split():
        length = (0.1 + 0.06 * len(token)) / speed if any(c.isalnum() for c in token) else 0.0
        words.append(Word(token, round(at, 4), round(at + length, 4)))
        at += length + (0.35 / speed if token[-1] in ".?!" and token != "Dr." else 0.0)
    return words


def dialogues(text: str) -> list[tuple[float, float, str]]:
    """(start, end, text) of every event."""
    found = re.findall(
        r"^Dialogue: 0,(\d+):(\d\d):(\d\d\.\d\d),(\d+):(\d\d):(\d\d\.\d\d),Caption,,0,0,0,,(.*)$", text, re.M
    )
    return [
        (int(a) * 3600 + int(b) * 60 + float(c), int(d) * 3600 + int(e) * 60 + float(f), said)
        for a, b, c, d, e, f, said in found
    ]


def as_libass_reads(text: str) -> tuple[str, list[str]]:
    """(what is shown, the override blocks) by libass's rules: ``\\{`` and ``\\}`` are braces, ``\\N`` ends a line."""
    shown, blocks, i = "", [], 0
    while i < len(text):
        if text[i] == "\\" and text[i + 1 : i + 2] in ("{", "}"):
            shown, i = shown + text[i + 1], i + 2
        elif text[i] == "\\" and text[i + 1 : i + 2] in ("N", "n", "h"):
            shown, i = shown + "\n", i + 2
        elif text[i] == "{" and "}" in text[i:]:
            end = text.index("}", i)
            blocks.append(text[i + 1 : end])
            i = end + 1
        else:
            shown, i = shown + text[i], i + 1
    return shown, blocks


# mostly the characters that mean something in one of the formats
risky = st.sampled_from("\\{}Nnhkb01&<>/-;,:\n") | st.characters(exclude_categories=["Cs"])
timed_words = st.lists(
    st.tuples(st.text(risky, min_size=1, max_size=30), st.floats(0, 1.5), st.floats(0, 1.2)), min_size=1, max_size=25
)


def laid_out(raw: list[tuple[str, float, float]]) -> list[Word]:
    """Words one after the other from drawn texts, lengths and pauses."""
    words, at = [], 0.35
    for text, length, pause in raw:
        words.append(Word(text, at, at + length))
        at += length + pause
    return words


@given(timed_words, st.sampled_from(CAPTION_STYLES), st.sampled_from(["9:16", "16:9", "1:1"]))
@example([("\u200b", 0.0, 0.0)], "highlight", "9:16")
@example([("W" * 40 + "\u200b" * 400, 1.0, 0.0)], "plain", "9:16")
def test_no_text_can_act_as_ass_override_code(raw: list[tuple[str, float, float]], style: str, aspect: str) -> None:
    made = ass(laid_out(raw), Canvas.of(aspect, 720), style=style, language="en")
    header, _, events = made.partition("[Events]\n")
    assert "Dialogue" not in header
    lines = events.split("\n")[1:-1]
    assert len(dialogues(made)) == len(lines), "an event was broken over lines"
    ours = re.compile(
        r"(?:\\(?:an5|pos\([\d.]+,[\d.]+\)|1c&H[0-9A-F]{6}&|fsc[xy]\d+|kf?\d+|t\(0,90,(?:\\fsc[xy]\d+)+\)))*"
    )
    for _, _, said in dialogues(made):
        shown, blocks = as_libass_reads(said)
        assert all(ours.fullmatch(block) for block in blocks), said
        assert shown.count("\n") <= 1, said


@given(st.text(risky.filter(lambda c: unicodedata.category(c) not in {"Cc", "Zl", "Zp"})))
def test_escaped_text_is_shown_as_it_was_written(text: str) -> None:
    shown, blocks = as_libass_reads(escape_ass(text))
    assert not blocks
    assert shown.replace("\u2060", "") == text.replace("\u2060", "")


@given(timed_words, st.sampled_from(CAPTION_STYLES))
def test_captions_never_overlap_and_never_run_backwards(raw: list[tuple[str, float, float]], style: str) -> None:
    events = dialogues(ass(laid_out(raw), CANVAS, style=style, language="en"))
    for (start, end, _), (following, _, _) in itertools.pairwise(events):
        assert start < end <= following + 1e-6


def test_each_word_is_highlighted_from_its_own_first_moment_to_its_last() -> None:
    words = spoken(TEXT)
    lit = [
        (start, end, match[1])
        for start, end, said in dialogues(ass(words, CANVAS, style="highlight", language="en"))
        if (match := re.search(r"\\1c&H00E5FF&[^}]*\}([^{]+)\{", said))
    ]
    heard = [word for word in words if word.end > word.start]
    assert [text for _, _, text in lit] == [word.text for word in heard]
    for (start, end, _), word in zip(lit, heard, strict=True):
        assert start == pytest.approx(word.start, abs=0.006)
        assert word.end - 0.006 <= end <= word.end + 0.16


def test_captions_hold_four_words_at_most_and_stop_at_sentence_ends() -> None:
    for cue in grouped(spoken(TEXT), 18.0, 4.0):
        texts = [piece.text for line in cue.lines for piece in line]
        assert len([t for t in texts if any(c.isalnum() for c in t)]) <= 4
        assert not any(t.endswith((".", "?")) and t != "Dr." for t in texts[:-1]), texts
        assert texts[0] != "—"


def test_captions_do_not_blink_in_short_pauses_and_leave_long_ones_empty() -> None:
    words = [Word("one.", 0.0, 0.4), Word("two.", 1.2, 1.6), Word("three.", 4.0, 4.4)]
    first, second, third = grouped(words, 18.0, 4.0)
    assert first.end == second.start
    assert second.end == pytest.approx(1.85)
    assert third.start == 4.0


def test_a_word_too_long_for_any_line_is_cut_and_loses_no_letter() -> None:
    word = "Rindfleischetikettierungsueberwachungsaufgabenuebertragungsgesetz" * 3
    shown = ""
    for _, _, said in dialogues(ass([Word(word, 1.0, 4.0)], CANVAS, style="plain", language="de")):
        shown += as_libass_reads(said)[0].replace("\n", "")
    assert shown == word


def test_text_without_spaces_gets_none() -> None:
    words = [Word(c, i * 0.3, i * 0.3 + 0.3) for i, c in enumerate("今天天气很好")]
    (event,) = dialogues(ass(words, CANVAS, style="plain", language="zh"))
    assert as_libass_reads(event[2])[0].replace("\n", "") == "今天天气很好"


def cues_of(text: str) -> list[tuple[float, float, list[str]]]:
    """Parse SubRip or WebVTT by their common form."""
    blocks = re.findall(r"(\d\d):(\d\d):(\d\d)[,.](\d{3}) --> (\d\d):(\d\d):(\d\d)[,.](\d{3})\n((?:[^\n]+\n?)+)", text)
    return [
        (
            int(b[0]) * 3600 + int(b[1]) * 60 + int(b[2]) + int(b[3]) / 1000,
            int(b[4]) * 3600 + int(b[5]) * 60 + int(b[6]) + int(b[7]) / 1000,
            b[8].strip("\n").split("\n"),
        )
        for b in blocks
    ]


@pytest.mark.parametrize("write", [srt, vtt])
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_subtitles_hold_every_word_at_its_time(write: object, speed: float) -> None:
    scenes = [spoken(TEXT, speed), spoken(TEXT, speed, at=100.0)]
    cues = cues_of(write(scenes))  # type: ignore[operator]
    words = iter(word for scene in scenes for word in scene)
    for start, end, lines in cues:
        shown = [next(words) for _ in " ".join(lines).split()]
        assert " ".join(lines).split() == [word.text for word in shown]
        assert abs(start - shown[0].start) < 0.002
        assert end >= shown[-1].end - 0.002
    assert next(words, None) is None


def test_subtitles_have_at_most_two_lines_of_forty_two_characters_and_never_overlap() -> None:
    cues = cues_of(srt([spoken(TEXT)]))
    assert all(len(lines) <= 2 and all(len(line) <= 42 for line in lines) for _, _, lines in cues)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(cues))
    assert all(end - start >= 0.9 for start, end, _ in cues)


def test_a_subtitle_stays_long_enough_to_be_read_when_silence_follows() -> None:
    words = [Word(w, 0.1 * i, 0.1 * i + 0.1) for i, w in enumerate("seven words said in hardly any time".split())]
    (cue,) = subtitles([words])
    assert cue.end - cue.start == pytest.approx(35 / 17, abs=0.01)


@given(timed_words)
def test_no_text_can_act_as_markup_in_subtitles(raw: list[tuple[str, float, float]]) -> None:
    words = laid_out(raw)
    web, rip = vtt([words]), srt([words])
    body = "\n".join(line for _, _, lines in cues_of(web) for line in lines)
    assert "<" not in body
    assert ">" not in body
    assert all(line.strip() or not line for line in web.split("\n"))
    assert len(re.findall(r" --> ", web)) == len(cues_of(web))
    assert not re.search(r"<[A-Za-z/]|\{\\", "\n".join(line for _, _, lines in cues_of(rip) for line in lines))

"""Speaks one text with the espeak-ng library in a process of its own: the library is one global, and not thread-safe.

Started as a program with the paths of the library and of its data. Reads one JSON object on standard input, writes
one line of JSON and then raw sound (mono, 16 bit, native byte order) on standard output. A fresh process for each
text makes the sound repeatable byte by byte. Uses the standard library alone, so it starts at once.
Protocol of the library: espeak-ng 1.52, speak_lib.h.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: sound comes through the callback, no device is opened
_UTF8 = 1  # espeakCHARS_UTF8, and no other flag: neither SSML nor phoneme codes are obeyed
_BY_CHARACTER = 1  # POS_CHARACTER
_RATE, _RANGE = 1, 4  # espeakRATE in words per minute, espeakRANGE of the pitch
_LIST_END, _WORD, _END = 0, 1, 5  # espeakEVENT_LIST_TERMINATED, _WORD, _END


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def _languages(pointer: int) -> list[tuple[int, str]]:
    """Read (priority, code) pairs: a byte, then a string, ended by a zero byte."""
    found: list[tuple[int, str]] = []
    while priority := ctypes.string_at(pointer, 1)[0]:
        code = ctypes.string_at(pointer + 1)
        found.append((priority, code.decode("latin-1")))
        pointer += 2 + len(code)
    return found


def list_voices(library: ctypes.CDLL) -> list[dict[str, Any]]:
    """Every voice of the library: identifier, name, languages with their priorities (lower is better)."""
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    listed = library.espeak_ListVoices(None)
    voices: list[dict[str, Any]] = []
    for pointer in listed:
        if not pointer:
            break
        voice = pointer.contents
        voices.append(
            {
                "id": voice.identifier.decode("utf-8", "replace"),
                "name": voice.name.decode("utf-8", "replace").strip(),
                "languages": _languages(voice.languages),
            }
        )
    return voices


def speak(library: ctypes.CDLL, text: str, voice: str, words_per_minute: int, pitch_range: int) -> dict[str, Any]:
    """Say the text. Returns the sound and the events (type, character from 0, milliseconds)."""
    sound = bytearray()
    events: list[tuple[int, int, int]] = []

    def hear(wav: Any, count: int, event: Any) -> int:
        if wav and count > 0:
            sound.extend(ctypes.string_at(wav, count * 2))
        for i in range(1_000_000):
            seen = event[i]
            if seen.type == _LIST_END:
                break
            if seen.type in (_WORD, _END):
                events.append((seen.type, seen.text_position - 1, seen.audio_position))
        return 0

    callback = _CALLBACK(hear)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise SystemExit(f"espeak-ng does not know the voice {voice}")
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    library.espeak_SetParameter(_RANGE, pitch_range, 0)
    raw = text.encode("utf-8") + b"\0"
    size, nothing = ctypes.c_size_t(len(raw)), ctypes.c_void_p(None)
    status = library.espeak_Synth(raw, size, 0, _BY_CHARACTER, 0, _UTF8, nothing, nothing)
    if status != 0:
        raise SystemExit(f"espeak-ng refused the text with status {status}")
    library.espeak_Synchronize()
    return {"sound": bytes(sound), "events": events}


def main() -> None:
    """Answer the one question on standard input."""
    library_path, data_path = sys.argv[1:3]
    order = json.load(sys.stdin.buffer)
    library = ctypes.CDLL(library_path)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), 0)
    if rate <= 0:
        raise SystemExit(f"espeak-ng could not read its data in {data_path}")
    if "text" not in order:
        answer: dict[str, Any] = {"voices": list_voices(library), "sound": b""}
    else:
        answer = speak(library, order["text"], order["voice"], order["words_per_minute"], order["pitch_range"])
    sound = answer.pop("sound")
    sys.stdout.buffer.write(json.dumps({"rate": rate, **answer}).encode() + b"\n" + sound)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

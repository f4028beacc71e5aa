"""Takes the files that a program left, as one takes things from a stranger: by name, type and size, never by a link."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from core.sandbox.limits import Limits

_DEPTH = 8  # folders within folders
_NAME = 100  # characters
_TOLD = 100  # files left behind that are named
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def safe_name(name: str) -> str:
    """A name that means nothing to a shell, a file system or a person: letters, digits, dot, dash, underscore."""
    return _UNSAFE.sub("_", name)[:_NAME].lstrip(".-") or "_"


def collect(folder: Path, out: Path, limits: Limits, keep: Sequence[str] = ("*",)) -> tuple[list[str], dict[str, str]]:
    """Copy plain files from `folder` into `out`, which is made; the program that left them must be gone.

    keep: patterns of `fnmatch` for the paths wanted; others are not spoken of. limits: kept_files, kept_bytes,
    file_bytes. Returns the paths in `out`, and what was left behind with the reason.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken: list[str] = []
    left: dict[str, str] = {}
    size = 0
    for parent, name, path, reason in _found(folder):
        if not any(fnmatch(path, pattern) for pattern in keep):
            continue
        why = reason or ("its name is taken" if path in taken else "")
        why = why or ("there are too many" if len(taken) >= limits.kept_files else "")
        if not why:
            done = _copied(parent, name, out / path, min(limits.file_bytes, limits.kept_bytes - size))
            if isinstance(done, int):
                size += done
                taken.append(path)
                continue
            why = done
        if len(left) < _TOLD:
            left[path] = why
    return taken, left


def _found(folder: Path) -> Iterator[tuple[int, str, str, str]]:
    """Of every entry: the open folder, its name there, its safe path, and why it cannot be taken ("" if it can)."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield from _within(top, "", 0)
    finally:
        os.close(top)


def _within(parent: int, above: str, depth: int) -> Iterator[tuple[int, str, str, str]]:
    for name in sorted(os.listdir(parent)):
        path = above + safe_name(name)
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            yield parent, name, path, ""
        elif not stat.S_ISDIR(mode):
            yield parent, name, path, "it is no plain file"
        elif depth >= _DEPTH:
            yield parent, name, path, "it lies too deep"
        else:
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            except PermissionError:
                yield parent, name, path, "it cannot be read"
                continue
            try:
                yield from _within(inner, f"{path}/", depth + 1)
            finally:
                os.close(inner)


def _copied(parent: int, name: str, target: Path, most: int) -> int | str:
    """Bytes copied, or why nothing was."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return "it cannot be read"
    with os.fdopen(opened, "rb") as source:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
            return "it has a second name"
        if about.st_size > most:
            return "it is too large"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copy:
            shutil.copyfileobj(source, copy)
    return about.st_size

"""Which builds may share a virtual environment: those whose commands only install the same packages."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

_INSTALLERS = (["pip", "install"], ["pip3", "install"], ["python", "-m", "pip", "install"],
               ["python3", "-m", "pip", "install"])  # fmt: skip
_FLAGS = frozenset(
    ("--no-cache-dir", "--quiet", "-q", "--upgrade", "-U", "--no-deps", "--require-hashes", "--prefer-binary",
     "--no-input", "--disable-pip-version-check")
)  # fmt: skip
_FILE_OPTIONS = re.compile(r"^(?:-r|-c|--requirement|--constraint)(?:=|\s+|(?=[^-\s]))(.+)$")
_FILE_WORDS = frozenset(("-r", "-c", "--requirement", "--constraint"))
_SHELL = re.compile(r"[$`()|<>*?\[\]{}~!\\#]")  # what a shell would make something else of
_PACKAGE = re.compile(r"^[A-Za-z0-9][\w.,=<>!~\[\]-]*$")
_LOCAL = re.compile(r"^\.|^-e|^--editable|^/|^.*file:|^[^@;]*/")


def key_of(commands: str, folder: Path) -> str | None:
    """The key under which what the commands install may be found again, or None where they do more than install.

    It covers the interpreter, the commands, and the text of every requirements file they name, below `folder`.
    """
    files: dict[str, str] = {}
    try:
        for word in _requirements_of(commands):
            _read(folder.resolve(), word, files)
    except (ValueError, OSError):
        return None
    whole = json.dumps([sys.version, sys.base_prefix, commands.split(), files], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _requirements_of(commands: str) -> Iterator[str]:
    """The requirements files that the commands name. Raises ValueError where a command is no plain installation."""
    for command in re.split(r"&&|;|\n", commands):
        if command.strip():
            if _SHELL.search(command) or "&" in command:
                raise ValueError("more than words")
            yield from _requirements_of_one(shlex.split(command))


def _requirements_of_one(words: list[str]) -> Iterator[str]:
    installer = next((each for each in _INSTALLERS if words[: len(each)] == each), None)
    if installer is None:
        raise ValueError("no installation")
    rest = iter(words[len(installer) :])
    for word in rest:
        if word in _FILE_WORDS:
            yield next(rest, "")
        elif match := _FILE_OPTIONS.match(word):
            yield match[1]
        elif word not in _FLAGS and not _PACKAGE.match(word):
            raise ValueError("an option or a place whose effect is not known")


def _read(folder: Path, name: str, files: dict[str, str]) -> None:
    """Adds a requirements file and those it includes. Raises ValueError, OSError."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or len(files) > 20:
        raise ValueError("outside")
    if (known := path.relative_to(folder).as_posix()) in files:
        return
    files[known] = path.read_text()
    for line in files[known].replace("\\\n", " ").splitlines():
        text = line.partition(" #")[0].strip()
        if match := _FILE_OPTIONS.match(text):
            _read(folder, str((path.parent / match[1]).relative_to(folder)), files)
        elif not text.startswith("#") and _LOCAL.match(text):
            raise ValueError("a package of this archive")

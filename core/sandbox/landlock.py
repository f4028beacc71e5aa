"""Landlock: which files a process may read and change from now on (Linux, `userspace-api/landlock.rst`)."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable

LEAST_ABI = 3  # below it, files outside can be emptied
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # of every architecture
_READ = 1 << 2 | 1 << 3  # files, folders; not 1 << 0: nothing is executed
_OF_FILES = 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # rights that can be given on what is no folder
_PATH_BENEATH = 1
_SCOPES = 3  # abstract UNIX sockets, signals


def abi() -> int:
    """The version of Landlock that this kernel has; 0: none."""
    if not sys.platform.startswith("linux"):
        return 0
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, int(found))


def restrict(read: Iterable[str], write: Iterable[str]) -> None:
    """Shut this thread, and every one that it starts, out of all files but these; never to be undone.

    read: files and folders to read; those that are not there are passed over. write: files and folders for everything
    but executing. Needs PR_SET_NO_NEW_PRIVS. TCP, other processes' signals and abstract sockets are shut as far as the
    kernel's version knows them. Raises OSError.
    """
    version = abi()
    if version < LEAST_ABI:
        raise OSError(f"Landlock's ABI is {version}; at least {LEAST_ABI} is needed")
    rights = (1 << 15) - 1 if version < 5 else (1 << 16) - 1
    attribute = struct.pack("=Q", rights)
    if version >= 4:
        attribute += struct.pack("=Q", 3)
    if version >= 6:
        attribute += struct.pack("=Q", _SCOPES)
    ruleset = _call(_CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint32(0))
    try:
        for path in read:
            _allow(ruleset, path, _READ)
        for path in write:
            _allow(ruleset, path, rights & ~1)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, opened)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(opened)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result

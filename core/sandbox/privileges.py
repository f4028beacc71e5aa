"""Gives up what a process may do beyond others: its user, its capabilities, and every way to gain new ones."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

NOBODY = 65534  # the user and the group that own nothing, on every Linux
_PDEATHSIG, _DUMPABLE, _KEEPCAPS, _NO_NEW_PRIVS = 1, 4, 8, 38  # of prctl
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_READ_SEARCH = 1 << 2


def reachable(paths: Iterable[str]) -> bool:
    """Whether any user may come to these paths: all folders above them may be passed by everybody."""
    above = {parent for path in paths for parent in Path(path).resolve().parents}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above if folder.exists())


def become_nobody(search: bool) -> None:
    """Turn from root into the user who owns nothing.

    search: keep the one capability to pass and read what file modes hide, where Python itself lies in a hidden folder
    (root's home); Landlock decides what can be read all the same. Raises OSError.
    """
    _prctl(_KEEPCAPS, int(search))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kept = _DAC_READ_SEARCH if search else 0
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if _libc().capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(_DUMPABLE, 1)  # else /proc/self belongs to root, and cannot be read


def give_up(parent: int) -> None:
    """Never gain privileges again, and die with the parent, even if it is dead already. Raises OSError."""
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the parent is gone")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    words = (ctypes.c_ulong(value), *(ctypes.c_ulong(0) for _ in range(3)))
    if _libc().prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")

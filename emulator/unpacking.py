"""Unpacks the archive of a deployment in a process of its own, trusting nothing that it says.

Started by path (`python -I -S unpacking.py ARCHIVE FOLDER`), so it uses the standard library only. A failure is one
sentence on standard output and exit status 1.
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import sys
import tarfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO

BYTES_MAX = 500_000_000  # unpacked; a function's code with everything it brings along is a tenth of it
MEMBERS_MAX = 50_000
NAME_MAX = 1_000  # characters of a path; far from where the system's own limits begin to cut
MEMORY_BYTES = 1024**3  # a header alone may claim to be as long as the whole archive
_COPY_BYTES = 1024 * 1024


class Refused(Exception):
    """What is wrong with the archive, as a sentence."""


def parts_of(name: str) -> tuple[str, ...]:
    """The segments of a member's name; none for the root itself. Raises Refused for a name that may lead out."""
    path = PurePosixPath(name)
    if path.is_absolute():
        raise Refused(f"The archive names an absolute path: {name!r}.")
    if ".." in path.parts:
        raise Refused(f"The archive names a path that leads out of it: {name!r}.")
    if len(name) > NAME_MAX or "\0" in name:
        raise Refused(f"The archive holds a name that is no path, or longer than {NAME_MAX} characters.")
    return path.parts


def check_link(link: tuple[str, ...], target: str, links: Collection[tuple[str, ...]]) -> None:
    """Raises Refused where a symbolic link leads out of the archive, or through another link.

    Without links on the way, what the names say is where the system goes; so following names is enough.
    """
    sentence = f"The archive holds a link that leads out of it: {'/'.join(link)!r} to {target!r}."
    if target.startswith("/") or len(target) > NAME_MAX or "\0" in target:
        raise Refused(sentence)
    here = list(link[:-1])
    for segment in target.split("/"):
        if tuple(here) in links:
            raise Refused(f"The archive holds a link that leads through another: {'/'.join(link)!r} to {target!r}.")
        if segment == "..":
            if not here:
                raise Refused(sentence)
            here.pop()
        elif segment not in ("", "."):
            here.append(segment)


class Unpacking:
    """One archive on its way into an empty folder. Symbolic links are made last, so nothing is written through one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: set[tuple[str, ...]] = set()
        self._links: dict[tuple[str, ...], str] = {}
        self._members = self._bytes = 0

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Takes the next member. Raises Refused."""
        self._count(member)
        parts = parts_of(member.name)
        if member.isdir():
            self._path(parts).mkdir(parents=True, exist_ok=True, mode=0o755)
        elif not parts:
            raise Refused("The archive holds something other than a folder as its root.")
        elif member.issym():
            self._links[parts] = member.linkname
        elif member.islnk():
            self._add_hard_link(parts, member)
        elif member.isreg():
            source = archive.extractfile(member)
            assert source is not None  # a regular file has content
            self._add_file(parts, source, executable=bool(member.mode & 0o100))
        else:
            raise Refused(f"The archive holds something that is no file, folder or link: {member.name!r}.")

    def finish(self) -> None:
        """Makes the symbolic links. Raises Refused."""
        for parts, target in self._links.items():
            if any(parts[:length] in self._links for length in range(1, len(parts))):
                raise Refused(f"The archive names a path through a link: {'/'.join(parts)!r}.")
            check_link(parts, target, self._links.keys())
        for parts, target in self._links.items():
            path = self._path(parts)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            path.symlink_to(target)

    def _count(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        self._bytes += max(0, member.size)
        if self._members > MEMBERS_MAX:
            raise Refused(f"The archive holds more than {MEMBERS_MAX:,} files.")
        if self._bytes > BYTES_MAX:
            raise Refused(f"The archive unpacks to more than {BYTES_MAX:,} bytes.")

    def _path(self, parts: tuple[str, ...]) -> Path:
        return self._folder.joinpath(*parts)

    def _add_file(self, parts: tuple[str, ...], source: IO[bytes], executable: bool) -> None:
        path = self._path(parts)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.unlink(missing_ok=True)  # a name may come again: the later one counts
        with open(path, "xb", opener=_private) as file:
            shutil.copyfileobj(source, file, _COPY_BYTES)
        path.chmod(0o755 if executable else 0o644)
        self._files.add(parts)

    def _add_hard_link(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> None:
        target = parts_of(member.linkname)
        if target not in self._files:
            raise Refused(f"The archive holds a link to a file it does not hold: {member.name!r}.")
        source = self._path(target)
        self._bytes += source.stat().st_size
        if target != parts:
            with source.open("rb") as file:
                self._add_file(parts, file, executable=os.access(source, os.X_OK))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Limited:
    """A stream that ends in Refused after so many bytes, so that a bomb between the members is noticed too."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise Refused(f"The archive unpacks to more than {BYTES_MAX:,} bytes.")
        return block


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar.gz into an empty folder. Raises Refused; what is in the folder then is of no use."""
    unpacking = Unpacking(folder)
    try:
        with gzip.open(archive, "rb") as stream:
            limited = _Limited(stream, BYTES_MAX + 2048 * MEMBERS_MAX)  # every member has a header, and is padded
            with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload] # reads
                for member in tar:
                    unpacking.add(tar, member)
        unpacking.finish()
    except Refused:
        raise
    except MemoryError:
        raise Refused("The archive holds a header that takes too much memory.") from None
    except gzip.BadGzipFile:
        raise Refused("The archive is no tar.gz.") from None
    except OSError as error:
        raise Refused(f"The archive cannot be unpacked: {error.strerror}.") from None
    except Exception as error:  # broken headers break tarfile in many ways
        raise Refused(f"The archive is no whole tar.gz: {error}.") from None


def main(arguments: list[str]) -> int:
    """Unpacks ARCHIVE into FOLDER; returns the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        unpack(Path(arguments[0]), Path(arguments[1]))
    except Refused as refused:
        print(refused)  # noqa: T201 - the server reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

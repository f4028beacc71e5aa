"""Pack the function's code as the Appwrite CLI does, for an upload in the Console: `python scripts/archive.py FILE`."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.schema import PATH, schema


def is_ignored(path: PurePosixPath, ignore: str) -> bool:
    """Whether the lines of `ignore` leave out this file or folder of a folder that is not left out itself.

    The rules are those of .gitignore: the last line that fits decides, `!` takes back, a slash binds to the root.

    Raises:
        ValueError: a line uses `**`, which is not understood here.
    """
    ignored = False
    for line in filter(None, ignore.splitlines()):
        if "**" in line:
            raise ValueError(f"`ignore` holds {line!r}, but ** is not understood here.")
        if _fits(path, line.removeprefix("!").rstrip("/")):
            ignored = not line.startswith("!")
    return ignored


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if "/" not in pattern:
        return fnmatch.fnmatchcase(path.name, pattern)
    parts = PurePosixPath(pattern.lstrip("/")).parts
    return len(parts) == len(path.parts) and all(map(fnmatch.fnmatchcase, path.parts, parts))


def chosen_files(root: Path, ignore: str) -> Iterator[PurePosixPath]:
    """The files a deployment holds, relative to `root`; folders that are left out are not entered."""
    for folder, folders, files in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        folders[:] = [name for name in folders if not is_ignored(here / name, ignore)]
        yield from (here / name for name in files if not is_ignored(here / name, ignore))


def pack(root: Path, ignore: str, archive: Path) -> int:
    """Write the archive; the same files give the same listing. Returns how many files it holds."""
    chosen = sorted(chosen_files(root, ignore))
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for path in chosen:
            tar.add(root / path, str(path), filter=_anonymous)
    return len(chosen)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of who packed it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="where to write it, such as out/video_generation.tar.gz")
    arguments = parser.parse_args()
    (function,) = schema()["functions"]
    count = pack(PATH.parent / function["path"], function["ignore"], arguments.archive)
    print(f"{arguments.archive}: {count} files, {arguments.archive.stat().st_size / 1000:.0f} kB")
    print(f"Entrypoint: {function['entrypoint']}")
    print(f"Build commands: {function['commands']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

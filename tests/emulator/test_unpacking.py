"""Archives nobody should trust: what is refused, and that nothing is ever written outside the folder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import unpacking
from emulator.unpacking import Refused, unpack

Entry = tuple[str, bytes, str]  # name, kind, content or target


def archive_of(path: Path, *entries: Entry) -> Path:
    """A tar.gz with these members, however bad."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in entries:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = content if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            body = content.encode() if kind == tarfile.REGTYPE else b""
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return path


def everything_below(folder: Path) -> dict[str, str]:
    """Every path with its kind or content."""
    return {
        str(path.relative_to(folder)): "link" if path.is_symlink() else "folder" if path.is_dir() else path.read_text()
        for path in folder.rglob("*")
    }


def test_files_folders_and_links_within_the_archive_are_unpacked(tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path / "a.tar.gz",
        ("./", tarfile.DIRTYPE, ""), ("./core/x.py", tarfile.REGTYPE, "x = 1"), ("main.py", tarfile.REGTYPE, "old"),
        ("main.py", tarfile.REGTYPE, "new"), ("deep/link.py", tarfile.SYMTYPE, "../core/x.py"),
        ("shared", tarfile.SYMTYPE, "core"), ("same.py", tarfile.LNKTYPE, "core/x.py"),
        ("gone", tarfile.SYMTYPE, "not/there"),
    )  # fmt: skip
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(archive, folder)
    assert (folder / "main.py").read_text() == "new"
    assert (folder / "deep" / "link.py").read_text() == (folder / "shared" / "x.py").read_text() == "x = 1"
    assert (folder / "same.py").read_text() == "x = 1"
    assert not (folder / "gone").exists()
    assert (folder / "gone").is_symlink()


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([("../out.py", tarfile.REGTYPE, "x")], "leads out"),
        ([("a/../../out.py", tarfile.REGTYPE, "x")], "leads out"),
        ([("/etc/out.py", tarfile.REGTYPE, "x")], "absolute"),
        ([("..", tarfile.DIRTYPE, "")], "leads out"),
        ([("l", tarfile.SYMTYPE, "/etc/passwd")], "leads out"),
        ([("a/l", tarfile.SYMTYPE, "../../x")], "leads out"),
        ([("a", tarfile.SYMTYPE, "."), ("b", tarfile.SYMTYPE, "a/../..")], "through another"),
        ([("d/up", tarfile.SYMTYPE, ".."), ("l", tarfile.SYMTYPE, "d/up/../x")], "through another"),
        ([("l", tarfile.SYMTYPE, "."), ("l/m", tarfile.SYMTYPE, "x")], "through a link"),
        ([("l", tarfile.SYMTYPE, "d"), ("l/m.py", tarfile.REGTYPE, "x")], "cannot be unpacked"),
        ([("h", tarfile.LNKTYPE, "/etc/passwd")], "absolute"),
        ([("h", tarfile.LNKTYPE, "../x")], "leads out"),
        ([("h", tarfile.LNKTYPE, "nothing")], "does not hold"),
        ([("l", tarfile.SYMTYPE, "x"), ("h", tarfile.LNKTYPE, "l")], "does not hold"),
        ([("null", tarfile.CHRTYPE, "")], "no file, folder or link"),
        ([("disk", tarfile.BLKTYPE, "")], "no file, folder or link"),
        ([("pipe", tarfile.FIFOTYPE, "")], "no file, folder or link"),
        ([("a", tarfile.REGTYPE, "x"), ("a/b", tarfile.REGTYPE, "x")], "cannot be unpacked"),
        ([("n" * 300, tarfile.REGTYPE, "x")], "cannot be unpacked"),
        ([("n/" * 600 + "x", tarfile.REGTYPE, "x")], "longer than"),
        ([(".", tarfile.SYMTYPE, "x")], "its root"),
    ],
)
def test_what_leads_out_or_is_no_file_is_refused(tmp_path: Path, entries: list[Entry], sentence: str) -> None:
    folder = tmp_path / "out" / "in"
    folder.mkdir(parents=True)
    archive = archive_of(tmp_path / "a.tar.gz", *entries)
    with pytest.raises(Refused, match=sentence):
        unpack(archive, folder)
    assert set(everything_below(tmp_path / "out")) <= {"in", *(f"in/{name}" for name in everything_below(folder))}


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(Refused, match=r"tar\.gz"):
        unpack(tmp_path / "a.tar.gz", tmp_path)


def test_an_archive_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "a.tar.gz", *((f"{n}.bin", tarfile.REGTYPE, os.urandom(500).hex()) for n in range(9)))
    whole.write_bytes(whole.read_bytes()[:-2000])
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(Refused, match=r"no whole tar\.gz"):
        unpack(whole, folder)


def test_too_many_files_and_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MEMBERS_MAX", 10)
    monkeypatch.setattr(unpacking, "BYTES_MAX", 2_000_000)
    folder = tmp_path / "out"
    folder.mkdir()
    many = archive_of(tmp_path / "many.tar.gz", *((f"{n}", tarfile.REGTYPE, "") for n in range(11)))
    with pytest.raises(Refused, match="more than 10 files"):
        unpack(many, folder)
    large = archive_of(tmp_path / "large.tar.gz", ("zeros", tarfile.REGTYPE, "0" * 2_000_001))
    with pytest.raises(Refused, match="more than 2,000,000 bytes"):
        unpack(large, folder)
    assert not (folder / "zeros").exists()


def test_a_header_as_long_as_a_film_takes_no_memory_of_the_server(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 8_000_000_000
    bomb = tmp_path / "bomb.tar"
    bomb.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(50_000_000))
    subprocess.run(["gzip", "-1", str(bomb)], check=True)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-I", "-S", str(unpacking.__file__), f"{bomb}.gz", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout.count("\n")) == (1, "", 1)
    assert list((tmp_path / "out").iterdir()) == []


NAMES = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@settings(max_examples=300)
@given(st.lists(st.tuples(NAMES, KINDS, NAMES), max_size=6))
def test_whatever_an_archive_holds_nothing_leads_out_of_its_folder(entries: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name).resolve() / "outside"
        folder = outside / "in" / "folder"
        folder.mkdir(parents=True)
        archive = archive_of(outside.parent / "a.tar.gz", *entries)
        try:
            unpack(archive, folder)
        except Refused:
            return  # what it left is thrown away; that nothing lies beside it is seen below for the rest
        finally:
            beside = [path for path in outside.rglob("*") if not path.is_relative_to(folder)]
            assert beside == [outside / "in"]
        for path in folder.rglob("*"):
            try:
                target = path.resolve(strict=True)
            except (OSError, RuntimeError):
                continue  # a link to nothing, or to itself
            assert target.is_relative_to(folder)

"""Which builds share a virtual environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.environments import key_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Unpacked code with requirements files."""
    (tmp_path / "f").mkdir()
    (tmp_path / "requirements.txt").write_text("requests==2.32.0 # the client\n-r f/more.txt\n")
    (tmp_path / "f" / "more.txt").write_text("# more\nidna>=3\n-c limits.txt\n")
    (tmp_path / "f" / "limits.txt").write_text("idna<4\nx @ https://example.test/x.whl\n")
    return tmp_path


@pytest.mark.parametrize(
    "commands",
    [
        "",
        "pip install -r requirements.txt",
        "pip3 install --no-cache-dir -r f/more.txt && pip install requests==2.32.0",
        "python -m pip install --upgrade pip\npip install -rrequirements.txt --requirement=f/more.txt",
        "pip install idna==3.10 ; pip install 'requests==2.32.0'",
    ],
)
def test_commands_that_only_install_share_what_they_installed(folder: Path, commands: str) -> None:
    key = key_of(commands, folder)
    assert key is not None
    assert key == key_of(commands, folder)
    assert key != key_of(commands + "\npip install one-more", folder)


@pytest.mark.parametrize("changed", ["requirements.txt", "f/more.txt", "f/limits.txt"])
def test_a_changed_requirement_is_another_environment(folder: Path, changed: str) -> None:
    before = key_of("pip install -r requirements.txt", folder)
    with (folder / changed).open("a") as file:
        file.write("certifi\n")
    assert key_of("pip install -r requirements.txt", folder) not in (None, before)


@pytest.mark.parametrize(
    "commands",
    [
        "make",
        "pip install .",
        "pip install ./vendored",
        "pip install -e .",
        "pip install vendored/wheels/x.whl",
        "pip install x.whl && python generate.py",
        "pip install -t vendored requests",
        "pip install -r missing.txt",
        "pip install -r /etc/hostname",
        "pip install -r ../outside.txt",
        "pip install $PACKAGE",
        "pip install requests > log",
        "pip install requests & true",
        "pip install 'requests",
        "cd f; pip install -r more.txt",
    ],
)
def test_commands_that_do_more_or_cannot_be_read_share_nothing(folder: Path, commands: str) -> None:
    (folder.parent / "outside.txt").write_text("requests\n")
    assert key_of(commands, folder) is None


@pytest.mark.parametrize("line", [".", "-e .", "./vendored", "vendored/x.whl", "x @ file:///x.whl", "/x.whl"])
def test_requirements_that_lie_in_the_archive_share_nothing(folder: Path, line: str) -> None:
    (folder / "f" / "more.txt").write_text(f"idna\n{line}\n")
    assert key_of("pip install -r requirements.txt", folder) is None

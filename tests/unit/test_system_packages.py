"""The script that installs what the tests need from Debian: it never stops the checks, and says what is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "system_packages.sh"


def run_where(folder: Path, **programs: str) -> list[str]:
    """Run the script where only these programs exist, each a line of shell; returns the lines it printed."""
    for name, line in programs.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!{shutil.which('bash')}\n{line}\n", encoding="utf-8")
        program.chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, str(SCRIPT)], env={"PATH": str(folder)}, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


HAS_MANIMS = {"cc": "exit 0", "pkg_config": "exit 0"}
HAS_BROWSER = {"chromium": "exit 1"}


def test_nothing_is_said_or_done_where_everything_is_installed(tmp_path: Path) -> None:
    assert run_where(tmp_path, id="echo 0", apt_get="exit 1", **HAS_BROWSER, **HAS_MANIMS) == []


def test_who_may_not_install_is_told_what_is_missing_and_which_tests_are_skipped(tmp_path: Path) -> None:
    browser, manim = run_where(tmp_path, id="echo 1000", apt_get="exit 0")
    assert "chromium is missing" in browser
    assert "tests/e2e/test_browser.py" in browser
    assert "apt-get install chromium" in browser
    assert "tests/contract/test_manim.py" in manim
    assert "libcairo2-dev libpango1.0-dev pkg-config" in manim


def test_a_failing_installation_does_not_fail_the_checks(tmp_path: Path) -> None:
    lines = run_where(tmp_path, id="echo 0", apt_get="echo broken; exit 100", **HAS_MANIMS)
    assert len(lines) == 2
    assert "chromium is missing" in lines[1]


def test_libraries_without_their_headers_are_installed(tmp_path: Path) -> None:
    lines = run_where(tmp_path, id="echo 0", apt_get="exit 0", cc="exit 0", pkg_config="exit 1", **HAS_BROWSER)
    assert lines == ["Installing Debian's gcc libc6-dev libcairo2-dev libpango1.0-dev pkg-config ..."]


def test_an_installation_that_works_after_an_update_is_enough(tmp_path: Path) -> None:
    mark = tmp_path / "updated"
    apt = f'if [ "$1" = update ]; then : >"{mark}"; else [ -e "{mark}" ]; fi'
    lines = run_where(tmp_path, id="echo 0", apt_get=apt, **HAS_MANIMS)
    assert lines == ["Installing Debian's chromium ..."]

"""Where the render server is: a setting, a file, or a row that may change at run time; never an open address."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.adapters.http_dispatch import HttpDispatcher, check_render_url, render_url
from core.errors import InvalidInputError, UnavailableError
from core.ports import CallState, Job
from core.settings import Settings

ROW = {"render_url": "https://row.example"}


def test_the_setting_comes_first_then_the_file_then_the_row(tmp_path: Path) -> None:
    file = tmp_path / "RENDER_URL.txt"
    file.write_text("https://file.example/\nanything else\n", encoding="utf-8")

    both = Settings(render_url="https://setting.example", render_url_file=str(file))
    assert render_url(both, ROW.get) == "https://setting.example"
    assert render_url(Settings(render_url_file=str(file)), ROW.get) == "https://file.example"
    assert render_url(Settings(), ROW.get) == "https://row.example"


def test_the_address_in_the_row_may_change_while_everything_runs() -> None:
    rows = {"render_url": "http://127.0.0.1:9"}  # nobody listens on port 9
    dispatcher = HttpDispatcher(Settings(), rows.get)
    with pytest.raises(UnavailableError, match="does not answer"):
        dispatcher.submit(Job("compose", "video", 1))

    rows["render_url"] = "http://elsewhere.example"
    with pytest.raises(InvalidInputError):
        dispatcher.submit(Job("compose", "video", 1))
    assert dispatcher.status("call-1") is CallState.UNKNOWN


def test_without_any_address_the_sentence_says_what_to_start_and_set() -> None:
    with pytest.raises(UnavailableError, match=r"scenewright worker.*SCENEWRIGHT_RENDER_URL"):
        render_url(Settings(), lambda _: None)


@pytest.mark.parametrize(
    "url", ["https://gpu.example:8443/x", "http://localhost:8000", "http://127.0.0.1:1", "http://[::1]:1"]
)
def test_https_and_this_machine_may_be_told_the_token(url: str) -> None:
    assert check_render_url(f" {url}/ ") == url


@pytest.mark.parametrize(
    "url", ["http://gpu.example", "ftp://gpu.example", "gpu.example", "", "http://", "https://", "javascript:alert(1)"]
)
def test_any_other_address_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_render_url(url)

    assert (caught.value.code, caught.value.field) == ("render_url_invalid", "render_url")

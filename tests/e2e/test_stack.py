"""The local stack's two servers: each on a port of its own, and believed only when it is the one that was started."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from core import processes, stack
from core.errors import UnavailableError


def test_two_servers_that_would_like_the_same_port_get_two(tmp_path: Path) -> None:
    (port,) = processes.free_ports(0)
    known = {"endpoint": f"http://127.0.0.1:{port}/v1", "render_url": f"http://127.0.0.1:{port}"}
    (tmp_path / "stack.json").write_text(json.dumps(known))

    with stack.start(tmp_path, workers=1) as started:
        assert urlsplit(started.settings.endpoint).port == port
        assert urlsplit(started.settings.render_url).port != port
        assert requests.get(f"{started.settings.render_url}/health", timeout=5).json()["processes"] == 1


def test_another_server_on_the_port_of_the_worker_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes a port in the moment after it was found free answers there in the worker's place."""
    (port,) = processes.free_ports(0)
    monkeypatch.setattr(processes, "free_ports", lambda *_: [port, port])

    with pytest.raises(UnavailableError, match=r"did not start \(worker: .*Cannot listen on") as caught:
        stack.start(tmp_path, workers=1)

    assert caught.value.code == "stack_failed"
    assert not processes.answers(f"http://127.0.0.1:{port}/v1/ping")

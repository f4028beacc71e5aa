"""Talking to Appwrite does not cost the loading of models that nobody uses."""

from __future__ import annotations

import subprocess
import sys

LOADED = "sum(name.startswith('appwrite.models.') for name in sys.modules)"


def _printed(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_client_loads_hardly_any_model() -> None:
    (loaded,) = _printed(f"import core.adapters.appwrite_client, sys; print({LOADED})")

    assert int(loaded) < 5


def test_who_asks_for_a_model_gets_it() -> None:
    code = (
        "import core.adapters.appwrite_client, sys\n"
        "from appwrite.models import Execution, Row\n"
        "from appwrite.models.row import Row as same\n"
        "from appwrite.services.tables_db import TablesDB\n"
        f"print(Execution.__name__, Row is same, {LOADED} > 100)"
    )

    assert _printed(code) == ["Execution", "True", "True"]

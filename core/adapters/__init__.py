"""What stands behind the ports: Appwrite, and the ways to a renderer."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def _load_models_on_demand() -> None:
    """Let the SDK's package of models load when one of them is first asked for.

    Its client imports one class of it and so runs the package's whole beginning: 300 modules, half a second of
    processor time and 12 MB, in every process that talks to Appwrite, for models that nothing here uses.
    """
    spec = importlib.util.find_spec("appwrite.models")
    if spec is None or spec.loader is None or spec.name in sys.modules:
        return
    loader, package = spec.loader, importlib.util.module_from_spec(spec)

    def load(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = load
    sys.modules[spec.name] = package


_load_models_on_demand()

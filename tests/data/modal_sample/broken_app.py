"""An App whose module needs another one that its image does not carry."""

from __future__ import annotations

import left_out  # type: ignore[import-not-found]
import modal

app = modal.App("broken")


@app.function(retries=0)
def compose(job: dict[str, object]) -> int:
    """Never begins."""
    return int(left_out.ANSWER)

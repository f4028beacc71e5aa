"""Log lines of every process in one form: when, how grave, who says it, the facts to search by, the sentence."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from core.ports import Job

FACTS = ("action", "video", "attempt", "scene")  # of a record, in this order
_job: dict[str, object] = {}  # what a render process works on: it does one job at a time


class LineFormatter(logging.Formatter):
    """One line per record, `key=value` for its facts, a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        known = _job | {name: getattr(record, name) for name in FACTS if hasattr(record, name)}
        if not known.get("scene"):
            known.pop("scene", None)  # 0: of the video as a whole
        facts = " ".join(f"{name}={known[name]}" for name in FACTS if name in known)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        sentence = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")  # nobody's text begins a line of ours
        line = " ".join(part for part in (at, record.levelname, record.name, facts, "|", sentence) if part)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _PresentStream(logging.StreamHandler[TextIO]):
    """Writes to what is standard output at that moment: a function's runtime changes it per execution."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self.stream = sys.stdout
        super().emit(record)


def set_up(level: str, *, to_stdout: bool = False) -> None:
    """Send this process's log to standard error, or to standard output, where functions keep their logs."""
    handler = _PresentStream() if to_stdout else logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    known = level.upper() in logging.getLevelNamesMapping()
    logging.basicConfig(level=level.upper() if known else logging.INFO, handlers=[handler])
    for name in ("urllib3", "httpx", "httpx2", "google_genai"):  # their lines hold whole addresses
        logging.getLogger(name).setLevel(logging.WARNING)


def works_on(job: Job | None) -> None:
    """Say which job every line of this process belongs to from now on."""
    _job.clear()
    if job is not None:
        _job.update(video=job.video_id, attempt=job.attempt)

"""The process in the sandbox: reads what to run, locks itself for good, says so, and runs it. Started by `runner`."""

from __future__ import annotations

import json
import linecache
import os
import sys
import sysconfig
import traceback
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

SHUT = b"shut"  # what the parent reads when all locks stand; anything else is why they do not
SHOWN_AS = "program.py"  # the program's name in its own tracebacks

# what Python and libraries read to work at all: libraries, fonts, time zones, what the machine is
_OF_SYSTEM = (
    "/lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /usr/share /usr/local/share /etc/fonts /etc/ld.so.cache"
    " /etc/localtime /var/cache/fontconfig /dev/urandom /proc/cpuinfo /sys/devices/system/cpu"
).split()


def of_python() -> list[str]:
    """The folders of this interpreter's library and packages."""
    named = ("stdlib", "platstdlib", "purelib", "platlib")
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    folders = {sysconfig.get_path(name) for name in named} | {f"{root}/lib" for root in roots}
    return sorted(folders | {f"{root}/lib64" for root in roots} | {f"{sys.prefix}/pyvenv.cfg"})


def main() -> None:
    """Be told by standard input, lock, run. The exit status is the program's."""
    told = json.loads(sys.stdin.buffer.read())
    report = int(told["report"])
    try:
        _shut(told)
    except BaseException as error:
        os.write(report, f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
        os._exit(70)
    os.write(report, SHUT)
    os.close(report)
    os.closerange(3, 256)  # the parent's are closed already; this is for what Python's own start may have left
    _run(told["source"], told["arguments"])


def _shut(told: dict[str, Any]) -> None:
    """Everything that cannot be undone, in its order: a lock may need what a later one takes away."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from core.sandbox import landlock, privileges, seccomp
    from core.sandbox.limits import Limits, impose

    del sys.path[0]
    work = str(told["work"])
    readable = [*_OF_SYSTEM, *of_python(), *told["read"]]
    os.chdir(work)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with suppress(OSError):  # where memory runs out, this is what the kernel ends first
        Path("/proc/self/oom_score_adj").write_text("1000")
    impose(Limits(**told["limits"]), int(told["tasks"]))
    if os.getuid() == 0:
        privileges.become_nobody(search=not privileges.reachable([work, *of_python(), *told["read"]]))
    privileges.give_up(int(told["parent"]))
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208  Landlock binds one thread and those that it starts
        raise OSError("a thread runs already")
    landlock.restrict(readable, [work, "/dev/null"])
    seccomp.restrict()
    for name in [name for name in sys.modules if name.partition(".")[0] == "core"]:
        del sys.modules[name]
    _settle(work)


def _settle(work: str) -> None:
    """The environment: empty when the process began (others can read that one), and no more than this now."""
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(
        {"HOME": work, "TMPDIR": work, "XDG_CACHE_HOME": work, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    )
    # one program is no reason to use every core, and each of these threads takes addresses
    os.environ.update({"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "RAYON_NUM_THREADS": "2"})


def _run(source: str, arguments: list[str]) -> None:
    """As Python runs a script; its traceback begins at its own first frame."""
    sys.argv = [SHOWN_AS, *arguments]
    linecache.cache[SHOWN_AS] = (len(source), None, source.splitlines(keepends=True), SHOWN_AS)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(compile(source, SHOWN_AS, "exec", dont_inherit=True), module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        begins = error.__traceback__
        traceback.print_exception(type(error), error, begins.tb_next if begins else None)
        sys.exit(1)


if __name__ == "__main__":
    main()

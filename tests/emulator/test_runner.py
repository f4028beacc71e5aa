"""The process pool behind functions: context, concurrency, crashes, limits, reload and the death of the server."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from emulator.pool import BACKGROUND_LIMIT
from emulator.programs import Call, Deployment, Outcome, Program, child_environment
from emulator.runner import Runner

FUNCTION = """
import asyncio, os, subprocess, sys, time

async def main(context):
    req, res = context.req, context.res
    if req.path == "/echo":
        context.log("hello", {"a": [1]}, 3)
        context.error("trouble")
        return res.json({
            "method": req.method, "path": req.path, "query": req.query, "query_string": req.query_string,
            "headers": req.headers, "body": req.body, "text": req.body_text, "url": req.url, "host": req.host,
            "port": req.port, "scheme": req.scheme, "variable": os.environ.get("MY_VAR"),
            "shell": os.environ.get("OUTER_SECRET"), "root_on_path": os.path.dirname(__file__) in sys.path,
        })
    if req.path == "/pid": return res.text(str(os.getpid()))
    if req.path == "/sleep":
        await asyncio.sleep(float(req.query["s"]))
        return res.text("slept")
    if req.path == "/block":
        context.log("before")
        time.sleep(float(req.query["s"]))
        return res.text("blocked")
    if req.path == "/loop":
        context.log("looping")
        while True: pass
    if req.path == "/crash": os._exit(3)
    if req.path == "/segfault": os.kill(os.getpid(), 11)
    if req.path == "/exit": sys.exit(1)
    if req.path == "/raise": raise ValueError("boom")
    if req.path == "/none": return None
    if req.path == "/odd": return "text"
    if req.path == "/print":
        print("native"); print("more", file=sys.stderr)
        return res.text("printed")
    if req.path == "/binary": return res.binary(bytes(range(256)))
    if req.path == "/status": return res.text("teapot", 418, {"X-Custom": "v", "Content-Type": "text/html"})
    if req.path == "/empty": return res.empty()
    if req.path == "/redirect": return res.redirect("https://example.test/")
    if req.path == "/spawn":
        return res.text(str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid))
    if req.path == "/long": context.log("x" * 9000); return res.empty()
"""


def program(folder: Path, source: str = FUNCTION, entrypoint: str = "nested/main.py", live: bool = False) -> Program:
    file = folder / "nested" / "main.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)
    return Program(Deployment("d1", folder, entrypoint, live=live), child_environment({"MY_VAR": "mine"}))


@asynccontextmanager
async def running(size: int = 2) -> AsyncIterator[Runner]:
    runner = Runner(size)
    try:
        yield runner
    finally:
        await runner.close()


_counter = iter(range(10**6))


def call(path: str, body: bytes = b"", timeout: float = 10, headers: dict[str, str] | None = None) -> Call:
    return Call(f"e{next(_counter)}", "POST", path, headers or {}, body, timeout)


def outcome(folder: Path, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Outcome:
    async def story() -> Outcome:
        async with running(1) as runner:
            return await runner.run("f", program(folder), call(path, body, headers=headers))

    return asyncio.run(story())


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


def test_a_function_sees_the_request_as_open_runtimes_shows_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OUTER_SECRET", "of the shell")
    headers = {"content-type": "application/json", "x-my": "h"}
    result = outcome(tmp_path, "/echo?x=1&y=two%20words", b'{"hello":"world"}', headers)
    assert result.status_code == 200
    assert result.headers["content-type"] == "application/json; charset=utf-8"
    seen = json.loads(result.body)
    assert seen == {
        "method": "POST", "path": "/echo", "query": {"x": "1", "y": "two words"}, "query_string": "x=1&y=two words",
        "headers": headers, "body": {"hello": "world"}, "text": '{"hello":"world"}',
        "url": "http://localhost/echo?x=1&y=two words", "host": "localhost", "port": 80, "scheme": "http",
        "variable": "mine", "shell": None, "root_on_path": False,
    }  # fmt: skip
    assert result.logs == 'hello {"a":[1]} 3\n'
    assert result.errors == "trouble\n"


def test_every_kind_of_response_arrives(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:

            async def get(path: str) -> Outcome:
                return await runner.run("f", program(tmp_path), call(path))

            assert (await get("/binary")).body == bytes(range(256))
            teapot = await get("/status")
            assert (teapot.status_code, teapot.body, teapot.headers["x-custom"]) == (418, b"teapot", "v")
            assert teapot.headers["content-type"] == "text/html; charset=utf-8"
            empty = await get("/empty")
            assert (empty.status_code, empty.body) == (204, b"")
            away = await get("/redirect")
            assert (away.status_code, away.headers["location"]) == (301, "https://example.test/")
            none = await get("/none")
            assert none.status_code == 500
            assert none.errors == "Return statement missing. return context.res.empty() if no response is expected.\n"
            printed = await get("/print")
            assert printed.logs.endswith("native\nmore\n")
            assert printed.logs.startswith("Native logs detected.")
            assert len((await get("/long")).logs) == 8001

    play(story)


def test_an_exception_becomes_a_500_with_its_traceback_and_harms_nobody_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            slow = asyncio.ensure_future(runner.run("f", code, call("/sleep?s=0.5")))
            raised, exited, odd = await asyncio.gather(
                *(runner.run("f", code, call(path)) for path in ("/raise", "/exit", "/odd"))
            )
            assert raised.status_code == exited.status_code == odd.status_code == 500
            assert "ValueError: boom" in raised.errors
            assert "nested/main.py" in raised.errors
            assert "SystemExit" in exited.errors
            assert "main returned str" in odd.errors
            assert (await slow).body == b"slept"

    play(story)


def test_one_child_serves_many_executions_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            await runner.run("f", code, call("/empty"))
            began = time.monotonic()
            results = await asyncio.gather(*(runner.run("f", code, call("/sleep?s=0.5")) for _ in range(20)))
            assert all(result.body == b"slept" for result in results)
            assert time.monotonic() - began < 3

    play(story)


def test_an_execution_does_not_wait_behind_blocked_code(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            blocked = asyncio.ensure_future(runner.run("f", code, call("/block?s=3")))
            await asyncio.sleep(0)
            quick = await runner.run("f", code, call("/pid"))
            assert quick.status_code == 200
            assert not blocked.done()
            assert (await blocked).body == b"blocked"

    play(story)


def test_a_crash_fails_its_executions_with_a_clear_error_and_the_child_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            crash = await runner.run("f", code, call("/crash"))
            assert crash.status_code == 500
            assert "ended unexpectedly with exit code 3" in crash.errors
            fault = await runner.run("f", code, call("/segfault"))
            assert "signal SIGSEGV" in fault.errors
            assert "nested/main.py" in fault.errors, "the faulthandler's dump tells where"
            assert (await runner.run("f", code, call("/pid"))).status_code == 200

    play(story)


def test_an_execution_over_its_time_ends_and_keeps_its_logs(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            polite = await runner.run("f", code, call("/sleep?s=30", timeout=0.3))
            assert (polite.status_code, polite.errors, polite.timed_out) == (500, "Execution timed out.\n", True)
            endless = await runner.run("f", code, call("/loop", timeout=0.3))
            assert (endless.status_code, endless.errors, endless.timed_out) == (500, "Execution timed out.\n", True)
            assert endless.logs == "looping\n"
            assert (await runner.run("f", code, call("/pid"))).status_code == 200

    play(story)


def test_a_killed_child_takes_what_it_had_started_along(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            grandchild = int((await runner.run("f", code, call("/spawn"))).body)
            assert psutil.pid_exists(grandchild)
            await runner.run("f", code, call("/loop", timeout=0.2))
            await until(lambda: not _alive(grandchild))

    play(story)


def test_code_that_cannot_be_imported_is_a_503_with_the_traceback(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            broken = await runner.run("f", program(tmp_path, "import nothing_of_this_name"), call("/"))
            assert broken.status_code == 503
            assert "No module named 'nothing_of_this_name'" in broken.errors
            missing = await runner.run("g", program(tmp_path, entrypoint="nested/other.py"), call("/"))
            assert missing.status_code == 503
            dying = await runner.run("h", program(tmp_path, "import os; os._exit(4)"), call("/"))
            assert "could not be loaded: its process ended unexpectedly with exit code 4" in dying.errors

    play(story)


def test_who_waits_for_a_process_that_is_killed_while_it_loads_gets_another_one(tmp_path: Path) -> None:
    source = (
        "import os, pathlib\n"
        "lives = pathlib.Path(__file__).parent / 'lives'\n"
        "lives.open('a').write('x')\n"
        "if lives.stat().st_size <= LIVES: os.kill(os.getpid(), 9)\n"
        "def main(context): return context.res.text('late')\n"
    )

    async def story() -> None:
        async with running(1) as runner:
            for name, lives in (("once", "1"), ("always", "9")):
                (tmp_path / name).mkdir()
                code = program(tmp_path / name, source.replace("LIVES", lives))
                outcome = await runner.run(name, code, call("/"))
                if name == "once":
                    assert outcome.body == b"late", outcome.errors
                else:
                    assert "could not be loaded: its process was ended by signal SIGKILL" in outcome.errors
                    assert (tmp_path / name / "nested" / "lives").read_text() == "xx"

    play(story)


def test_a_working_tree_is_read_again_after_an_edit_and_running_executions_finish(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            (tmp_path / "nested").mkdir()
            helper = tmp_path / "nested" / "helper.py"
            helper.write_text("WORD = 'first'")
            source = (
                "import asyncio\nfrom .helper import WORD\n"
                "async def main(context):\n"
                "    await asyncio.sleep(float(context.req.query.get('s', '0')))\n"
                "    return context.res.text(WORD)\n"
            )
            code = program(tmp_path, source, live=True)
            assert (await runner.run("f", code, call("/"))).body == b"first"
            slow = asyncio.ensure_future(runner.run("f", code, call("/?s=1.5")))
            await asyncio.sleep(0.2)
            helper.write_text("WORD = 'second'")
            assert (await runner.run("f", code, call("/"))).body == b"second"
            assert (await slow).body == b"first"
            helper.write_text("WORD = ")
            assert (await runner.run("f", code, call("/"))).status_code == 503
            helper.write_text("WORD = 'third'")
            assert (await runner.run("f", code, call("/"))).body == b"third"

    play(story)


def test_changed_variables_reach_the_next_execution(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            assert json.loads((await runner.run("f", code, call("/echo"))).body)["variable"] == "mine"
            other = Program(code.deployment, child_environment({"MY_VAR": "other"}))
            assert json.loads((await runner.run("f", other, call("/echo"))).body)["variable"] == "other"

    play(story)


def test_children_die_with_a_server_that_was_killed_even_in_an_endless_loop(tmp_path: Path) -> None:
    program(tmp_path)
    script = f"""
import asyncio
from pathlib import Path
from emulator.programs import Call, Deployment, Program, child_environment
from emulator.runner import Runner
async def story():
    runner = Runner(1)
    code = Program(Deployment("d", Path({str(tmp_path)!r}), "nested/main.py"), child_environment({{}}))
    pid = (await runner.run("f", code, Call("e1", "GET", "/pid", {{}}, b"", 10))).body.decode()
    looping = asyncio.ensure_future(runner.run("f", code, Call("e2", "GET", "/loop", {{}}, b"", 600)))
    await asyncio.sleep(0.5)
    print(pid, flush=True)
    await looping
asyncio.run(story())
"""
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        assert _alive(child)
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.communicate()
    asyncio.run(until(lambda: not _alive(child)))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_executions_somebody_waits_for_go_before_the_others_and_those_are_bounded(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(1) as runner:
            code = program(tmp_path)
            await runner.run("f", code, call("/empty"))
            later = [replace(call("/sleep?s=1"), background=True) for _ in range(2 * BACKGROUND_LIMIT)]
            urgent = call("/pid")
            began: list[str] = []

            def run(each: Call) -> asyncio.Task[Outcome]:
                begin = functools.partial(began.append, each.id)
                return asyncio.create_task(runner.run("f", code, each, begin))

            tasks = [run(each) for each in later]
            await until(lambda: len(began) == BACKGROUND_LIMIT)
            await run(urgent)
            await asyncio.gather(*tasks)
            expected = [each.id for each in later]
            expected.insert(BACKGROUND_LIMIT, urgent.id)
            assert began == expected

    play(story)

"""A program under `ha-observability run` is as it would be without, and everything its engines do is told."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from observability.lab.ports import HOST, free_port
from tests.live.zero_code.conftest import Runner, until

POOL = 'db_client_connection_pool_name="sqlite/file.db"'
CHECKOUTS, CONNECTS = f"ha_pool_checkouts_total{{{POOL}}}", f"ha_pool_connects_total{{{POOL}}}"


def test_the_program_notices_nothing(runner: Runner) -> None:
    """Output, arguments, standard input, path, loaded modules, exit code: all as without; its own sitecustomize is run."""
    runner.program("import builtins; builtins.mine = True", "sitecustomize.py")
    runner.environ["PYTHONPATH"] += f":{runner.directory}"
    command = runner.program(
        """
        import os, signal, sys
        print(sys.argv, sys.path, sys.flags, mine, input(), __name__, os.getcwd())
        print(sorted(name for name in sys.modules if "sqlalchemy" in name or name == "sitecustomize"))
        print([signal.getsignal(number) for number in signal.valid_signals()])
        print(sorted(set(os.environ) - {"PYTHONPATH", "HA_RUN_PID", "HA_MULTIPROCESS_DIR"}), file=sys.stderr)
        sys.exit(7)
        """
    )
    results = []
    for plain in (False, True):
        process = runner.start([*command, "--listen", "-x", "--"], plain=plain)
        results.append((*process.communicate("typed\n", timeout=20), process.returncode))
    assert results[0] == results[1]
    assert results[0][2] == 7


def test_pid_and_signals_are_the_programs_own(runner: Runner) -> None:
    """It takes the place of the command: its handlers get the signals, and who kills it sees it die of that."""
    command = runner.program(
        """
        import os, signal, sys
        # Not by print: the signal may come while the next line still is in it.
        signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"asked to end\\n"))
        print(os.getpid(), flush=True)
        while True:
            signal.pause()
        """
    )
    process = runner.start(command)
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "asked to end\n"
    process.kill()
    assert process.wait(20) == -signal.SIGKILL
    until(lambda: not runner.left())
    # The port is free again at once, also for who was not there to clean up.
    with socket.create_server((HOST, runner.port)):
        pass


def test_every_engine_of_every_process_is_told(runner: Runner) -> None:
    """Sync and asyncio, in the program, in what it forks, spawns and starts by `python -m`: all before the first connection."""
    runner.program(
        """
        from sqlalchemy import create_engine
        engine = create_engine("sqlite:///file.db")
        def work(times=1):
            for _ in range(times):
                engine.connect().close()
        if __name__ == "__main__":
            work()
        """,
        "work.py",
    )
    command = runner.program(
        """
        import asyncio, multiprocessing, subprocess, sys
        from sqlalchemy.ext.asyncio import create_async_engine

        async def later():
            engine = create_async_engine("sqlite+aiosqlite:///file.db")
            async with engine.connect():
                pass
            await engine.dispose()

        if __name__ == "__main__":
            import work
            work.work(10)
            for method in ("fork", "spawn"):
                child = multiprocessing.get_context(method).Process(target=work.work, args=(100,))
                child.start()
                child.join()
            subprocess.run([sys.executable, "-m", "work"], check=True)
            asyncio.run(later())
            print("done", flush=True)
            input()
        """
    )
    process = runner.start(command)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    page = runner.scrape()
    # The second engine of a process on one database has a name of its own.
    second = POOL.replace('.db"', '.db#2"')
    assert (page[CHECKOUTS], page[CHECKOUTS.replace(POOL, second)]) == (211.0, 1.0)
    # The forked process uses the connection that it has inherited.
    assert page[CONNECTS] == 3.0
    assert {series for series in page if "ha_worker" in series} == {
        'ha_worker_up{worker="0"}',
        "ha_worker_starts_total",
    }
    assert page["ha_worker_starts_total"] == 4.0
    output, errors = process.communicate("\n", timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["uvicorn", "app:app", "--workers", "2", "--port", "PORT"], id="uvicorn"),
        pytest.param(
            ["gunicorn", "app:wsgi", "--workers", "2", "--preload", "--bind", "127.0.0.1:PORT"], id="gunicorn"
        ),
    ],
)
def test_a_server_with_several_workers_has_one_page(runner: Runner, command: list[str]) -> None:
    """All workers are told on the one port beside the server, while they run and while they end."""
    runner.program(
        """
        from sqlalchemy import create_engine
        engine = create_engine("sqlite:///file.db")
        def wsgi(environ, start_response):
            engine.connect().close()
            start_response("200 OK", [])
            return [b"ok"]
        async def app(scope, receive, send):
            if scope["type"] == "http":
                engine.connect().close()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"ok"})
        """,
        "app.py",
    )
    runner.environ |= {
        "HOME": str(runner.directory),
        "PYTHONPATH": f"{runner.environ['PYTHONPATH']}:{runner.directory}",
    }
    port = free_port()
    program = str(Path(sys.executable).parent / command[0])
    process = runner.start([program, *(word.replace("PORT", str(port)) for word in command[1:])])
    until(lambda: _asks(port))
    until(lambda: runner.scrape().get('ha_worker_up{worker="1"}') == 1.0)
    before = runner.scrape().get(CHECKOUTS, 0.0)
    for _ in range(20):
        assert _asks(port)
    assert runner.scrape()[CHECKOUTS] - before == 20.0
    process.terminate()
    assert process.wait(20) == 0


def _asks(port: int) -> bool:
    """Whether a server answers."""
    line = http.client.HTTPConnection(HOST, port, timeout=5)
    with contextlib.suppress(OSError), contextlib.closing(line):
        line.request("GET", "/")
        return line.getresponse().read() == b"ok"
    return False


def test_mistakes_are_told_and_nothing_is_started(runner: Runner) -> None:
    """A program that is not there, an address that is taken or none: one sentence, the usual exit code, and nothing left."""
    started = runner.directory / "started"
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        told = f"ha-observability run: Cannot listen on {address}: Address already in use. Choose another address with --listen.\n"
        assert runner.run(["touch", str(started)], listen=address) == (3, "", told)
    assert runner.run(["touch", str(started)], listen="9941") == (
        2, "", "ha-observability run: --listen needs HOST:PORT, such as 127.0.0.1:9941, not '9941'.\n"
    )  # fmt: skip
    assert runner.run(["no-such-program"]) == (
        127,
        "",
        "ha-observability run: no-such-program: there is no such program.\n",
    )
    assert not started.exists()
    assert runner.left() == []


def test_a_python_that_cannot_be_instrumented_says_so(runner: Runner) -> None:
    """An interpreter that cannot import this package runs the program all the same; one line says that nothing is told."""
    program = runner.program("print('works')")
    elsewhere = runner.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "observability.py").write_text("raise ImportError('not for this version')")
    shell = f'PYTHONPATH="${{PYTHONPATH%%:*}}:{elsewhere}" exec {subprocess.list2cmdline(program)}'
    code, output, errors = runner.run(["sh", "-c", shell])
    assert (code, output) == (0, "works\n")
    assert errors == (
        f"ha-observability: this program runs without instrumentation, as {sys.executable} cannot import it: not for this"
        " version\n"
    )

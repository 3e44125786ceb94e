"""Attaching to an engine, in every order, and letting go of it."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AssertionPool, NullPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.pool import metrics, monitor
from observability.instrumentation.pool.monitor import PoolMonitor, instrument
from observability.metrics import Metric

CLASSES = [QueuePool, NullPool, StaticPool, SingletonThreadPool, AssertionPool]


@pytest.fixture
def make_engine(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Make engines on a file; they are disposed of at the end."""
    engines: list[Engine] = []

    def make(pool_class: type[Pool] = QueuePool, **options: Any) -> Engine:
        engines.append(create_engine(f"sqlite:///{tmp_path}/attach.db", poolclass=pool_class, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    """An engine with the usual pool."""
    return make_engine()


def use(engine: Engine) -> None:
    """Take a connection and give it back."""
    engine.connect().close()


def value(watching: PoolMonitor, metric: Metric, *labels: str) -> Any:
    """One figure; None where there is no such sample."""
    (batch,) = watching.collect()
    found = {(sample.metric, sample.labels[1:]): sample.value for sample in batch.samples}
    return found.get((metric, labels))


class TestTwice:
    """Instrumenting the same pool again."""

    def test_gives_the_same_monitor(self, engine: Engine) -> None:
        """Nothing is counted twice."""
        first, second = instrument(engine), instrument(engine)
        use(engine)
        assert first is second
        assert value(first, metrics.CHECKOUTS) == 1
        assert value(first, metrics.CONNECTS) == 1

    def test_takes_the_new_name(self, engine: Engine) -> None:
        """A program that was instrumented from outside may still name its pools."""
        instrument(engine)
        assert instrument(engine, pool_name="core").pool_name == "core"
        assert instrument(engine).pool_name == "core"

    def test_an_engine_with_options_has_the_pool_of_its_parent(self, engine: Engine) -> None:
        """`execution_options` makes an engine that shares the pool."""
        child = engine.execution_options(isolation_level="AUTOCOMMIT")
        watching = instrument(child)
        del child
        gc.collect()
        assert instrument(engine) is watching
        use(engine)
        assert value(watching, metrics.CHECKOUTS) == 1

    def test_after_dispose_too(self, engine: Engine) -> None:
        """The pool that follows is watched by the same monitor."""
        first = instrument(engine)
        engine.dispose()
        assert instrument(engine) is first
        use(engine)
        assert value(first, metrics.CHECKOUTS) == 1

    def test_from_several_threads(self, engine: Engine) -> None:
        """Whoever comes first attaches, the others get what it got."""
        together = threading.Barrier(8)
        found: list[PoolMonitor] = []

        def attach() -> None:
            together.wait()
            found.append(instrument(engine))

        threads = [threading.Thread(target=attach) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1


class TestNames:
    """What a pool is called."""

    @pytest.mark.parametrize(
        ("url", "options", "name"),
        [
            ("postgresql+psycopg://user:secret@db.example:6432/shop", {}, "db.example:6432/shop"),
            ("postgresql+psycopg://user:secret@db.example/shop", {}, "db.example/shop"),
            ("postgresql+psycopg://user:secret@/shop?host=a&host=b", {}, "postgresql/shop"),
            ("postgresql+psycopg://user:secret@db.example/shop", {"pool_logging_name": "orders"}, "orders"),
            ("sqlite://", {}, "sqlite"),
        ],
    )
    def test_default(self, url: str, options: dict[str, Any], name: str) -> None:
        """OpenTelemetry's pattern, without user and password; SQLAlchemy's own name for the pool goes before it."""
        watching = instrument(create_engine(url, **options))
        assert watching.pool_name == name
        watching.uninstrument()

    def test_are_unique(self, make_engine: Callable[..., Engine]) -> None:
        """Several engines on one URL stay apart, and a name is free again when its engine is let go of."""
        engines = [make_engine() for _ in range(3)]
        first, second, third = (instrument(each, pool_name="core") for each in engines)
        assert (first.pool_name, second.pool_name, third.pool_name) == ("core", "core#2", "core#3")
        second.uninstrument()
        assert instrument(engines[1], pool_name="core").pool_name == "core#2"


class TestLate:
    """Engines that have worked before they are instrumented."""

    @pytest.mark.parametrize("pool_class", CLASSES)
    def test_what_is_out_is_seen(self, make_engine: Callable[..., Engine], pool_class: type[Pool]) -> None:
        """A connection that was out already is used, and counted when it comes back."""
        engine = make_engine(pool_class)
        connection = engine.connect()
        watching = instrument(engine)
        assert watching.state is not None
        assert (watching.state.used, watching.state.idle) == (1, 0)
        assert value(watching, metrics.OLDEST_CHECKOUT) >= 0
        connection.close()
        assert (watching.state.used, watching.state.idle) == (0, 0 if pool_class is NullPool else 1)
        assert value(watching, metrics.CHECKOUTS) == 0
        if pool_class is not StaticPool:
            assert value(watching, metrics.CHECKINS) == 1
            assert value(watching, metrics.USE_TIME).count == 0

    @pytest.mark.parametrize("pool_class", [each for each in CLASSES if each is not NullPool])
    def test_what_is_idle_is_seen(self, make_engine: Callable[..., Engine], pool_class: type[Pool]) -> None:
        """A connection that lies in the pool is idle, and counted when it is closed."""
        engine = make_engine(pool_class)
        use(engine)
        watching = instrument(engine)
        assert watching.state is not None
        assert (watching.state.used, watching.state.idle) == (0, 1)
        use(engine)
        assert value(watching, metrics.CONNECTS) == 0
        engine.dispose()
        assert value(watching, metrics.CLOSES, "disposed") == 1
        assert watching.state.idle == 0

    async def test_on_an_async_engine(self, tmp_path: Path) -> None:
        """The queue of a pool for asyncio is another."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/late.db")
        await (await engine.connect()).close()
        idle = instrument(engine)
        assert idle.state is not None
        assert (idle.state.used, idle.state.idle) == (0, 1)
        idle.uninstrument()
        async with engine.connect():
            out = instrument(engine)
            assert out.state is not None
            assert (out.state.used, out.state.idle) == (1, 0)
        assert (out.state.used, out.state.idle) == (0, 1)
        await engine.dispose()

    async def test_does_not_make_the_queue_of_an_unused_pool(self, tmp_path: Path) -> None:
        """SQLAlchemy makes it in the event loop that needs it; a scrape from another thread must not be the first."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/unused.db")
        watching = instrument(engine)
        assert watching.state is not None
        assert watching.state.waiting == 0
        assert "_queue" not in vars(engine.sync_engine.pool._pool)  # type: ignore[attr-defined]


def test_what_is_being_set_up_is_not_idle(engine: Engine) -> None:
    """A connection that is open, but has still to be prepared for its first user, is opening: nobody else can have it."""
    watching = instrument(engine)
    seen: list[tuple[int, int, int | None]] = []

    def look(*_: object) -> None:
        assert watching.state is not None
        seen.append((watching.state.used, watching.state.idle, watching.state.opening))

    event.listen(engine, "connect", look)
    connection = engine.connect()
    connection.invalidate()
    connection.close()
    use(engine)
    assert seen == [(0, 0, 1), (0, 0, 1)]


class TestLettingGo:
    """`uninstrument`, and what is kept alive."""

    def test_restores_the_pool(self, engine: Engine) -> None:
        """The pool has its own class again and no listener of ours, and nothing is told any more."""
        watching = instrument(engine)
        watching.uninstrument()
        use(engine)
        assert type(engine.pool) is QueuePool
        assert not engine.pool.dispatch.connect or all(
            "observability" not in str(each) for each in engine.pool.dispatch.connect
        )
        assert watching.collect not in registry.sources()
        assert value(watching, metrics.CHECKOUTS) == 0

    def test_can_be_undone(self, engine: Engine) -> None:
        """A new monitor begins at zero, and knows what the pool has."""
        old = instrument(engine)
        connection = engine.connect()
        use(engine)
        old.uninstrument()
        new = instrument(engine)
        assert new is not old
        assert new.state is not None
        assert (new.state.used, new.state.idle) == (1, 1)
        connection.close()
        use(engine)
        assert (value(new, metrics.CHECKOUTS), value(new, metrics.CHECKINS)) == (1, 2)

    def test_twice_is_once(self, engine: Engine) -> None:
        """Letting go again does nothing."""
        watching = instrument(engine)
        watching.uninstrument()
        watching.uninstrument()
        assert type(engine.pool) is QueuePool

    def test_with_a_connection_out(self, engine: Engine) -> None:
        """It comes back to a pool that nobody watches."""
        watching = instrument(engine)
        connection = engine.connect()
        watching.uninstrument()
        connection.close()
        assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]

    def test_keeps_no_engine_alive(self, tmp_path: Path) -> None:
        """An engine that nobody has any more is collected with its pool and its connections, and tells nothing."""
        engine = create_engine(f"sqlite:///{tmp_path}/gone.db")
        watching = instrument(engine, debug=True)
        use(engine)
        gone = weakref.ref(engine), weakref.ref(engine.pool)
        engine.pool.dispose()
        del engine
        gc.collect()
        assert [each() for each in gone] == [None, None]
        assert watching.collect() == ()
        assert watching.state is None
        watching.uninstrument()

    def test_forgets_a_monitor_with_its_engine(self, tmp_path: Path) -> None:
        """Nobody but the engine needs to keep the monitor."""
        engine = create_engine(f"sqlite:///{tmp_path}/gone.db")
        gone = weakref.ref(instrument(engine))
        gc.collect()
        assert gone() in registry.known()
        del engine
        gc.collect()
        assert gone() is None

    def test_slots_are_handed_on(self, make_engine: Callable[..., Engine]) -> None:
        """A pool that makes a new record for each connection needs no more memory for it."""
        engine = make_engine(NullPool)
        watching = instrument(engine)
        for _ in range(100):
            use(engine)
        assert value(watching, metrics.CHECKOUTS) == 100
        assert len(watching.ledger._slots) == 1


class TestRefusal:
    """What cannot be instrumented is said at once."""

    @pytest.mark.parametrize("what", [None, "sqlite://", object(), QueuePool])
    def test_of_what_is_no_engine(self, what: Any) -> None:
        """The error names what was given and what is needed."""
        with pytest.raises(InstrumentationError, match="create_async_engine, not"):
            instrument(what)

    def test_of_a_pool_that_does_not_let_itself_be_watched(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If it fails half-way, the engine is left as it was."""

        def refuse(*_: object) -> None:
            raise TypeError("__class__ assignment only supported for mutable types")

        monkeypatch.setattr(monitor, "follow", refuse)
        with pytest.raises(InstrumentationError, match=r"QueuePool.*__class__ assignment"):
            instrument(engine)
        assert type(engine.pool) is QueuePool
        use(engine)

    def test_names_no_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An engine's text hides it, and so does the error."""

        def refuse(*_: object) -> None:
            raise TypeError("no")

        monkeypatch.setattr(monitor, "follow", refuse)
        with pytest.raises(InstrumentationError) as caught:
            instrument(create_engine("postgresql+psycopg://user:secret@db.example/shop"))
        assert "secret" not in str(caught.value)


class TestOwnErrors:
    """The application notices nothing of a bug in here."""

    @pytest.mark.parametrize("broken", ["slot", "created", "count"])
    def test_stay_here(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
    ) -> None:
        """Connections are opened, used, invalidated and closed as ever; the errors are counted, and one is logged."""
        watching = instrument(engine, pool_name="core")

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
            patched.setattr(watching.ledger, broken, fail)
            for _ in range(3):
                connection = engine.connect()
                connection.invalidate()
                connection.close()
                engine.connect().detach()
            engine.dispose()
        assert len(caplog.records) == 1
        assert f"The instrumentation of pool {watching.pool_name!r} failed (RuntimeError: a bug)" in caplog.text
        if broken != "count":
            assert value(watching, metrics.LISTENER_ERRORS) >= 3

    def test_errors_of_the_application_are_its_own(self, engine: Engine) -> None:
        """What a listener of the application raises reaches the application, and is no error of ours."""

        def refuse(*_: object) -> None:
            raise RuntimeError("not now")

        watching = instrument(engine)
        event.listen(engine, "checkout", refuse)
        with pytest.raises(RuntimeError, match="not now"):
            engine.connect()
        assert value(watching, metrics.LISTENER_ERRORS) == 0
        assert value(watching, metrics.FAILED_CONNECTS, "error") == 1


def run(program: str, *arguments: str) -> str:
    """The output of a Python program that must end well and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class TestProcess:
    """The life of a whole process."""

    def test_child_of_a_fork_starts_from_nothing(self, tmp_path: Path) -> None:
        """What the parent counted and holds is the parent's; what the child does is counted from zero."""
        told = run(
            """
            import os, sys
            from sqlalchemy import create_engine
            from observability import instrument
            from observability.instrumentation.pool import metrics

            engine = create_engine(f"sqlite:///{sys.argv[1]}/fork.db")
            monitor = instrument(engine)
            held = engine.connect()
            engine.connect().close()

            def tell(who):
                (batch,) = monitor.collect()
                found = {each.metric: each.value for each in batch.samples if len(each.labels) == 1}
                state = monitor.state
                print(who, found[metrics.CHECKOUTS], found[metrics.CONNECTS], state.used, state.idle, state.disposed,
                      found[metrics.LISTENER_ERRORS], flush=True)

            child = os.fork()
            if child == 0:
                tell("child")
                engine.dispose(close=False)
                tell("disposed")
                engine.connect().close()
                tell("worked")
                os._exit(0)
            os.waitpid(child, 0)
            tell("parent")
            held.close()
            engine.dispose()
            """,
            str(tmp_path),
        )
        assert told.splitlines() == [
            "child 0 0 0 0 0 0",
            "disposed 0 0 0 0 0 0",
            "worked 1 1 0 1 0 0",
            "parent 2 2 1 1 0 0",
        ]

    def test_child_that_uses_what_it_inherited_sees_it(self, tmp_path: Path) -> None:
        """A child that does not dispose of the pool takes the parent's connections, and is told so."""
        told = run(
            """
            import os, sys
            from sqlalchemy import create_engine
            from observability import instrument

            engine = create_engine(f"sqlite:///{sys.argv[1]}/fork.db")
            monitor = instrument(engine)
            engine.connect().close()
            child = os.fork()
            if child == 0:
                with engine.connect():
                    print(monitor.state.used, monitor.state.idle, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            engine.dispose()
            """,
            str(tmp_path),
        )
        assert told == "1 0\n"

    @pytest.mark.parametrize("debug", [False, True])
    def test_ends_quietly(self, tmp_path: Path, *, debug: bool) -> None:
        """Connections that are out and threads that use the pool when the interpreter ends cause no complaint."""
        run(
            """
            import sys, threading
            from sqlalchemy import create_engine
            from observability import instrument

            engine = create_engine(f"sqlite:///{sys.argv[1]}/end.db")
            instrument(engine, debug=sys.argv[2] == "True")
            held = [engine.connect(), engine.connect()]
            engine.connect().close()

            def work():
                while True:
                    engine.connect().close()

            threading.Thread(target=work, daemon=True).start()
            """,
            str(tmp_path),
            str(debug),
        )

"""
What is told about the process.

`process.*` and `cpython.*` are OpenTelemetry's semantic conventions
(https://opentelemetry.io/docs/specs/semconv/system/process-metrics/), with their names, units and attributes; what they do
not know is under `ha.`. What a platform does not tell is absent.
"""

from __future__ import annotations

from observability.metrics import Metric

LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PAUSE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
GENERATION = "cpython.gc.generation"

LAG = Metric(
    name="ha.event_loop.lag",
    kind="histogram",
    unit="s",
    help="How late the event loop ran a timer that it runs a few times a second: what every task waited at that moment.",
    labels=("loop",),
    buckets=LAG_BUCKETS,
)
LAG_MAX = Metric(
    name="ha.event_loop.lag.max",
    kind="gauge",
    unit="s",
    help="The longest lag of the last minute, that of a loop included which is blocked right now.",
    labels=("loop",),
    across_workers="max",
)
PAUSE = Metric(
    name="ha.gc.pause",
    kind="histogram",
    unit="s",
    help="How long each run of the garbage collector stopped all other Python code, by generation.",
    labels=(GENERATION,),
    buckets=PAUSE_BUCKETS,
)
COLLECTIONS = Metric(
    name="cpython.gc.collections",
    kind="counter",
    unit="{collection}",
    help="Runs of the garbage collector, by generation.",
    labels=(GENERATION,),
)
COLLECTED = Metric(
    name="cpython.gc.collected_objects",
    kind="counter",
    unit="{object}",
    help="Objects that the garbage collector freed, by generation.",
    labels=(GENERATION,),
)
UNCOLLECTABLE = Metric(
    name="cpython.gc.uncollectable_objects",
    kind="counter",
    unit="{object}",
    help="Objects that the garbage collector found but could not free, by generation.",
    labels=(GENERATION,),
)
CPU = Metric(
    name="process.cpu.time",
    kind="counter",
    unit="s",
    help="Processor time that the process has used, by mode: user or system.",
    labels=("cpu.mode",),
)
MEMORY = Metric(
    name="process.memory.usage",
    kind="updowncounter",
    unit="By",
    help="Physical memory that the process occupies.",
    compat="process_resident_memory_bytes",
)
VIRTUAL_MEMORY = Metric(
    name="process.memory.virtual",
    kind="updowncounter",
    unit="By",
    help="Address space that the process has reserved.",
    compat="process_virtual_memory_bytes",
)
THREADS = Metric(
    name="process.thread.count",
    kind="updowncounter",
    unit="{thread}",
    help="Threads of the process, those included that run no Python.",
)
DESCRIPTORS = Metric(
    name="process.unix.file_descriptor.count",
    kind="updowncounter",
    unit="{file_descriptor}",
    help="File descriptors, and so connections, that the process has open.",
    compat="process_open_fds",
)
DESCRIPTOR_LIMIT = Metric(
    name="ha.process.file_descriptor.limit",
    kind="gauge",
    unit="{file_descriptor}",
    help="File descriptors that the process may have open; absent where there is no limit.",
    compat="process_max_fds",
    across_workers="min",
)
DESCRIPTORS_USED = Metric(
    name="ha.process.file_descriptor.utilization",
    kind="gauge",
    unit="1",
    help="Share of the file descriptors that the process may have open which it has open; at 1 it can accept nobody.",
    across_workers="max",
)
CONTEXT_SWITCHES = Metric(
    name="process.context_switches",
    kind="counter",
    unit="{context_switch}",
    help="How often the process gave up a processor (voluntary) or lost it (involuntary).",
    labels=("process.context_switch.type",),
)
FAULTS = Metric(
    name="process.paging.faults",
    kind="counter",
    unit="{fault}",
    help="Page faults of the process; major ones had to wait for a disk.",
    labels=("system.paging.fault.type",),
)
START = Metric(
    name="ha.process.start.time",
    kind="gauge",
    unit="s",
    help="When the process started, in seconds since 1970.",
    compat="process_start_time_seconds",
    across_workers="max",
)
UPTIME = Metric(
    name="process.uptime",
    kind="gauge",
    unit="s",
    help="How long the process has been running.",
    across_workers="min",
)
BUILD = Metric(
    name="ha.build.info",
    kind="gauge",
    help="Always 1; its labels say which Python and which version of this package run here.",
    labels=("process.runtime.name", "process.runtime.version", "version"),
    across_workers="max",
)

METRICS = (
    LAG, LAG_MAX, PAUSE, COLLECTIONS, COLLECTED, UNCOLLECTABLE, CPU, MEMORY, VIRTUAL_MEMORY, THREADS, DESCRIPTORS,
    DESCRIPTOR_LIMIT, DESCRIPTORS_USED, CONTEXT_SWITCHES, FAULTS, START, UPTIME, BUILD,
)  # fmt: skip

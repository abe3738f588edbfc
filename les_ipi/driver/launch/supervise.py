"""Start i-PI and its drivers, watch them, and stop them cleanly.

i-PI 3.3 hangs for ever when a driver is killed during an evaluation, and ends with status 0 when it stops
early. Therefore the drivers are watched here, and success is read from the last step, not from the status.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from les_ipi.driver.launch.progress import RunProgress
from les_ipi.driver.serve.loading import last_error

_POLL = 0.2
#: How long i-PI may take to write RESTART: a long evaluation must end first.
_STOP_PATIENCE = 120.0
#: How long i-PI may live on after it has sent its drivers away, normally to write its last files.
_LONELY_PATIENCE = 30.0


@dataclass
class _Child:
    process: subprocess.Popen
    log: Path
    log_start: int

    def explain(self, name: str) -> str:
        """Say why the child ended with an error: its own last sentence, or its status."""
        with open(self.log, "rb") as file:
            file.seek(self.log_start)
            sentence = last_error(file.read().decode("utf-8", "replace"))
        status = self.process.returncode
        if sentence:
            return sentence
        if status < 0:
            return f"{name} was killed by signal {-status} ({signal.Signals(-status).name})."
        return f"{name} ended with status {status}; see {self.log}."


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the signal that stopped it (or None), and a sentence about what went wrong (or None)."""

    signal: int | None
    problem: str | None


def supervise(
    simulate: Sequence[str], drivers: Sequence[Sequence[str]], directory: Path, report_fds: tuple[int, int],
    progress: RunProgress,
) -> Outcome:  # fmt: skip
    """Run i-PI and its drivers until i-PI ends, a driver dies, or a signal comes; all children have ended when this
    returns.

    The logs are written to ``ipi.log`` and ``driver_K.log``.

    Parameters:
        simulate: command line of the i-PI process.
        drivers: command lines of the drivers.
        directory: directory in which all of them run.
        report_fds: ends (read, write) of the pipe on which the i-PI process reports.
        progress: the progress that is shown meanwhile.

    Returns how the run ended.
    """
    read_end, write_end = report_fds
    caught: list[int] = []
    handlers = {s: signal.signal(s, lambda number, _: caught.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    ipi: _Child | None = None
    clients: list[_Child] = []
    try:
        ipi = _start(simulate, directory, "ipi.log", (write_end,))
        os.close(write_end)
        clients = [_start(command, directory, f"driver_{k}.log") for k, command in enumerate(drivers)]
        problem = _watch(ipi, clients, read_end, progress, caught)
        _stop(ipi)
        # i-PI's last words can be newer than the last look at them.
        _read_reports(read_end, progress)
        if problem is None and not caught and ipi.process.returncode != 0:
            problem = ipi.explain("i-PI")
        return Outcome(caught[0] if caught else None, problem)
    finally:
        for child in [*([ipi] if ipi else []), *clients]:
            _end(child)
        os.close(read_end)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], directory: Path, log: str, pass_fds: tuple[int, ...] = ()) -> _Child:
    path = directory / log
    with open(path, "ab") as file:
        start = file.tell()
        # Own session: Ctrl-C in the terminal must reach only this program, which stops the others in order.
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            pass_fds=pass_fds, start_new_session=True,
        )  # fmt: skip
    return _Child(process, path, start)


def _watch(
    ipi: _Child, clients: Sequence[_Child], read_end: int, progress: RunProgress, caught: list[int]
) -> str | None:
    """Return what went wrong with a driver, or None when i-PI has ended or a signal arrived."""
    served = time.monotonic()
    while ipi.process.poll() is None and not caught:
        if not _read_reports(read_end, progress):
            time.sleep(_POLL)
        statuses = [client.process.poll() for client in clients]
        if ipi.process.poll() is not None:
            break
        for number, status in enumerate(statuses):
            # 0: i-PI said EXIT or closed the connection.
            if status not in (None, 0):
                return clients[number].explain(f"Driver {number}")
        if not clients or None in statuses:
            served = time.monotonic()
        elif time.monotonic() - served > _LONELY_PATIENCE:
            return (
                "i-PI has closed the connections to all its drivers and waits for new ones: give its <ffsocket> a longer "
                "<timeout>."
            )
    return None


def _read_reports(read_end: int, progress: RunProgress) -> bool:
    """Show what i-PI has reported; returns whether there was (or can still be) something to wait for."""
    readable, _, _ = select.select([read_end], [], [], _POLL)
    if not readable:
        return True
    data = os.read(read_end, 1 << 16)
    for line in data.splitlines():
        with contextlib.suppress(ValueError):  # half a line at the end of a read: the next report follows
            report = json.loads(line)
            progress.update(report["step"], report["conserved"])
    return bool(data)


def _stop(ipi: _Child) -> None:
    """Ask i-PI for a clean end with RESTART; kill it only if it does not come."""
    if ipi.process.poll() is None:
        ipi.process.terminate()
        try:
            ipi.process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            ipi.process.kill()
    ipi.process.wait()


def _end(child: _Child, patience: float = 10.0) -> None:
    """End a child that should be gone by now."""
    try:
        child.process.wait(patience if child.process.poll() is None else 0)
    except subprocess.TimeoutExpired:
        child.process.terminate()
        try:
            child.process.wait(patience)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()

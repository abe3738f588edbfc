"""Fixtures of the tests that start i-PI."""

import os
import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by all child processes

from ipi_inputs import DIRECT, INPUT, NVE, SOCKET, TOY_PES, write_start


@pytest.fixture
def free_port():
    """A function that finds a TCP port that nobody uses."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            return probe.getsockname()[1]

    return find


@pytest.fixture
def make_input(tmp_path):
    """Write ``start.xyz`` and an input into a new directory; returns the input's path."""
    count = 0

    def make(transport="direct", *, model="toy", batch=1, beads=1, steps=100, motion=NVE, dt=0.5, outputs="",
             safe_stride=1, per_side=2, name=None, port=31415, pes=TOY_PES, kelvin=300):  # fmt: skip
        nonlocal count
        count += 1
        directory = tmp_path / (name or f"run{count}")
        directory.mkdir()
        write_start(directory / "start.xyz", per_side)
        if transport == "direct":
            field = DIRECT.format(pes=pes, batch=batch, model=model)
        else:
            address = f"{tmp_path.name}_{count}_{os.getpid()}" if transport == "unix" else "localhost"
            field = SOCKET.format(mode=transport, address=address, port=port, batch=batch)
        text = INPUT.format(
            force_field=field, beads=beads, steps=steps, outputs=outputs, safe_stride=safe_stride,
            motion=motion.format(dt=dt), kelvin=kelvin,
        )  # fmt: skip
        path = directory / "input.xml"
        path.write_text(text)
        return path

    return make

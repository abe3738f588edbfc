"""Real i-PI runs, made once a session."""

import pytest
from ipi_runs import NVE, TRPMD, run_ipi


@pytest.fixture(scope="session")
def classical_run(tmp_path_factory):
    """1000 steps of classical NVE of two toy waters."""
    return run_ipi(tmp_path_factory.mktemp("classical"), beads=1, dynamics=NVE, steps=1000)


@pytest.fixture(scope="session")
def trpmd_run(tmp_path_factory):
    """600 steps of TRPMD with four beads."""
    return run_ipi(tmp_path_factory.mktemp("trpmd"), beads=4, dynamics=TRPMD, steps=600)


@pytest.fixture(scope="session")
def rpmd_run(tmp_path_factory):
    """600 steps of RPMD with four beads; velocities as extended XYZ."""
    return run_ipi(tmp_path_factory.mktemp("rpmd"), beads=4, dynamics=NVE, steps=600, velocity_format="ase")

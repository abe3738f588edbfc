"""Windows and quantum corrections against closed forms."""

import numpy as np
import pytest

from les_ipi.analysis.constants import CM1_PER_KELVIN
from les_ipi.analysis.infrared import quantum
from les_ipi.analysis.statistics import windows
from les_ipi.errors import UserError


@pytest.mark.parametrize(
    ("name", "width"), [("hann", 1.4406), ("hamming", 1.3030), ("blackman", 1.6437), ("rectangular", 0.8859)]
)
def test_width_is_the_half_power_bandwidth(name, width):
    """Half-power widths of Harris' table, continuous limit."""
    assert windows.width_in_bins(name) == pytest.approx(width, abs=2e-4)


def test_overlap_of_hann_is_one_sixth_squared():
    assert windows.overlap_correlation(windows.taper("hann", 400), 200) == pytest.approx(1 / 36, rel=1e-6)


def test_length_and_resolution_are_inverse():
    length = windows.length_for_resolution("hann", 20.0, 0.5)
    assert windows.resolution_cm1("hann", length, 0.5) == pytest.approx(20.0, rel=1e-3)


def test_unknown_window_is_named():
    with pytest.raises(UserError, match="triangle"):
        windows.taper("triangle", 8)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("harmonic", lambda x: x / (1 - np.exp(-x))),
        ("none", lambda x: 1.0),
        ("standard", lambda x: 2 / (1 + np.exp(-x))),
        ("schofield", lambda x: np.exp(x / 2)),
        ("mixed", lambda x: np.exp(x / 4) * np.sqrt(x / (1 - np.exp(-x)))),
    ],
)
def test_quantum_factor_is_golden_rule_over_classical(name, factor):
    """ω(1−e^{−x}) Q(x) / (βħω²) for the table's Q."""
    kelvin, wavenumber = 300.0, np.array([10.0, 200.0, 3400.0])
    x = wavenumber / (CM1_PER_KELVIN * kelvin)
    expected = (1 - np.exp(-x)) * factor(x) / x
    assert quantum.correction_factor(name, wavenumber, kelvin) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", [n for n in quantum.CORRECTIONS if n != "harmonic"])
def test_quantum_correction_of_beads_is_refused(name):
    with pytest.raises(UserError, match="twice"):
        quantum.correction_factor(name, np.array([1.0]), 300.0, n_beads=16)


def test_all_corrections_are_one_in_the_classical_limit():
    for name in quantum.CORRECTIONS:
        assert quantum.correction_factor(name, np.array([0.0, 1e-4]), 300.0) == pytest.approx(1.0, abs=1e-6)

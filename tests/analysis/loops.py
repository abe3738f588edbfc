"""Loops with closed forms: lossy linear dielectric (ellipse) and tanh hysteron, with correlated noise."""

import numpy as np
from scipy.signal import lfilter

from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.units import EPSILON_0

AMPLITUDE, PERIOD_FS, DT_FS = 0.02, 4000.0, 2.0  # V/Å: 2 MV/cm


def sine(periods, dt=DT_FS, period=PERIOD_FS, amplitude=AMPLITUDE):
    """Time and field of a sine from E = 0."""
    time = np.arange(round(periods * period / dt) + 1) * dt
    return time, amplitude * np.sin(2 * np.pi * time / period)


def triangle(periods, dt=DT_FS, period=PERIOD_FS, amplitude=AMPLITUDE):
    """Time and field of a triangular sweep from E = 0."""
    time = np.arange(round(periods * period / dt) + 1) * dt
    return time, amplitude * 2 / np.pi * np.arcsin(np.sin(2 * np.pi * time / period))


def ellipse(periods, loss_angle, p0=1e-3, **waveform):
    """P lags behind a sine by ``loss_angle``: area π E0 P0 sin δ, E_c = E0 sin δ, P_r = P0 sin δ."""
    time, field = sine(periods, **waveform)
    period = waveform.get("period", PERIOD_FS)
    return Drive(time, field, p0 * np.sin(2 * np.pi * time / period - loss_angle), label="ellipse")


def correlated_noise(rng, size, sigma, correlation_samples):
    """Gaussian AR(1) noise of standard deviation ``sigma``."""
    a = np.exp(-1.0 / correlation_samples) if correlation_samples else 0.0
    white = rng.normal(size=size + 500) * sigma * np.sqrt(1 - a * a)
    return lfilter([1.0], [1.0, -a], white)[500:]


def folded(dipole, cells):
    """The representative of a dipole (..., 3) in the first cell of its lattice, by the nearest lattice vector."""
    reduced = np.linalg.solve(np.swapaxes(cells, -1, -2), dipole[..., None])[..., 0]
    return np.einsum("...k,...kc->...c", reduced - np.rint(reduced), cells)


HYSTERON = {"p_s": 0.05, "e_plus": 0.011, "e_minus": -0.009, "width": 0.0012, "chi": 30.0}


def hysteron(rng, periods=7, wave=sine, sigma=0.0, correlation_samples=15, jitter=0.0, absolute=True, offset=0.0):
    """P = ±P_s tanh((E ∓ E_c)/w) + ε0χE on rising and falling branches; E_c of each branch jitters.

    Independent of the code under test: branches are told apart by the analytic phase of the field.
    """
    h = HYSTERON
    time, field = wave(periods)
    branch = np.floor(time / PERIOD_FS * 2 + 0.5).astype(int)  # even: rising, odd: falling
    shift = rng.normal(size=branch.max() + 1)[branch] * jitter
    rising = np.tanh((field - h["e_plus"] - shift) / h["width"])
    falling = np.tanh((field - h["e_minus"] + shift) / h["width"])
    p = h["p_s"] * np.where(branch % 2 == 0, rising, falling) + EPSILON_0 * h["chi"] * field + offset
    p = p + correlated_noise(rng, p.size, sigma, correlation_samples)
    return Drive(time, field, p, absolute=absolute, volume_A3=4000.0, label="hysteron")


def hysteron_truth():
    """Exact numbers of the hysteron without jitter and noise, in the units of the metrics."""
    from scipy.integrate import quad
    from scipy.optimize import brentq

    from les_ipi.units import E_A2_C_M2

    h = HYSTERON

    def rising(e):
        return h["p_s"] * np.tanh((e - h["e_plus"]) / h["width"]) + EPSILON_0 * h["chi"] * e

    def falling(e):
        return h["p_s"] * np.tanh((e - h["e_minus"]) / h["width"]) + EPSILON_0 * h["chi"] * e

    plus, minus = brentq(rising, 0, AMPLITUDE), brentq(falling, -AMPLITUDE, 0)
    area = quad(lambda e: falling(e) - rising(e), -AMPLITUDE, AMPLITUDE, epsabs=1e-14, limit=400)[0]
    return {
        "coercive_field_plus_MV_cm": 100 * plus,
        "coercive_field_minus_MV_cm": 100 * minus,
        "coercive_field_MV_cm": 50 * (plus - minus),
        "imprint_field_MV_cm": 50 * (plus + minus),
        "remanent_polarization_C_m2": 0.5 * (falling(0) - rising(0)) * E_A2_C_M2,
        "remanent_polarization_plus_C_m2": falling(0) * E_A2_C_M2,
        "remanent_polarization_minus_C_m2": rising(0) * E_A2_C_M2,
        "saturation_polarization_C_m2": h["p_s"] * E_A2_C_M2,
        "squareness": 0.5 * (falling(0) - rising(0)) / h["p_s"],
        "susceptibility_at_tips": h["chi"],
        "loop_area_J_m3": area * E_A2_C_M2 * 1e10,
    }


def write_field_table(path, drive, header=(), direction=(0.0, 0.0, 1.0), current=None, prefix="simulation", dt=0.5):
    """A field table of a run as ``les-ipi run`` writes it; M is P·V along the field."""
    from les_ipi.conventions import FIELD_COLUMNS

    path.mkdir(parents=True, exist_ok=True)
    n, edge = drive.time_fs.size, drive.volume_A3 ** (1 / 3)
    axis = np.array(direction)
    dipole = (drive.polarization * drive.volume_A3)[:, None] * axis
    flow = np.gradient(dipole, drive.time_fs, axis=0) if current is None else current
    middle = 0.5 * (drive.field[1:] + drive.field[:-1])
    work = np.concatenate([[0.0], np.cumsum(middle * np.diff(drive.polarization * drive.volume_A3))])
    cells = np.tile((np.eye(3) * edge).ravel(), (n, 1))
    rows = np.column_stack(
        [np.round(drive.time_fs / dt), drive.time_fs, drive.field[:, None] * axis, dipole, flow,
         np.full(n, drive.volume_A3), cells, work]
    )  # fmt: skip
    lines = [f"# {key}: {value}" for key, value in dict(header).items()]
    text = "\n".join([*lines, "# " + " ".join(FIELD_COLUMNS)]) + "\n"
    file = path / f"{prefix}.field"
    with open(file, "w") as stream:
        stream.write(text)
        np.savetxt(stream, rows, fmt=["%d"] + ["%.12g"] * 21)
    return file

"""Waveforms against their closed forms, and field protocols with all the mistakes one can make in them."""

from typing import Literal

import numpy as np
import pytest
from scipy import signal
from scipy.integrate import quad

from les_ipi.conventions import FIELD_COLUMNS
from les_ipi.driver.fields import waveform
from les_ipi.driver.fields.driven import Reference
from les_ipi.driver.fields.field_record import FieldRecord
from les_ipi.driver.fields.protocol import describe, read_protocol
from les_ipi.errors import UserError

TIMES = np.linspace(0.0, 300.0, 1201)


def test_sine_and_triangle() -> None:
    np.testing.assert_allclose(
        waveform.sine(TIMES, 0.2, 80.0, 90.0), 0.2 * np.cos(2 * np.pi * TIMES / 80.0), atol=1e-14
    )
    # scipy's sawtooth of width 1/2 rises from −1 at 0 to 1 at π.
    expected = 0.2 * signal.sawtooth(2 * np.pi * TIMES / 80.0 + np.pi / 2, 0.5)
    np.testing.assert_allclose(waveform.triangle(TIMES, 0.2, 80.0), expected, atol=1e-12)
    np.testing.assert_allclose(waveform.triangle([0, 20, 40, 60, 80], 0.2, 80.0), [0, 0.2, 0, -0.2, 0], atol=1e-14)
    np.testing.assert_allclose(
        waveform.triangle(TIMES, 0.2, 80.0, 90.0), waveform.triangle(TIMES + 20, 0.2, 80.0), atol=1e-12
    )


def test_step_and_pund() -> None:
    np.testing.assert_allclose(
        waveform.step([0, 9.9, 10, 12, 14, 20, 22, 24, 30], 2.0, 10, 4, 20), [0, 0, 0, 1, 2, 2, 1, 0, 0]
    )
    np.testing.assert_allclose(waveform.step([0, 5, 10, 15], 2.0, 10), [0, 0, 1, 2])
    sequence = waveform.pund(TIMES, 0.3, width_fs=20, rise_fs=5, pause_fs=10, start_fs=7)
    middle = [7 + 15 + 40 * k for k in range(5)]
    np.testing.assert_allclose(np.interp(middle, TIMES, sequence), 0.3 * np.array([-1, 1, 1, -1, -1]))
    pauses = [3, *(7 + 35 + 40 * k for k in range(5)), 299]
    np.testing.assert_allclose(np.interp(pauses, TIMES, sequence), 0.0)
    area = np.trapezoid(np.abs(sequence), TIMES)
    assert area == pytest.approx(5 * 0.3 * (20 + 5), rel=1e-12)


def test_pulse() -> None:
    area = quad(lambda t: waveform.pulse(t, 0.4, 150.0, 12.0), 0, 300, points=[150])[0]
    assert area == pytest.approx(0.4 * 12.0 * np.sqrt(2 * np.pi), rel=1e-8)
    carried = quad(lambda t: waveform.pulse(t, 0.4, 150.0, 12.0, 30.0), 0, 300, points=[150])[0]
    assert carried == pytest.approx(area * np.exp(-0.5 * (2 * np.pi * 12.0 / 30.0) ** 2), rel=1e-6)


def test_table_and_numbers() -> None:
    times, fields = np.array([0.0, 10.0, 30.0]), np.array([[0, 0, 0], [1, 2, 3], [-1, 0, 1]])
    np.testing.assert_allclose(waveform.table(20.0, times, fields), [0, 1, 2])
    np.testing.assert_allclose(waveform.table([5.0, 20.0], times, fields[:, 2]), [1.5, 2.0])
    for value in (
        waveform.constant(3.0, 0.1),
        waveform.sine(3.0, 0.1, 5.0),
        waveform.triangle(3.0, 0.1, 5.0),
        waveform.pund(3.0, 0.1, 5.0, 1.0, 1.0),
        waveform.pulse(3.0, 0.1, 5.0, 1.0),
    ):
        assert np.shape(value) == ()


def write(tmp_path, text: str, table: str = "") -> str:
    path = tmp_path / "field.toml"
    path.write_text(text)
    (tmp_path / "e.dat").write_text(table)
    return str(path)


def test_protocol(tmp_path) -> None:
    text = 'waveform = "triangle"\namplitude = 0.05\ndirection = [0, 3, 4]\nperiod_fs = 200\n'
    protocol = read_protocol(write(tmp_path, text))
    np.testing.assert_allclose(protocol.field(50.0), 0.05 * np.array([0, 0.6, 0.8]))
    assert (protocol.frame, protocol.stride) == ("reduced", 1)
    header = describe(protocol)
    assert header == {
        "waveform": "triangle", "period_fs": "200", "amplitude_V_per_A": "0.05", "direction": "0 0.6 0.8", "frame": "reduced"
    }  # fmt: skip
    table = 'waveform = "table"\nfile = "e.dat"\ndirection = [1, 0, 0]\n'
    one = read_protocol(write(tmp_path, table, "# fs V/Å\n0 0\n10 0.2\n100 0.1\n"))
    np.testing.assert_allclose(one.field(5.0), [0.1, 0, 0])
    assert describe(one)["amplitude_V_per_A"] == "0.2"
    three = read_protocol(write(tmp_path, table, "0 0 0 0\n10 0.2 0 0.1\n"))
    np.testing.assert_allclose(three.field(5.0), [0.1, 0, 0.05])
    three.check_length(10.0)
    with pytest.raises(UserError, match="covers 0 to 10 fs, but the run goes from 0 to 12 fs"):
        three.check_length(12.0)


SINE = 'waveform = "sine"\ndirection = [0, 0, 1]\nperiod_fs = 100\n'
TABLE = 'waveform = "table"\nfile = "e.dat"\n'


@pytest.mark.parametrize(
    "text, table, match",
    [
        (SINE + "amplitude = 50\n", "", "amplitude 50 is above 5 V/Å"),
        (SINE + "amplitude = nan\n", "", "amplitude"),
        (SINE, "", "amplitude: Field required"),
        (SINE + "amplitude = 0.1\nphase = 3\n", "", "phase: Extra inputs are not permitted"),
        (SINE.replace("100", "-3") + "amplitude = 0.1\n", "", "period_fs: .*greater than 0"),
        (SINE.replace("0, 0, 1", "0, 0, 0") + "amplitude = 0.1\n", "", "direction is zero"),
        (SINE.replace("sine", "square") + "amplitude = 0.1\n", "", "no known waveform"),
        ("amplitude = 0.1\n", "", "no known waveform"),
        ("amplitude = = 1\n", "", "not valid TOML"),
        (
            'waveform = "step"\namplitude = 0.1\ndirection = [0, 0, 1]\nstart_fs = 20\nend_fs = 10\n',
            "",
            "end_fs lies before",
        ),
        (TABLE, "", "0 rows|no data|cannot be read"),
        (TABLE, "0 0\n1 x\n", "cannot be read"),
        (TABLE, "0 0 0\n1 0 0\n", "2 rows of 3 columns"),
        (TABLE, "0 0\n1 60\n", "reaches 60, above 5 V/Å"),
        (TABLE, "0 0\n2 1\n1 1\n", "goes back in time at row 3"),
        (TABLE, "0 0\n1 nan\n2 1\n", "has a gap: row 2 is not a number"),
        (TABLE, "".join(f"{t} 0.1\n" for t in range(30) if t not in (20, 21)), "has a gap of 3 fs after row 20"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_mistakes_in_a_protocol_get_one_sentence(tmp_path, text: str, table: str, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        read_protocol(write(tmp_path, text, table))
    assert "\n" not in str(caught.value)


def test_the_former_name_of_the_sine_is_read(tmp_path) -> None:
    """Protocols and records of earlier versions say sinus: they are read, and a run goes on under the new name."""
    protocol = read_protocol(write(tmp_path, SINE.replace("sine", "sinus") + "amplitude = 0.1\n"))
    assert protocol == read_protocol(write(tmp_path, SINE + "amplitude = 0.1\n")) and protocol.waveform == "sine"
    header, path = describe(protocol), tmp_path / "run.field"
    record = FieldRecord.create(path, header | {"waveform": "sinus"}, Reference(np.eye(3), None))
    record.append(np.zeros(len(FIELD_COLUMNS)))
    _, reference, past = FieldRecord.resume(path, 0, header)
    assert "# waveform: sine\n" in path.read_text() and reference.dipole is None and past.work == 0.0
    with pytest.raises(UserError, match="was driven with waveform = sine, but the protocol now says triangle"):
        FieldRecord.resume(path, 0, header | {"waveform": "triangle"})


def test_a_new_waveform_is_one_registered_class(tmp_path, monkeypatch) -> None:
    """Nothing besides the class has to know it: it is read, checked, described, and named among the known ones."""
    monkeypatch.setattr(waveform, "WAVEFORMS", known := list(waveform.WAVEFORMS))
    monkeypatch.setattr("les_ipi.driver.fields.protocol.WAVEFORMS", known)

    @waveform.register
    class Square(waveform.Amplitude):
        waveform: Literal["square"]
        period_fs: float

        def shape(self, time_fs):
            return self.amplitude * np.sign(np.sin(2 * np.pi * np.asarray(time_fs) / self.period_fs))

    protocol = read_protocol(write(tmp_path, SINE.replace("sine", "square") + "amplitude = 0.1\n"))
    assert (protocol.field(25.0)[2], protocol.field(75.0)[2]) == (0.1, -0.1)
    assert describe(protocol)["waveform"] == "square"
    with pytest.raises(UserError, match="pulse, table or square"):
        read_protocol(write(tmp_path, "amplitude = 0.1\n"))


def test_a_table_of_few_knots_has_no_gap(tmp_path) -> None:
    assert read_protocol(write(tmp_path, TABLE, "0 0\n1 0.1\n100 0.1\n101 0\n")).field(50.0)[2] == pytest.approx(0.1)

"""One set of options, read in the same way from Python, i-PI's parameters, JSON and the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from les_ipi import Evaluator, command_options
from les_ipi.conventions import Property, SumRule
from les_ipi.driver.serve.driver_process import DriverOptions
from les_ipi.driver.serve.options import ServeOptions
from les_ipi.errors import UserError
from les_ipi.evaluation.options import Dtype, EvaluationOptions
from les_ipi.options import Options

#: Every option of a driver with a value that is not its default, and the text that i-PI carries for it.
VALUES = {
    "device": ("cuda:1", "cuda:1"),
    "dtype": (Dtype.FLOAT64, "float64"),
    "threads": (3, "3"),
    "compile": (True, "true"),
    "long_range_accuracy": (1e-4, "0.0001"),
    "sum_rule": (SumRule.REPORT, "report"),
    "model": ("models/mine", "models/mine"),
    "template": ("start.xyz", "start.xyz"),
    "properties": ((Property.DIPOLE, Property.CHARGES), "dipole;charges"),
    "constant_field": ((0.0, -0.1, 0.25), "0;-0.1;0.25"),
    "voltage": ((1.0, 2.0, 3.5), "1;2;3.5"),
    "beads": (8, "8"),
}


def test_every_option_survives_text_json_and_python():
    options = ServeOptions(**{name: value for name, (value, _) in VALUES.items()})
    assert set(VALUES) == set(ServeOptions.names())
    assert all(value != ServeOptions.model_fields[name].default for name, (value, _) in VALUES.items())
    assert options.texts() == {name: text for name, (_, text) in VALUES.items()}
    assert ServeOptions(**options.texts()) == options
    assert ServeOptions(**json.loads(options.model_dump_json())) == options
    assert DriverOptions(**options.given(), port=5).given(ServeOptions) == options.given()
    assert EvaluationOptions(**options.given(EvaluationOptions)).given() == dict(list(options.given().items())[:6])


def test_an_empty_prefix_of_sockets_is_a_prefix():
    """With sockets_prefix='' i-PI takes the address as the whole path of its socket."""
    options = DriverOptions(model="a", unix="/tmp/water", prefix="")
    assert options.prefix == "" and DriverOptions(**json.loads(options.model_dump_json())).prefix == ""
    assert DriverOptions(prefix=None).prefix == DriverOptions().prefix == "/tmp/ipi_"


def test_numbers_and_truth_values_as_ipi_reads_them():
    """i-PI turns what looks like a number or a truth value into one before the PES sees it."""
    options = ServeOptions(model=1, template="a", compile="False", threads=2.0, beads="4", constant_field="0 0 0.1")
    assert (options.model, options.compile, options.threads, options.beads) == ("1", False, 2, 4)
    assert options.constant_field == (0.0, 0.0, 0.1)


def test_paths_and_arrays_as_python_has_them(tmp_path):
    options = ServeOptions(model=tmp_path, template=tmp_path / "start.xyz", constant_field=np.array([0.0, 0.0, 0.05]))
    assert (options.model, options.template) == (str(tmp_path), str(tmp_path / "start.xyz"))
    assert options.constant_field == (0.0, 0.0, 0.05)
    assert options.changed(constant_field=np.array([0.0, 0.1, 0.0])).constant_field == (0.0, 0.1, 0.0)


def test_nothing_is_given_by_none_and_empty_texts():
    options = ServeOptions(model="a", device=None, dtype="", voltage="", threads=None)
    assert options.given() == {"model": "a"} and not options.has_field
    assert (options.device, options.dtype, options.threads) == ("cpu", "float32", None)
    changed = options.changed(device="cuda", model=None, compile=False)
    assert changed.given() == {"device": "cuda", "compile": False, "model": "a"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dtype": "float16"}, "Unknown dtype 'float16': use float32 or float64."),
        ({"sum_rule": "ignore"}, "Unknown sum rule 'ignore': use project, report, raise."),
        ({"long_range_accuracy": 0.5}, "A long-range accuracy of 0.5 was asked for: give a relative error between 0 and 0.1."),
        ({"long_range_accuracy": "x"}, "A long-range accuracy of x was asked for: give a relative error between 0 and 0.1."),
        ({"threads": 0}, "The option 'threads' is 0, which is not allowed: Input should be greater than or equal to 1."),
        ({"compile": "perhaps"}, "The option 'compile' is 'perhaps', which is not allowed: "),
        ({"properties": 5}, "Unknown property '5': the driver can send dipole, "),
        ({"properties": "color"}, "Unknown property 'color': the driver can send dipole, "),
        ({"constant_field": 5}, "The constant field is '5': give three numbers, as in '0;0;0.05'."),
        ({"voltage": "0;nan;1"}, "The voltage is '0;nan;1': give three numbers, as in '0;0;0.05'."),
        ({"colour": "red"}, "Unknown option 'colour': choose from device, dtype, threads, compile, "),
    ],
)
def test_a_wrong_value_gets_one_sentence(values, sentence):
    with pytest.raises(UserError) as caught:
        ServeOptions(**values)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def test_a_missing_value_gets_one_sentence():
    class Needs(Options):
        file: Path

    with pytest.raises(UserError, match=r"^The option 'file' is missing\.$"):
        Needs()


def test_the_evaluator_takes_a_set_of_options_or_keywords():
    options = EvaluationOptions(dtype="float64", sum_rule="report", long_range_accuracy=1e-3)
    first = Evaluator.load("water-pbe0-ts", options)
    second = Evaluator.load("water-pbe0-ts", dtype="float64", sum_rule="report", long_range_accuracy=1e-3)
    assert str(first.dtype) == str(second.dtype) == "torch.float64" and first.sum_rule is second.sum_rule is SumRule.REPORT
    assert Evaluator.load("water-pbe0-ts", options, dtype="float32").sum_rule is SumRule.REPORT
    with pytest.raises(UserError, match="Unknown option 'precision'"):
        Evaluator.load("water-pbe0-ts", precision="float64")
    with pytest.raises(UserError, match=r"Unknown device 'gpu': use cpu, cuda or cuda:1\."):
        Evaluator.load("water-pbe0-ts", device="gpu")


def test_options_of_the_command_line_are_those_of_the_model():
    """Every alias is an option of the name of a field, has its help text, and gives a value that the field takes."""
    app, found = typer.Typer(), {}

    @app.command()
    def command(
        device: command_options.Device = None,
        dtype: command_options.Dtype = None,
        threads: command_options.Threads = None,
        compile: command_options.Compile = None,
        long_range_accuracy: command_options.LongRangeAccuracy = None,
        sum_rule: command_options.SumRule = None,
        properties: command_options.Properties = None,
        constant_field: command_options.ConstantField = None,
        voltage: command_options.Voltage = None,
        beads: command_options.Beads = None,
    ) -> None:
        found.update(locals())

    words = ["--compile" if name == "compile" else f"--{name.replace('_', '-')} {text.replace(';', ' ')}"
             for name, (_, text) in VALUES.items() if name not in ("model", "template", "properties")]  # fmt: skip
    words += ["--properties dipole,charges"]
    result = CliRunner().invoke(app, " ".join(words).split())
    assert result.exit_code == 0, result.output
    given = {name: value for name, value in found.items() if name in VALUES}
    assert ServeOptions(**given) == ServeOptions(**{n: v for n, (v, _) in VALUES.items() if n not in ("model", "template")})
    shown = {p.name: p for p in typer.main.get_command(app).params}
    for name in given:
        assert shown[name].help == ServeOptions.model_fields[name].description, name
    defaults = {name: shown[name].show_default for name in ("device", "dtype", "sum_rule", "properties", "beads")}
    assert defaults == {"device": "cpu", "dtype": "float32", "sum_rule": "project", "properties": "dipole", "beads": "1"}

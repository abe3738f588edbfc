"""The child processes (and the command) of ``les-ipi run`` with the toy instead of a real model."""

import sys
from pathlib import Path

from toy_water import ToyEvaluator

from les_ipi.driver.run import Programs, RunOptions, run
from les_ipi.driver.serve import main as serve
from les_ipi.driver.simulate import main as simulate

PROGRAMS = Programs(
    simulate=(sys.executable, __file__, "simulate"),
    serve=(sys.executable, __file__, "serve"),
)


def run_toy(input_xml, **options):
    return run(RunOptions(Path(input_xml), **options), PROGRAMS, ToyEvaluator.load)


if __name__ == "__main__":
    program, argument, *model = sys.argv[1:]
    if program == "run":
        field = Path(model[1]) if len(model) > 1 else None
        result = run_toy(argument, model=model[0], dtype="float64", field=field)
        sys.exit(0 if result.signal is None else 128 + result.signal)
    {"serve": serve, "simulate": simulate}[program](argument, ToyEvaluator.load)

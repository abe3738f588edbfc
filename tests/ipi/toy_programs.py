"""The child processes (and the command) of ``les-ipi run`` with the toy instead of a real model."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from toy_water import ToyEvaluator

from les_ipi.driver.launch.run import Programs, RunOptions, run
from les_ipi.driver.launch.simulate import main as simulate
from les_ipi.driver.serve.driver_process import main as serve

PROGRAMS = Programs(
    simulate=(sys.executable, __file__, "simulate"),
    serve=(sys.executable, __file__, "serve"),
)


#: The same with a new RESTART every tenth of a second instead of every minute.
OFTEN_RESTARTED = replace(PROGRAMS, simulate=(sys.executable, __file__, "simulate-often"))


def run_toy(input_xml, programs=PROGRAMS, **options):
    return run(RunOptions(input=Path(input_xml), **options), programs, ToyEvaluator.load)


if __name__ == "__main__":
    program, argument, *model = sys.argv[1:]
    if program == "run":
        field = Path(model[1]) if len(model) > 1 else None
        result = run_toy(argument, model=model[0], dtype="float64", field=field)
        sys.exit(0 if result.signal is None else 128 + result.signal)
    often = partial(simulate, restart_every_s=0.1)
    {"serve": serve, "simulate": simulate, "simulate-often": often}[program](argument, ToyEvaluator.load)

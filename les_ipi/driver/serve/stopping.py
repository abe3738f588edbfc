"""End an i-PI process from inside when an evaluation fails, with a RESTART file and a sentence."""

import os
import sys
from typing import NoReturn

from ipi.utils.softexit import softexit

from les_ipi.driver.serve.loading import print_error


def stop_simulation(message: str) -> NoReturn:
    """Let i-PI write RESTART and close its outputs, then end the process with a sentence and a status that is not
    zero.

    i-PI itself ends such runs with status 0. Its cleanup functions run in the order of their registration, so one
    that is registered now comes last. In a script or notebook (no ``hard_exit``) only the calling thread ends.

    Parameters:
        message: the sentence that says why.
    """
    print_error(message)
    if softexit.hard_exit:
        softexit.register_function(_exit_with_failure)
    softexit.trigger(status="restartable", message=message)
    raise SystemExit(1)  # not reached: trigger ends the thread


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)

"""Load the evaluator of a driver (torch is imported nowhere else in it), and pass errors on to ``les-ipi run``."""

import sys

from les_ipi.evaluation.options import EvaluationOptions

#: Starts the one sentence of a failed child process in its log.
ERROR_MARK = "les-ipi error: "


def load_evaluator(model: str, options: EvaluationOptions | None = None):
    """Load an evaluator; torch is imported here, so that ``--help`` stays fast.

    Parameters:
        model: path of a model folder, or name of a shipped model.
        options: how the model is evaluated, or None for the defaults.

    Returns ``Evaluator.load(model, options)``.
    """
    from les_ipi.evaluation.evaluator import Evaluator

    return Evaluator.load(model, options)


def print_error(message: str) -> None:
    """Print an error as a marked sentence that :func:`last_error` finds again."""
    print(ERROR_MARK + " ".join(str(message).split()), file=sys.stderr, flush=True)


def last_error(log: str) -> str | None:
    """Find why a child process failed.

    Parameters:
        log: text of its log.

    Returns the last marked sentence, without one the last line of an exception, and None if there is neither.
    """
    lines = log.splitlines()
    for line in reversed(lines):
        if line.startswith(ERROR_MARK):
            return line.removeprefix(ERROR_MARK)
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("Traceback"):
            ends = [line for line in lines[number + 1 :] if line and not line.startswith(" ")]
            return ends[0] if ends else None
    return None

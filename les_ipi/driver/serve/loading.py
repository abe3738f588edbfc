"""Load the evaluator of a driver (torch is imported nowhere else in it), and pass errors on to ``les-ipi run``."""

import sys

from les_ipi.evaluation.options import EvaluationOptions

#: Starts the one sentence of a failed child process in its log.
ERROR_MARK = "les-ipi error: "


def load_evaluator(model: str, options: EvaluationOptions | None = None):
    """Return ``Evaluator.load(model, options)``; torch is imported here, so that ``--help`` stays fast."""
    from les_ipi.evaluation.evaluator import Evaluator

    return Evaluator.load(model, options)


def print_error(message: str) -> None:
    """Print the sentence that :func:`last_error` finds again."""
    print(ERROR_MARK + " ".join(str(message).split()), file=sys.stderr, flush=True)


def last_error(log: str) -> str | None:
    """Find the last marked sentence in a child's log text, else the last exception line, else None."""
    lines = log.splitlines()
    for line in reversed(lines):
        if line.startswith(ERROR_MARK):
            return line.removeprefix(ERROR_MARK)
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("Traceback"):
            ends = [line for line in lines[number + 1 :] if line and not line.startswith(" ")]
            return ends[0] if ends else None
    return None

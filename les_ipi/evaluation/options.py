"""How a model is evaluated, declared once for the command line, i-PI's files, child processes and Python."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from les_ipi.conventions import SumRule
from les_ipi.errors import UserError
from les_ipi.options import Options

#: A relative error of the long-range sum from which on the numbers would mean nothing.
_LARGEST_ACCURACY = 0.1


class Dtype(StrEnum):
    """Arithmetic of the networks; geometry and sums of reference energies are always in float64."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


def _known_dtype(value: Any) -> Any:
    if value not in set(Dtype):
        raise UserError(f"Unknown dtype '{value}': use float32 or float64.")
    return value


def _known_sum_rule(value: Any) -> Any:
    if value not in set(SumRule):
        raise UserError(f"Unknown sum rule '{value}': use {', '.join(SumRule)}.")
    return value


def _relative_error(value: Any) -> float:
    try:
        accuracy = float(value)
    except (TypeError, ValueError):
        accuracy = -1.0
    if not 0 < accuracy < _LARGEST_ACCURACY:
        raise UserError(f"A long-range accuracy of {value} was asked for: give a relative error between 0 and 0.1.")
    return accuracy


class EvaluationOptions(Options):
    """Options of every program that evaluates a model; see :meth:`les_ipi.evaluation.evaluator.Evaluator.load`.

    The descriptions of the fields are the help texts of the command line.
    """

    device: str = Field("cpu", description="Where the model is evaluated: cpu, cuda, cuda:1, and so on.")
    dtype: Annotated[Dtype, BeforeValidator(_known_dtype)] = Field(
        Dtype.FLOAT32, description="Arithmetic of the networks, float32 or float64; geometry is always in float64."
    )
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Number of threads that torch uses in each process; without it, torch decides."
    )
    compile: bool = Field(
        False,
        description="Fuse the model into compiled code, which takes about a minute once and makes it about twice as fast.",
    )
    long_range_accuracy: Annotated[float, BeforeValidator(_relative_error)] | None = Field(
        None,
        description="Relative error allowed for the long-range potential and forces of large systems, for example 1e-4; "
        "without it, about the rounding error of the dtype.",
    )
    sum_rule: Annotated[SumRule, BeforeValidator(_known_sum_rule)] = Field(
        SumRule.PROJECT,
        description="What to do when the Born charges do not add up to the total charge: project (subtract the mean "
        "excess from every atom), report (leave them as they are) or raise (refuse more than 1e-6 e per atom).",
    )

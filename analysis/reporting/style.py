"""How results look: one palette and one style of figures, one form of a value with its error, one form of JSON."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that readers with colour-vision deficiencies can tell apart. Source: Okabe and Ito,
#: https://jfly.uni-koeln.de/color/.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
#: Opacity of error bands.
BAND = {"alpha": 0.25, "lw": 0}
_STYLE = {
    "font.size": 11,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_DOTS_PER_INCH = 200
#: Relative error below which the scatter of equal numbers is that of their rounding.
_ROUNDING = 1e-12


@contextmanager
def figure_file(path: Path, panels: int, size: tuple[float, float]) -> Iterator[tuple["Figure", list["Axes"]]]:
    """Open a figure of panels side by side, which is written to a file when the ``with`` block ends.

    Parameters: ``path`` of the image, whose suffix decides the format (`.png`, `.pdf`, ...); ``panels``, their number;
    ``size`` (width, height) of the whole figure in inches. Yields the figure and the list of its panels.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: neither the backend nor the figures of a notebook change.
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])
        figure.savefig(path, dpi=_DOTS_PER_INCH)


def value_and_error(value: float | None, error: float | None, factor: float = 1.0, missing: str = "-") -> str:
    """Format a number with its standard error, to two digits of the error: ``0.996 ± 0.012``, ``(1.23 ± 0.12)e-05``.

    A number has four digits when its error does not tell how many are significant: when there is no error, or when the
    error is only the rounding of the arithmetic.

    Parameters:
        value: the number, or None when it is unknown.
        error: its standard error in the same unit, or None when it is unknown.
        factor: factor to the unit that is shown.
        missing: text that stands for an unknown value.
    """
    if value is None or math.isnan(value):
        return missing
    value *= factor
    error = abs(factor * error) if error is not None else 0.0
    if not (math.isfinite(value) and math.isfinite(error) and error > _ROUNDING * abs(value)):
        return _four_digits(value)
    power = math.floor(math.log10(max(abs(value), error)))
    scale, form = (1.0, "{} ± {}") if -3 <= power < 6 else (10.0**power, f"({{}} ± {{}})e{power:+03d}")
    digits = max(0, 1 - math.floor(math.log10(error / scale)))
    return form.format(f"{value / scale:.{digits}f}", f"{error / scale:.{digits}f}")


def plain(value: object) -> object:
    """Convert a record to what JSON can hold: arrays and tuples become lists, numbers that are not finite become null.

    Parameters: ``value``, dictionaries, sequences, arrays and numbers nested to any depth. Returns the same with
    Python's own types only.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # arrays and numbers of NumPy
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _four_digits(value: float) -> str:
    """``17230`` where ``%.4g`` would write ``1.723e+04``."""
    large = 1e4 <= abs(value) < 1e6
    return f"{float(f'{value:.4g}'):.0f}" if large else f"{value:.4g}"

"""The field protocol of a run: ``field.toml`` as validated data, and the field that it means at every time."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Union

from pydantic import Field, TypeAdapter, ValidationError

import les_ipi.driver.fields.tabulated  # noqa: F401 (registers its waveform)
from les_ipi.conventions import LARGEST_FIELD_V_A
from les_ipi.driver.fields.waveform import WAVEFORMS, Waveform, current_name
from les_ipi.errors import UserError

#: Modes of i-PI's <dynamics> in which the cell moves, and the two frames differ.
VARIABLE_CELL = ("npt", "nst")


def read_protocol(path: str | Path) -> Waveform:
    """Read and check a ``field.toml``; a table that it names is looked for beside it.

    Parameters:
        path: the file.

    Returns the waveform with its keys. Raises ``UserError`` for every mistake in the file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"The field protocol '{path}' does not exist: give a TOML file with a waveform.")
    try:
        given = tomllib.loads(path.read_text())
        if isinstance(given.get("waveform"), str):
            given["waveform"] = current_name(given["waveform"])
        protocol = _any_waveform().validate_python(given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The field protocol '{path}' is not valid TOML ({error}).") from error
    except ValidationError as error:
        raise UserError(f"The field protocol '{path}' is wrong: {_first_mistake(error)}.") from error
    protocol.load(path.parent)
    return protocol


def _any_waveform() -> TypeAdapter[Any]:
    kinds = Union[tuple(WAVEFORMS)]  # noqa: UP007 (the members are known when the program runs)
    return TypeAdapter(Annotated[kinds, Field(discriminator="waveform")])


def describe(protocol: Waveform) -> dict[str, str]:
    """Describe a protocol by the texts that the header of a record contains: waveform, period, amplitude, direction
    and frame.
    """
    period = getattr(protocol, "period_fs", None)
    return {
        "waveform": protocol.waveform,
        "period_fs": "none" if period is None else f"{period:.12g}",
        "amplitude_V_per_A": f"{protocol.amplitude:.12g}",
        "direction": " ".join(f"{x:.12g}" for x in protocol.unit_vector),
        "frame": protocol.frame,
    }


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors()[0]
    where = ".".join(str(part) for part in mistake["loc"][1:])
    if where == "amplitude" and mistake["type"] in ("greater_than_equal", "less_than_equal"):
        return (
            f"the amplitude {mistake['input']:g} is above {LARGEST_FIELD_V_A:g} V/Å, at which matter breaks down; it must be "
            "in V/Å (1 V/Å = 10 V/nm = 1e5 kV/cm = 100 MV/cm)"
        )
    if mistake["type"].startswith("union_tag"):
        *names, last = (kind.name() for kind in WAVEFORMS)
        return f'it names no known waveform; write waveform = "..." with one of {", ".join(names)} or {last}'
    text = mistake["msg"].removeprefix("Value error, ")
    given = "" if mistake["type"] in ("missing", "value_error") else f" (found {mistake['input']!r})"
    return f"{where}: {text}{given}" if where else f"{text}{given}"

"""The tables of all keys of ``field.toml`` in docs/reference/field_toml.md, from the schema that validates the file.

``python docs/field_keys.py`` rewrites the page; the tests fail while it is out of date. Formulas come from the docstrings
of the waveforms, types and limits from the schema, meanings from :data:`MEANING` or from the ``description`` of a field.
"""

from pathlib import Path

import training_keys
from pydantic import BaseModel

from les_ipi.driver.fields.protocol import WAVEFORMS

PAGE = Path(__file__).parent / "reference" / "field_toml.md"

INTRODUCTION = """\
# field.toml: every key

A file with one waveform tells `les-ipi run --field` which electric field to apply
([how to apply a field](../how-to/fields.md)). The key `waveform` names one of the waveforms below, and each waveform
has its own keys. A key that is not listed is refused. This page is written by `python docs/field_keys.py` from the
schema.
"""

#: key → (unit, meaning).
MEANING: dict[str, tuple[str, str]] = {
    "direction": ("", "Cartesian direction of the field, of any length, in i-PI's frame (a along x, b in the xy plane)"),
    "frame": (
        "",
        "what stays fixed when the cell changes: `reduced` keeps the voltage along every lattice vector, `lab` keeps the "
        "Cartesian field",
    ),
    "stride": ("steps", "interval between two rows of the record `PREFIX.field`"),
    "amplitude": ("V/Å", "amplitude A of the field"),
    "period_fs": ("fs", "period T"),
    "phase_deg": ("°", "phase φ"),
    "start_fs": ("fs", "time at which the field begins to rise"),
    "rise_fs": ("fs", "duration of each linear edge"),
    "end_fs": ("fs", "time at which the field begins to fall; without it the field stays on"),
    "width_fs": ("fs", "duration of each pulse"),
    "pause_fs": ("fs", "time without field between two pulses"),
    "centre_fs": ("fs", "centre t₀ of the pulse"),
    "sigma_fs": ("fs", "width σ of the Gaussian envelope"),
    "file": ("", "text file with the columns time (fs) and E (V/Å along `direction`), or time, Ex, Ey and Ez (V/Å)"),
}


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def rows(schema: type[BaseModel], keys: set[str]) -> str:
    """A table of some keys of a schema. Raises ``KeyError`` for a key without a meaning."""
    lines = ["| key | type | default | limits | unit | meaning |", "|---|---|---|---|---|---|"]
    properties = schema.model_json_schema()["properties"]
    for key, field in schema.model_fields.items():
        if key not in keys:
            continue
        if not field.description and key not in MEANING:
            raise KeyError(f"{key} has no description: give its field one, or add it to MEANING in {Path(__file__).name}")
        unit, meaning = ("", field.description) if field.description else MEANING[key]
        found = properties[key].get("anyOf", [properties[key]])[0]
        limits = ", ".join(f"{sign} {found[name]:g}" for name, sign in _LIMITS.items() if name in found)
        cells = [f"`{key}`", _type(found), training_keys.default_of(field), limits, unit, meaning]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _type(found: dict) -> str:
    if "enum" in found:
        return ", ".join(f"`{value}`" for value in found["enum"])
    return {"array": "three numbers", "string": "text"}.get(found["type"], found["type"])


def page() -> str:
    """The whole page."""
    schemas = WAVEFORMS
    common = set.intersection(*(set(schema.model_fields) for schema in schemas)) - {"waveform"}
    parts = [INTRODUCTION, "## Keys of every waveform\n", rows(schemas[0], common)]
    for schema in schemas:
        parts.append(f"## {schema.name()}\n\n{schema.__doc__.replace('``', '`')}\n")
        parts.append(rows(schema, set(schema.model_fields) - common - {"waveform"}))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())

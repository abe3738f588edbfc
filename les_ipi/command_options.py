"""Options that several commands share: declared once, with the help texts of the options models."""

from typing import Annotated, Any

import typer

from les_ipi.driver.serve.options import ServeOptions


def _option(name: str, *declarations: str, **settings: Any) -> Any:
    """The typer option of a field of :class:`ServeOptions`; its default is that of the field."""
    field = ServeOptions.model_fields[name]
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = True if default is None or isinstance(default, bool) else str(default)
    return typer.Option(*declarations, help=field.description, show_default=shown, **settings)


Device = Annotated[str | None, _option("device")]
Dtype = Annotated[str | None, _option("dtype")]
Threads = Annotated[int | None, _option("threads", min=1)]
Compile = Annotated[bool | None, _option("compile", "--compile/--eager")]
LongRangeAccuracy = Annotated[float | None, _option("long_range_accuracy")]
SumRule = Annotated[str | None, _option("sum_rule")]
Properties = Annotated[str | None, _option("properties")]
ConstantField = Annotated[tuple[float, float, float] | None, _option("constant_field", metavar="X Y Z")]
Voltage = Annotated[tuple[float, float, float] | None, _option("voltage", metavar="A B C")]
Beads = Annotated[int | None, _option("beads", min=1)]
ModelArgument = Annotated[str, typer.Argument(help=ServeOptions.model_fields["model"].description)]

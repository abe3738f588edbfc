"""The base of all sets of options: immutable, validated, and read in the same way from Python, text and JSON."""

import os
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from les_ipi.errors import UserError


class Options(BaseModel):
    """Named values of which some were given and the others have their defaults.

    A value that is None counts as not given, and so does an empty text, except for the options of which it is a proper value
    (:attr:`may_be_empty`). A path counts as its text. Texts become numbers and truth values, so that i-PI's
    ``<parameters>``, the command line and the JSON of a child process are read by the same rules.
    Raises ``UserError`` with one sentence for an unknown name and for a value that is not allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, protected_namespaces=())

    #: Names of options of which an empty text is a value.
    may_be_empty: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **values: Any):
        try:
            super().__init__(**self._present(values))
        except ValidationError as error:
            raise UserError(self._sentence(error)) from error

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all options of this class, in the order of their declaration."""
        return tuple(cls.model_fields)

    def given(self, kind: type["Options"] | None = None) -> dict[str, Any]:
        """Name → value of what was given, of the options that ``kind`` (by default this class) has."""
        names = (kind or type(self)).names()
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}

    def changed(self, **values: Any) -> Self:
        """The same options with other values for the names given here; None and "" leave a value as it is."""
        return type(self)(**self.given() | self._present(values))

    def texts(self) -> dict[str, str]:
        """Name → text of what was given, as i-PI's ``<parameters>`` carry it: the parts of a list are joined by ``;``."""
        return {name: _text(value) for name, value in self.given().items()}

    @classmethod
    def _present(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The values that count as given, paths as texts."""
        texts = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in values.items()}
        return {
            name: value
            for name, value in texts.items()
            if value is not None and not (isinstance(value, str) and not value and name not in cls.may_be_empty)
        }

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            return f"Unknown option '{name}': choose from {', '.join(cls.names())}."
        if first["type"] == "missing":
            return f"The option '{name}' is missing."
        return f"The option '{name}' is {first['input']!r}, which is not allowed: {first['msg']}."


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ";".join(_text(part) for part in value)
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value).lower() if isinstance(value, bool) else str(value)

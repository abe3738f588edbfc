"""Short-range models and charge heads by the names that training files and model cards give them.

A package of its own registers what it adds when it is imported, and names the module that does so as an entry point of the
group ``les_ipi.models``: the module is imported when a file or a card asks for a name that is not known yet.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from les_ipi.models.contract import ShortRangeModel
    from les_ipi.models.heads import ChargeHead

#: Entry points of packages that register models.
ENTRY_POINTS = "les_ipi.models"
#: The short-range model of files and cards that name none.
NATIVE = "ace"


class ShortRangeSettings(BaseModel):
    """What every table ``[short_range]`` has; the settings of a model inherit from it.

    ``kind`` is the name that the model is registered with. ``core_cutoff`` maps pairs such as ``"O-O"`` to the distance in Å
    where their ZBL repulsion ends. ``"auto"`` lets training choose it from the shortest distances of the data; a model that is
    built without data then has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    cutoff: float = Field(4.5, gt=0.5, le=20)
    core_cutoff: dict[str, Annotated[float, Field(gt=0)]] | Literal["auto"] = "auto"


class ShortRangeEntry(NamedTuple):
    """A registered short-range model: the schema of its settings, and what builds it from them and the atomic numbers."""

    settings: type[ShortRangeSettings]
    build: Callable[[Any, list[int]], "ShortRangeModel"]


_SHORT_RANGE: dict[str, ShortRangeEntry] = {}
_HEADS: dict[str, type["ChargeHead"]] = {}


def register_short_range(
    name: str, settings: type[ShortRangeSettings], build: Callable[[Any, list[int]], "ShortRangeModel"]
) -> None:
    """Let ``[short_range] kind = name`` in training files and model cards mean this model.

    Parameters: ``settings`` schema of the table; ``build`` makes the model with fresh weights from the settings and the atomic
    numbers of the species list.
    """
    _SHORT_RANGE[name] = ShortRangeEntry(settings, build)


def register_head(head: type["ChargeHead"]) -> type["ChargeHead"]:
    """Class decorator: let ``[charges] head = head.name`` in training files and model cards mean this charge head."""
    _HEADS[head.name] = head
    return head


def short_range_entry(kind: str) -> ShortRangeEntry:
    """The short-range model of this name. Raises a pydantic error that names the known ones."""
    return _found(_SHORT_RANGE, kind, "kind", ())


def charge_head(name: str) -> type["ChargeHead"]:
    """The charge head of this name. Raises a pydantic error that names the known ones."""
    return _found(_HEADS, name, "Input", ("none",))


def _found(table: dict[str, Any], name: Any, what: str, others: Iterable[str]) -> Any:
    known = isinstance(name, str)
    if known and name not in table:
        for point in entry_points(group=ENTRY_POINTS):
            _load(point)
    if not known or name not in table:
        *first, last = (repr(choice) for choice in (*table, *others))
        choices = f"{', '.join(first)} or {last}" if first else last
        raise PydanticCustomError("unknown_name", "{what} should be {choices}", {"what": what, "choices": choices})
    return table[name]


def _load(point: EntryPoint) -> None:
    try:
        point.load()
    except Exception as error:  # a package of others can fail in any way
        facts = {"module": point.value, "error": f"{type(error).__name__}: {error}"}
        message = "the installed module '{module}', which registers models, cannot be imported ({error})"
        raise PydanticCustomError("broken_package", message, facts) from error


def _settings(value: Any) -> Any:
    """Settings of the model that a table names."""
    if not isinstance(value, dict):
        return value
    return short_range_entry(value.get("kind", NATIVE)).settings.model_validate(value)


def _head_name(value: str) -> str:
    if value != "none":
        charge_head(value)
    return value


#: Field types of the tables ``[short_range]`` and of ``head`` in ``[charges]``.
ShortRangeTable = Annotated[SerializeAsAny[ShortRangeSettings], BeforeValidator(_settings)]
HeadName = Annotated[str, AfterValidator(_head_name)]

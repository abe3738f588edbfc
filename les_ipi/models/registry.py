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
    """Settings that every table ``[short_range]`` of a training file has; the settings of a model inherit from this
    class.

    Attributes:
        kind: the name with which the model is registered.
        cutoff: distance in Å within which atoms are neighbours.
        core_cutoff: pairs of elements such as "O-O" and the distances in Å where their ZBL repulsion ends. "auto"
            lets the training choose them from the shortest distances of the data; a model that is built without data
            then has no repulsion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    cutoff: float = Field(4.5, gt=0.5, le=20)
    core_cutoff: dict[str, Annotated[float, Field(gt=0)]] | Literal["auto"] = "auto"


class ShortRangeEntry(NamedTuple):
    """A registered short-range model: the class of its settings, and the function that builds it from settings and
    elements.
    """

    settings: type[ShortRangeSettings]
    build: Callable[[Any, list[int]], "ShortRangeModel"]


_SHORT_RANGE: dict[str, ShortRangeEntry] = {}
_HEADS: dict[str, type["ChargeHead"]] = {}


def register_short_range(
    name: str, settings: type[ShortRangeSettings], build: Callable[[Any, list[int]], "ShortRangeModel"]
) -> None:
    """Register a short-range model under a name that training files and model cards use as ``[short_range] kind =
    name``.

    Parameters:
        name: the value of ``kind`` that chooses this model.
        settings: class with the settings of the model, derived from :class:`ShortRangeSettings`.
        build: function that makes the model with fresh weights from its settings and from the list of atomic numbers
            of the elements.
    """
    _SHORT_RANGE[name] = ShortRangeEntry(settings, build)


def register_head(head: type["ChargeHead"]) -> type["ChargeHead"]:
    """Class decorator that registers a charge head, so that files and cards can name it as ``[charges] head =
    head.name``.

    Parameters:
        head: the class of the head, with its name in the attribute ``name``.

    Returns the same class.
    """
    _HEADS[head.name] = head
    return head


def short_range_entry(kind: str) -> ShortRangeEntry:
    """Find the short-range model that is registered under a name. Raises a pydantic error that names the known ones."""
    return _found(_SHORT_RANGE, kind, "kind", ())


def charge_head(name: str) -> type["ChargeHead"]:
    """Find the charge head that is registered under a name. Raises a pydantic error that names the known ones."""
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

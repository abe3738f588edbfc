"""Models that come with the program, and the rule that turns a name or a path into a folder."""

from pathlib import Path

from les_ipi.errors import UserError

SHIPPED = Path(__file__).parent / "shipped"


def shipped_models() -> dict[str, Path]:
    """List the models that come with the program.

    Returns a dictionary from the name of every shipped model to its folder.
    """
    return {p.name: p for p in sorted(SHIPPED.glob("*")) if (p / "card.json").is_file()}


def find_model(model: str | Path) -> Path:
    """Find the folder of a model.

    Parameters:
        model: path of a model folder, or name of a shipped model.

    Returns the path of the folder.

    Raises ``UserError``, which lists the names of the shipped models, if there is no such model.
    """
    path = Path(model)
    if path.name == "card.json":
        path = path.parent
    if (path / "card.json").is_file():
        return path
    known = shipped_models()
    if str(model) in known:
        return known[str(model)]
    names = ", ".join(known) or "none"
    raise UserError(f"There is no model '{model}': give the path of a model folder or a shipped name ({names}).")

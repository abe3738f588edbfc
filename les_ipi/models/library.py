"""Models that come with the program, and the rule that turns a name or a path into a folder."""

from pathlib import Path

from les_ipi.errors import UserError

SHIPPED = Path(__file__).parent / "shipped"


def shipped_models() -> dict[str, Path]:
    """Name → folder of every shipped model."""
    return {p.name: p for p in sorted(SHIPPED.glob("*")) if (p / "card.json").is_file()}


def find_model(model: str | Path) -> Path:
    """Folder of a model given by path or by shipped name. Raises ``UserError`` with the known names otherwise."""
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

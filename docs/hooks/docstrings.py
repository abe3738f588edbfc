"""Extension of griffe: docstrings of this project, which are written in a little reStructuredText, as Markdown.

Roles become links where the name is on an API page and code elsewhere; simple tables become Markdown tables; formulas
that stand on lines of their own become blocks; ``Parameters:``, ``Returns`` and their like begin a paragraph. Characters
that Markdown or HTML would swallow (``*``, ``<``) are kept.
"""

import re
from pathlib import Path

import griffe

PAGES = Path(__file__).parents[1] / "reference" / "api"
_ROLE = re.compile(r":(?:func|class|mod|meth|data|attr):`~?([\w.]+)`")
_CODE = re.compile(r"``(.+?)``", re.DOTALL)
_RULE = re.compile(r"=+(?: +=+)+")
_LABEL = re.compile(r"(?<=[.:;)\]0-9a-zA-Z`])\s+(?=(?:Parameters|Returns|Raises|Source|Sources|Not included|Shapes)\b[:\s])")
_BOLD = re.compile(r"^(Parameters|Parameters and result|Returns|Raises|Sources?|Not included|Shapes)\b", re.MULTILINE)


class ReStructuredDocstrings(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def __init__(self) -> None:
        self._shown = {match for page in PAGES.glob("*.md") for match in re.findall(r"^::: (\S+)", page.read_text(), re.M)}

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Called by griffe for every object that it has read."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value, self._target)

    def _target(self, name: str) -> str | None:
        """The full name under which an API page shows ``name``, or None."""
        short = name.rsplit(".", 1)[-1]
        found = [shown for shown in self._shown if shown == name or shown.rsplit(".", 1)[-1] == short]
        return found[0] if len(found) == 1 else None


def to_markdown(text: str, target=lambda name: None) -> str:
    """A docstring as Markdown; ``target`` gives the name of a cross reference or None."""
    blocks = re.split(r"\n[ \t]*\n", text)
    return "\n\n".join(_block(block, target) for block in blocks)


def _block(block: str, target) -> str:
    lines = block.splitlines()
    if _RULE.fullmatch(lines[0].strip()) and len(lines) > 2:
        return _table([line.rstrip() for line in lines], target)
    if all(line.startswith("    ") for line in lines):
        return "\n".join(line for line in lines)  # a formula: already a code block of Markdown
    named = re.fullmatch(r"(Attributes|Parameters):", lines[0].strip())
    if named and len(lines) > 1:
        entries = re.split(r"\n(?=    \S)", "\n".join(lines[1:]))
        items = (re.sub(r"^\s*([\w, ]+):", r"``\1``:", " ".join(entry.split())) for entry in entries)
        return f"**{named[1]}**\n\n" + "\n".join(f"- {_inline(item, target)}" for item in items)
    paragraphs = _LABEL.sub("\n\n", _inline(block, target))
    return _BOLD.sub(r"**\1**", paragraphs)


def _inline(text: str, target) -> str:
    """Roles and code converted, everything else kept literally."""
    parts, end = [], 0
    for match in re.finditer(f"{_ROLE.pattern}|{_CODE.pattern}", text, re.DOTALL):
        parts.append(_literal(text[end : match.start()]))
        name, code = match[1], match[2]
        if code is not None:
            parts.append(f"`{' '.join(code.split())}`")
        elif reference := target(name):
            parts.append(f"[`{name.rsplit('.', 1)[-1]}`][{reference}]")
        else:
            parts.append(f"`{name}`")
        end = match.end()
    return "".join(parts) + _literal(text[end:])


def _literal(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_").replace("|", "&#124;")


def _table(lines: list[str], target) -> str:
    """A simple table of reStructuredText; without a second rule the columns have no headings."""
    starts = [match.start() for match in re.finditer(r"=+", lines[0])]
    rules = [i for i, line in enumerate(lines) if _RULE.fullmatch(line.strip())]
    bounds = [*starts[1:], None]

    def cells(line: str) -> list[str]:
        return [_inline(line[a:b].strip(), target) for a, b in zip(starts, bounds, strict=True)]

    head = cells(lines[1]) if len(rules) == 3 else [""] * len(starts)
    rows: list[list[str]] = []
    for line in lines[rules[-2] + 1 : rules[-1]]:
        row = cells(line)
        if rows and not row[0]:  # a continued row
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(starts), *rows])

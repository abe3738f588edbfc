"""The XML of i-PI's inputs, RESTART files and checkpoints: a safe parser, and the values of elements."""

import codecs
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from les_ipi.errors import UserError
from les_ipi.ipi_files.conversions import to_program_units

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BEFORE_THE_ROOT = re.compile(r"\s*(?:(?:<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>)\s*)*", re.DOTALL)
_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def parse_simulation(path: str | Path) -> ET.Element:
    """Read an i-PI input, RESTART or checkpoint and return its ``<simulation>`` element without comments.

    i-PI writes the directory of a run into a comment of RESTART, and a name with two dashes (``run--2``) is forbidden in
    the comments of XML; comments are therefore removed before the text is parsed. Line numbers in messages stay right.
    External entities are never loaded.

    Parameters: ``path``. Raises :class:`UserError` for a file that is missing, is not in its encoding (UTF-8 unless it
    declares another), is no XML, or has another root.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"The i-PI input '{path}' does not exist.")
    try:
        text = _decode(path.read_bytes())
    except (UnicodeError, LookupError) as error:
        raise UserError(f"The i-PI input '{path}' cannot be decoded ({error}): save it as UTF-8.") from error
    try:
        root = ET.fromstring(_COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text))
    except ET.ParseError as error:
        raise UserError(f"The i-PI input '{path}' is not valid XML ({error}).") from error
    if root.tag != "simulation":
        raise UserError(f"The i-PI input '{path}' starts with <{root.tag}>, but i-PI expects <simulation>.")
    return root


def is_simulation(path: Path) -> bool:
    """Whether a file begins as an i-PI input does, with ``<simulation>`` after declarations and comments."""
    if not path.is_file():
        return False
    try:
        text = _decode(path.read_bytes())
    except (UnicodeError, LookupError):
        return False
    return re.match(r"<simulation[\s/>]", text[_BEFORE_THE_ROOT.match(text).end() :]) is not None


def _decode(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    declared = _ENCODING.match(data)
    return data.decode(declared[1].decode() if declared else "utf-8")


def read_quantity(element: ET.Element, dimension: str | None, path: Path) -> float:
    """The number in an element, in the program's unit.

    Parameters: ``element``, whose attribute ``units`` may name a unit (atomic units otherwise); ``dimension`` as
    :func:`to_program_units`, None for a number as it is; ``path`` of the file, for the message. Raises :class:`UserError`
    for text that is no number (i-PI knows no Fortran exponents such as ``1.0D-3``), and for an unknown unit.
    """
    try:
        value = float(element.text or "")
    except ValueError as error:
        raise UserError(f"<{element.tag}> in '{path}' is '{(element.text or '').strip()}', not a number.") from error
    return value if dimension is None else value * to_program_units(dimension, element.get("units", ""))


def read_integer(text: str, name: str, path: Path) -> int:
    """A whole number; ``name`` says what it is. Raises :class:`UserError` for another text."""
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"{name} in '{path}' is '{text.strip()}', not a whole number.") from error


def read_list(text: str) -> list[str]:
    """The items of i-PI's ``[a, b, c]``, without blanks and quotes; the brackets may be missing."""
    inner = text.strip().removeprefix("[").removesuffix("]")
    return [item.strip(" \n\t'") for item in inner.split(",")] if inner.strip() else []


def read_numbers(element: ET.Element, dimension: str | None, path: Path) -> np.ndarray:
    """The numbers of an array element such as ``<cell>`` or ``<amp>``, flat, in the program's unit.

    Parameters and errors: as :func:`read_quantity`.
    """
    items = read_list(element.text or "")
    try:
        values = np.array([float(item) for item in items])
    except ValueError as error:
        raise UserError(f"<{element.tag}> in '{path}' holds something that is not a number ({error}).") from error
    return values if dimension is None else values * to_program_units(dimension, element.get("units", ""))


def read_parameters(element: ET.Element) -> dict[str, str]:
    """The ``<parameters>{key: value, ...}</parameters>`` of a force field, empty without any."""
    text = (element.findtext("parameters") or "").strip().strip("{}")
    pairs = (item.partition(":") for item in text.split(",") if item.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}

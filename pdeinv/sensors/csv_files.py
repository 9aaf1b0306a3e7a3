"""Sensor tables in text files: separators, decimal marks, comments and encodings."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pdeinv.errors import InputError
from pdeinv.sensors.columns import NUMERIC, REQUIRED, is_number

__all__ = ["parse_csv", "read_csv", "read_open_file"]

_SEPARATORS = (",", ";", "\t", "|", " ")
_DIGITS = re.compile(r"[^\d.,]?[\d.,]+([eE].*)?")  # a number with any marks
_BOMS = (  # the longer ones first
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)


class _Line(NamedTuple):
    number: int
    text: str

    @property
    def is_comment(self) -> bool:
        return self.text.lstrip().startswith("#")


class _Row(NamedTuple):
    line: int
    cells: list[str]


def read_csv(path: Path) -> pd.DataFrame:
    """Return the table of a text file, as `parse_csv`.

    Arguments:
        path: the file, in UTF-8, in UTF-16 with a byte-order mark, or in the Western European code
            page 1252.

    Raises:
        InputError: the file cannot be read, or is no text with one row on each line.
    """
    name = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}..."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"the sensor file {name!r} does not exist; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the name of a sensor file in it") from None
    except OSError as error:
        raise InputError(
            f"{name!r} cannot be read ({error.strerror}); choose a readable file"
        ) from None
    except ValueError:  # a zero byte in the name
        raise InputError(
            f"the name of the sensor file must be printable, got {name!r}; check the path"
        ) from None
    return parse_csv(_decode(content, path.name), path.name)


def read_open_file(file: object) -> tuple[pd.DataFrame, str]:
    """Return the table of an open file, of text or bytes, as `parse_csv`; and its name.

    Raises:
        InputError: the file cannot be read, or is no text with one row on each line.
    """
    name = getattr(file, "name", None)
    origin = Path(name).name if isinstance(name, str) else "the sensor file"
    try:
        content = file.read()  # type: ignore[attr-defined]
    except (OSError, TypeError, ValueError) as error:  # closed, or opened for writing
        raise InputError(f"{origin} cannot be read ({error}); open it for reading") from error
    if isinstance(content, bytes):
        content = _decode(content, origin)
    if not isinstance(content, str):
        raise InputError(
            f"{origin} must hold text, got a {type(content).__name__}; open a text file"
        )
    return parse_csv(content, origin), origin


def _decode(content: bytes, origin: str) -> str:
    """Return the text of a file's bytes.

    Raises:
        InputError: these are no text.
    """
    encodings = [name for mark, name in _BOMS if content.startswith(mark)][:1]
    for encoding in encodings or ("utf-8", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\0-\x08\x0e-\x1f]", text):
            return text
    raise InputError(
        f"{origin} is not a text file in UTF-8; save the table as comma-separated text (CSV)"
    )


def parse_csv(text: str, origin: str) -> pd.DataFrame:
    """Return the cells of a table with a header as texts, numbers with a decimal point.

    Values are separated by commas, semicolons, tabs, bars or blanks, as the header shows; decimals
    have points or commas. Empty lines, lines that start with `#`, and a first line `sep=;` are left
    out. The header may stand behind a `#`.

    Arguments:
        text: the table, one row on each line.
        origin: origin of the table, for messages.

    Raises:
        InputError: the table can be read in more than one way, or a line has too few or too many
            values.
    """
    lines = [
        _Line(i, line)
        for i, line in enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), 1)
        if line.strip()
    ]
    hint = re.fullmatch(r'"?sep=([^\w"])"?\1*\s*', lines[0].text, re.IGNORECASE) if lines else None
    separators = (hint[1], *_SEPARATORS) if hint else _SEPARATORS
    lines = lines[1:] if hint else lines
    header, separator, lines = _header(lines, separators, origin)
    rows = list(_rows(lines, separator, header, origin))
    if _decimal_commas(rows, header, origin):
        numeric = [i for i, name in enumerate(header) if name in NUMERIC]
        for row in rows:
            for i in numeric:
                row.cells[i] = row.cells[i].replace(",", ".")
    return pd.DataFrame([row.cells for row in rows], columns=header, dtype=object)


def _header(
    lines: list[_Line], separators: tuple[str, ...], origin: str
) -> tuple[list[str], str, list[_Line]]:
    """Return the names of the columns, the separator, and the lines without the header."""
    plain = next((i for i, line in enumerate(lines) if not line.is_comment), len(lines))
    candidates = [(i, lines[i].text.lstrip().lstrip("#")) for i in range(plain - 1, -1, -1)]
    if plain < len(lines):
        candidates.insert(0, (plain, lines[plain].text))
    best: tuple[list[str], str, list[_Line]] | None = None
    for i, text in candidates:
        for separator in separators:
            try:
                names = _split(text, separator)
            except csv.Error:
                continue
            while len(names) > 1 and not names[-1]:
                names.pop()
            rest = lines[:i] + lines[i + 1 :]
            if set(REQUIRED) <= set(names):
                return names, separator, rest
            # Without a header, the message is about the columns of the first line
            if i == plain and (best is None or len(names) > len(best[0])):
                best = names, separator, rest
    if best is None:
        raise InputError(f"{origin} is empty; give it the columns field, x, y, value[, noise_std]")
    return best


def _rows(lines: list[_Line], separator: str, header: list[str], origin: str) -> Iterator[_Row]:
    """Yield the cells of the rows, as many as the header has."""
    plain = [line for line in lines if not line.is_comment]
    hidden = [line for line in lines if line.is_comment and _reads_as_row(line, separator, header)]
    if hidden and plain:
        raise InputError(
            f"{origin}, line {hidden[0].number} starts with # and has the form of a reading; put "
            f"its first value in quotes if it is one, or drop the line"
        )
    for line in plain or hidden:
        try:
            cells = _split(line.text, separator)
        except csv.Error as error:
            raise InputError(
                f"{origin} cannot be read as CSV (line {line.number}: {error}); mend that line"
            ) from None
        if not any(cells):
            continue
        extra = cells[len(header) :]
        if len(cells) < len(header) or any(extra):
            raise InputError(
                f"{origin}, line {line.number} has {len(cells)} values for {len(header)} columns; "
                f"mend it, with semicolons between values that have decimal commas"
            )
        yield _Row(line.number, cells[: len(header)])


def _reads_as_row(line: _Line, separator: str, header: list[str]) -> bool:
    """Return whether a line that starts with # may be a row all the same.

    A name of a field does not start with #.
    """
    if header[0] == "field":
        return False
    try:
        cells = _split(line.text, separator)
    except csv.Error:
        return False
    return len(cells) == len(header) and all(
        is_number(cell.replace(",", ".", 1))
        for name, cell in zip(header, cells, strict=True)
        if name in NUMERIC[:3]
    )


def _split(text: str, separator: str) -> list[str]:
    text = text.strip(" ") if separator == "\t" else text.strip()
    if '"' in text:
        reader = csv.reader([text], delimiter=separator, skipinitialspace=True, strict=True)
        cells = next(reader)
    else:
        cells = text.split(None if separator == " " else separator)
    return [cell.strip() for cell in cells]


def _decimal_commas(rows: list[_Row], header: list[str], origin: str) -> bool:
    """Return whether the numbers have decimal commas.

    Raises:
        InputError: both readings are possible.
    """
    numeric = [i for i, name in enumerate(header) if name in NUMERIC]
    cells = [(row.line, row.cells[i]) for row in rows for i in numeric]
    commas = [(line, cell) for line, cell in cells if "," in cell and _DIGITS.fullmatch(cell)]
    for line, cell in commas:
        if cell.count(",") > 1 or "." in cell:
            raise InputError(
                f"{origin}, line {line}: a number must have no separators of thousands, got "
                f"{cell}; write it with a decimal mark alone"
            )
    if not commas:
        return False
    points = [line for line, cell in cells if "." in cell and _DIGITS.fullmatch(cell)]
    if points:
        raise InputError(
            f"{origin} has decimal commas (line {commas[0][0]}) and decimal points (line "
            f"{points[0]}); use one of them in all numbers"
        )
    if all(re.fullmatch(r"\W?[1-9]\d{0,2},\d{3}", cell) for _, cell in commas):
        raise InputError(
            f"{origin}, line {commas[0][0]}: the comma in its number may be decimal or separate "
            f"thousands; write numbers with decimal points"
        )
    return True

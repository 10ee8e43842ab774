"""Lines of a CSV file that somebody gives: labels of images, scores of a detector. Standard library only."""

import csv
from collections.abc import Sequence
from pathlib import Path

from advgen.core.errors import BadFile, MissingFile


def read_csv(path: str | Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Every line by column name; `columns` must be there and filled.

    Raises:
        MissingFile: there is no such file.
        BadFile: it is no CSV, has no lines, or lacks a column or a value; says where.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise MissingFile(f"there is no file {str(path)!r}.")
    try:
        with place.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = [dict(line) for line in reader]
            names = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} is not a CSV file: {error}.") from None
    for column in columns:
        if column not in names:
            raise BadFile(f"{path} has no column {column!r}; it has {', '.join(map(str, names)) or 'none'}.")
    if not lines:
        raise BadFile(f"{path} has no line below its header.")
    short = [i for i, line in enumerate(lines) if any(line.get(c) in (None, "") for c in columns)]
    if short:
        raise BadFile(f"{path}, line {short[0] + 2}: {' and '.join(columns)} must not be empty.")
    return lines

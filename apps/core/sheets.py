"""Tables as files for spreadsheets: CSV (RFC 4180, UTF-8 with BOM) and XLSX. No text becomes a formula.

Public surface: :func:`csv_lines`, :func:`xlsx`, :func:`safe`.

A spreadsheet takes text that begins with one of :data:`FORMULA` for a formula (OWASP, CSV injection), so such text gets an
apostrophe in front. Numbers and moments that we write ourselves stay what they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
#: What a cell of XLSX can hold.
LONGEST = 32_767


def safe(value: Any) -> Any:
    """A cell's value that no spreadsheet carries out: text is marked, numbers and dates stay, nothing else is let through."""
    if value is None or isinstance(value, bool | int | Decimal | date):
        return value
    text = ILLEGAL_CHARACTERS_RE.sub("", str(value))
    # A spreadsheet trims blanks and full-width signs before it looks.
    first = text.lstrip(" \u00a0")[:1].translate({0xFF1D: "=", 0xFF0B: "+", 0xFF0D: "-", 0xFF20: "@"})
    return f"'{text}" if first in FORMULA and first else text


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a CSV file, the first with a byte order mark, so that Excel reads UTF-8."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    for row in (head, *((_plain(safe(cell)) for cell in row) for row in rows)):
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def xlsx(head: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str) -> bytes:
    """A workbook of one sheet; its first row stands still and can be filtered. Moments are UTC, as the head says."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title[:31])
    sheet.freeze_panes = "A2"
    bold = Font(bold=True)
    titles = []
    for text in head:
        cell = WriteOnlyCell(sheet, value=str(text))
        cell.font = bold
        titles.append(cell)
    sheet.append(titles)
    count = 1
    for row in rows:
        sheet.append([_cell(sheet, safe(value)) for value in row])
        count += 1
    sheet.auto_filter.ref = f"A1:{_letter(len(head))}{count}"
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _cell(sheet: Any, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, value=value[:LONGEST])
    cell.data_type = "s"  # text, whatever it looks like
    return cell


def _letter(number: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(number))

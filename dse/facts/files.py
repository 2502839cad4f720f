"""Text files that people give us: read with a bound on their size, and refused with the place of what is no text."""

import codecs
import csv
import io
from contextlib import suppress
from pathlib import Path

from dse.facts.errors import Mistake, SpecError

TABLE = 50_000_000
"""Bytes of a table of measurements or of points, at most."""

TRACE = 2_000_000_000
"""Bytes of a trace, at most: the five million rows that are read from one need about half of it."""

PIECE = 1_000_000
"""Bytes that are read, or checked to the end of a line, at once."""

_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: str | Path, most: int) -> str:
    """Text of a file of at most `most` bytes in UTF-8; a larger one is not read into memory.

    >>> read_text(__file__, 100)
    Traceback (most recent call last):
    ...
    dse.facts.errors.SpecError: ... at most 100 are read
    """
    raw = _bytes(path, most)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_text(path, raw, error.start) from error
    if "\0" in text:
        raise _no_text(path, raw, raw.index(b"\0"))
    return text


def stream(path: str | Path, most: int) -> io.BytesIO:
    """Bytes of a file that hold what :func:`read_text` returns, checked piece by piece: as text they take far more.

    >>> io.TextIOWrapper(stream(__file__, 100_000), "utf-8-sig").readline().strip()[3:13]
    'Text files'
    """
    raw, start = _bytes(path, most), 0
    if b"\0" in raw:
        raise _no_text(path, raw, raw.index(b"\0"))
    while start < len(raw):
        end = raw.find(b"\n", start + PIECE) + 1 or len(raw)
        try:
            raw[start:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _no_text(path, raw, start + error.start) from error
        start = end
    return io.BytesIO(raw)


def _bytes(path: str | Path, most: int) -> bytes:
    try:
        with Path(path).open("rb") as opened:
            buffer = io.BytesIO()
            while buffer.tell() <= most and (piece := opened.read(PIECE)):
                buffer.write(piece)
        raw = buffer.getvalue()
        size = len(raw) if len(raw) <= most else max(Path(path).stat().st_size, len(raw))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SpecError([Mistake(str(path), 0, 0, "", f"cannot be read: {why}")]) from error
    if len(raw) > most:
        raise SpecError([Mistake(str(path), 0, 0, "", f"has {size:,} bytes; at most {most:,} are read")])
    if raw.startswith(_MARKS):
        raise SpecError([Mistake(str(path), 1, 1, "", "is not UTF-8 text but UTF-16 or UTF-32: save it as UTF-8")])
    return raw


def _no_text(path: str | Path, raw: bytes, offset: int) -> SpecError:
    """What is wrong with the byte at which a file stops being text."""
    line, column = _place(raw[:offset])
    why = "is not UTF-8 text" if raw[offset] else "holds a NUL byte: this is not a text file"
    return SpecError([Mistake(str(path), line, column, "", why)])


def is_file(path: Path) -> bool:
    r"""Whether there is a file; False for a name that no file can have.

    >>> is_file(Path("x" * 5000)), is_file(Path("a\0b"))
    (False, False)
    """
    with suppress(OSError, ValueError):
        return path.is_file()
    return False


def absolute(path: Path) -> Path:
    """Path that does not depend on where the program runs; one that no file can have is left to whoever reads it."""
    with suppress(OSError, ValueError):
        return path.resolve()
    return path.absolute()


def table(text: str, name: str) -> list[tuple[int, list[str]]]:
    r"""Rows of a CSV text with their line numbers; SpecError says where it is none.

    >>> table("a,b\n1,2", "<text>")
    [(1, ['a', 'b']), (2, ['1', '2'])]
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise SpecError([Mistake(name, max(reader.line_num, 1), 1, "", f"is not CSV: {error}")]) from error


def _place(before: bytes) -> tuple[int, int]:
    """Line and column, from 1, of the byte after these."""
    return before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1

"""Small pieces of HTML; every text that comes in is escaped here and nowhere else."""

from collections.abc import Iterable, Sequence
from html import escape

MOST_COLUMNS = 8
"""More than this cannot be read."""


def text(value: object) -> str:
    """Escaped text.

    >>> text("<b> & 'c'")
    '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return escape(str(value), quote=True)


def paragraph(words: object, kind: str = "") -> str:
    """One paragraph of plain words."""
    return f"<p{_class(kind)}>{text(words)}</p>"


def sentence(words: str) -> str:
    """Words as a sentence: a capital first, a period last.

    >>> sentence("prices of 2026-02, 9 months old")
    'Prices of 2026-02, 9 months old.'
    """
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], words: Iterable[int] = (0,), kind: str = ""
) -> str:
    """Table of plain texts; columns in `words` are aligned left, the others are numbers."""
    if len(header) > MOST_COLUMNS:
        raise ValueError(f"a table has at most {MOST_COLUMNS} columns, this one has {len(header)}")
    left = frozenset(words)

    def line(cells: Sequence[object], tag: str) -> str:
        made = (
            f"<{tag}{'' if column in left else _class('number')}>{text(cell)}</{tag}>"
            for column, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    head = f"<thead>{line(header, 'th')}</thead>"
    return f'<div class="scroll"><table{_class(kind)}>{head}<tbody>{body}</tbody></table></div>'


def listing(items: Iterable[object], kind: str = "") -> str:
    """Bulleted list of plain texts."""
    return f"<ul{_class(kind)}>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>"


def details(summary: object, body: str) -> str:
    """Part that is folded until it is asked for; `body` is HTML."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def slot(key: str, kind: str = "") -> str:
    """Place of a figure."""
    return f'<div class="figure{f" {text(kind)}" if kind else ""}" data-figure="{text(key)}"></div>'


def _class(kind: str) -> str:
    return f' class="{text(kind)}"' if kind else ""

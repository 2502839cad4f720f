"""Sentences and tables as Markdown, or as one HTML page that needs nothing else."""

from collections.abc import Sequence
from html import escape

from dse.insight.table import Table

STYLE = """
:root{color-scheme:light dark;--ink:#1f2530;--pale:#66707f;--line:#d9dee6;--paper:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--pale:#9aa4b2;--line:#39424f;--paper:#14181f}}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--ink);background:var(--paper);
max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin:0 0 .2rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
p.note{color:var(--pale);margin:.2rem 0 1rem}
table{border-collapse:collapse;font-size:.92em;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th.n,td.n{text-align:right}th{color:var(--pale);font-weight:600}
.scroll{overflow-x:auto}
dt{font-weight:600;float:left;clear:left;width:9rem}dd{margin:0 0 .4rem 9rem;overflow-wrap:anywhere}
@media(max-width:40rem){dt{float:none}dd{margin-left:0}}
"""
"""Look of a page: system fonts, light and dark."""


def markdown_table(table: Table) -> str:
    """Table as Markdown.

    >>> print(markdown_table(Table(("metric", "A"), (("$/task", "0.3"),))))
    | metric | A |
    |---|---:|
    | $/task | 0.3 |
    """
    marks = ["---" if column in table.left else "---:" for column in range(len(table.header))]
    rows = [table.header, *table.rows]
    lines = [f"| {' | '.join(_cell(text) for text in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'|'.join(marks)}|", *lines[1:]])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def html_table(table: Table) -> str:
    """Table as HTML, escaped."""

    def row(cells: Sequence[str], tag: str) -> str:
        looks = ["" if column in table.left else ' class="n"' for column in range(len(cells))]
        made = [f"<{tag}{look}>{escape(text)}</{tag}>" for look, text in zip(looks, cells, strict=True)]
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in table.rows)
    return f'<div class="scroll"><table><thead>{row(table.header, "th")}</thead><tbody>{body}</tbody></table></div>'


def markdown(title: str, said: Sequence[tuple[str, str]], tables: Sequence[Table], note: str) -> str:
    """Title, sentences with their subjects, tables, note."""
    parts = [f"# {title}", "\n".join(f"- **{subject}**: {text}" for subject, text in said)]
    parts += [markdown_table(table) for table in tables if table.rows]
    return "\n\n".join(part for part in [*parts, f"*{note}*"] if part) + "\n"


def html(title: str, said: Sequence[tuple[str, str]], tables: Sequence[Table], note: str) -> str:
    """The same as a page of its own."""
    return page(title, f'<h1>{escape(title)}</h1><p class="note">{escape(note)}</p>{fragment(said, tables)}')


def fragment(said: Sequence[tuple[str, str]], tables: Sequence[Table]) -> str:
    """Sentences and tables as a part of a page."""
    lines = "".join(f"<dt>{escape(subject)}</dt><dd>{escape(text)}</dd>" for subject, text in said)
    listed = "".join(html_table(table) for table in tables if table.rows)
    return f"<dl>{lines}</dl>{listed}" if lines else listed


def page(title: str, body: str, style: str = STYLE) -> str:
    """Complete document."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{style}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'

"""The accuracy table: blind and in-sample errors beside those of a peer and of a pure limit, on the same rows.

`dse calibrate KERNELS STEPS SERVING --cross-validate device --cross-validate model --accuracy FILE` computes the
figures and keeps them in a file; `markdown` renders them, so the table in the documents cannot drift from the file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dse.facts.errors import Mistake, SpecError
from dse.insight.fidelity.folds import Folds, in_sample
from dse.insight.fidelity.refit import Refit
from dse.insight.fidelity.validate import Line, Score
from dse.insight.wording import percent

Record = dict[str, Any]


class Entry(NamedTuple):
    """One line of the table: which scores it shows and what they are held against."""

    source: str
    what: str
    quantity: str
    by: str = "all"
    value: str = "all"
    figure: str = "median"
    """Field of a score: `median` error, or `spearman` rank correlation."""
    target: float | None = None
    """Most error, or least correlation."""
    why: str = ""
    """Why it falls short, where it does."""


KERNELS, STEPS, SERVING = "kernels, measured", "passes, composed from measured kernels", "serving runs, measured"

ENTRIES = (
    Entry(KERNELS, "matrix products", "linear", target=0.15),
    Entry(KERNELS, "prefill attention", "attention_prefill", target=0.25),
    Entry(
        KERNELS,
        "decode attention",
        "attention_decode",
        target=0.25,
        why="a thousand requests with a few tokens of context each take twice as long as predicted and more, a tile "
        "each whatever its length, and one floor does not suit A100 and H100 alike; from 256 tokens of context on the "
        "error is 13 to 19 % in sample",
    ),
    Entry(KERNELS, "routed experts", "experts"),
    Entry(KERNELS, "all-reduce of engines", "all_reduce", target=0.25),
    Entry(KERNELS, "collectives of a library, never fitted", "library", target=0.25),
    Entry(STEPS, "decode pass", "seconds", "phase", "decode", target=0.15),
    Entry(STEPS, "prefill pass", "seconds", "phase", "prefill", target=0.20),
    Entry(SERVING, "TPOT, aggregated", "tpot", "phase", "agg", target=0.15),
    Entry(SERVING, "TPOT, aggregated: rank correlation", "tpot", "phase", "agg", "spearman", 0.92),
    Entry(
        SERVING,
        "TTFT, aggregated, at most 16 clients",
        "ttft",
        "load",
        "agg, at most 16",
        target=0.30,
        why="the front end of the engine, not the device, takes most of the time to a first token at little load",
    ),
    Entry(
        SERVING,
        "TTFT, aggregated, any load",
        "ttft",
        "phase",
        "agg",
        target=0.40,
        why="above 16 clients the first token waits for the prefills of others, and how many there are depends on how "
        "the engine mixes prefill with decode; repeats of one run scatter by a factor of 1.7 (p90)",
    ),
    Entry(SERVING, "TPOT, disaggregated, worker counts known", "tpot", "phase", "disagg"),
    Entry(
        SERVING,
        "TTFT, disaggregated, worker counts known",
        "ttft",
        "phase",
        "disagg",
        why="41 runs, none of them in the fit; bounds of a closed network stand in for its queues",
    ),
)
"""Lines of the table."""

HEADER = ("source", "figure", "n", "without the device", "without the model", "in sample", "peer", "limit", "target")
"""Columns of the table."""


def record(made: Refit, command: str, date: str) -> Record:
    """Figures of a fit and its folds, as kept in the results file.

    Parameters
    ----------
    made : Refit                       with folds by device and by model
    command, date : str                how and when the figures were made

    Returns
    -------
    dict                               JSON content; errors are medians of |predicted / measured - 1|
    """
    columns = {"in_sample": in_sample(made.files, made.own), **{own.by: own for own in made.folds}}
    rows = [row for entry in ENTRIES if (row := _row(entry, columns)) is not None]
    starts = {own.by: own.starts for own in made.folds if own.starts}
    files = {kind: {"rows": len(table), "file": Path(table.path).name} for kind, table in made.files.items()}
    return {"command": command, "date": date, "files": files, "rows": rows, "starts": starts}


def _row(entry: Entry, columns: Mapping[str, Folds]) -> Record | None:
    """One line of figures; None where the files have no such rows."""
    found = {name: own for name, folds in columns.items() if (own := _line(folds, entry)) is not None}
    if "in_sample" not in found:
        return None
    base = found["in_sample"]
    return {
        "source": entry.source,
        "what": entry.what,
        "figure": entry.figure,
        "n": base.ours.rows,
        **{name: _figure(line.ours, entry) for name, line in found.items()},
        "peer": _figure(base.peer, entry),
        "peer_n": base.peer.rows if base.peer else 0,
        "limit": _figure(base.limit, entry),
        "target": entry.target,
    }


def _line(folds: Folds, entry: Entry) -> Line | None:
    """Scores that an entry shows."""
    wanted = (entry.quantity, entry.by, entry.value)
    return next((line for line in folds.lines if line[:3] == wanted), None)


def _figure(score: Score | None, entry: Entry) -> float | None:
    """Figure of a score, rounded to what is worth keeping."""
    return round(float(getattr(score, entry.figure)), 4) if score else None


def write(content: Record, path: Path) -> None:
    """Write the figures, and beside them the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(content), encoding="utf-8")


def read(path: str | Path) -> Record:
    """Figures of a results file."""
    try:
        content: Record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError([Mistake(str(path), 0, 0, "", f"is no file of accuracy figures: {error}")]) from error
    return content


def markdown(content: Record) -> str:
    """Table, the misses, and how the figures were made."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'|'.join(['---', '---', *['---:'] * (len(HEADER) - 2)])}|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in content["rows"]]
    files = ", ".join(f"{own['rows']:,} rows of {kind}" for kind, own in content["files"].items())
    made = f"Made by `{content['command']}`."
    lines += ["", f"{NOTE.format(files=files, date=content['date'])} {made}", "", *misses(content), *_starts(content)]
    return "\n".join(lines) + "\n"


NOTE = (
    "Errors are medians of |predicted / measured − 1|. *Without the device* and *without the model*: the constants "
    "were fitted again on what is left, from round starting numbers (picked by hand, with the shipped constants "
    "known), and then predicted what was left out; kernels belong to no model, and serving was measured on H100 and "
    "H200 only. The form of the equations was chosen with these runs at hand, so truly new data may do worse. The "
    "peer is AIConfigurator 0.12 on the same rows (the passes are composed from its own tables, so it has no error "
    "there), the limit its speed of light, or a pure roofline for kernels. The fit weighs campaigns alike and the "
    "median counts runs, so an error in sample may exceed a blind one. Disaggregated runs whose worker counts are "
    "guesses are left out. Data: {files}; figures of {date}."
)
"""What the columns mean."""


def _cells(row: Record) -> list[str]:
    """Cells of one line."""
    share = row["figure"] == "median"

    def shown(name: str) -> str:
        value = row.get(name)
        return "–" if value is None else _shown(value, share)

    ours = [f"**{shown(name)}**" if row.get(name) is not None else "–" for name in ("device", "model")]
    peer = shown("peer") + (f" (n {row['peer_n']})" if row["peer"] is not None and row["peer_n"] != row["n"] else "")
    bound = "" if row["target"] is None else ("≤ " if share else "≥ ") + _target(row["target"], share)
    return [row["source"], row["what"], f"{row['n']:,}", *ours, shown("in_sample"), peer, shown("limit"), bound]


def _shown(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else f"{value:.3f}"


def _target(value: float, share: bool) -> str:
    return percent(value) if share else f"{value:.2f}"


def misses(content: Record) -> list[str]:
    """A sentence per target that a blind figure misses: by how much and why."""
    why = {(entry.what, entry.figure): entry.why for entry in ENTRIES}
    made = []
    for row in content["rows"]:
        share, target = row["figure"] == "median", row["target"]
        blind = {name: row[name] for name in ("device", "model") if row.get(name) is not None}
        worst = {
            name: value for name, value in blind.items() if target and (value > target if share else value < target)
        }
        if worst:
            said = " and ".join(f"{_shown(value, share)} without the {name}" for name, value in worst.items())
            reason = why.get((row["what"], row["figure"]))
            made.append(
                f"- Missed: {row['what']}, {said} against {_target(target, share)}"
                + (f": {reason}." if reason else ".")
            )
        elif not target and blind and share and max(blind.values()) > WEAK:
            said = " and ".join(f"{_shown(value, share)} without the {name}" for name, value in blind.items())
            made.append(f"- Weak: {row['what']}, {said}: {why[row['what'], row['figure']]}.")
    return made or ["- No target is missed from the stated starting point."]


WEAK = 0.5
"""Error above which a figure without a target is named as well [1]."""


def _starts(content: Record) -> list[str]:
    """How much first tokens depend on where the fit of a fold starts."""
    targets = {"ttft": 0.40, "ttft at most 16": 0.30}
    words = {"ttft": "TTFT at any load", "ttft at most 16": "TTFT at up to 16 clients"}
    made: list[str] = []
    for name, target in targets.items():
        found = {by: ranges[name] for by, ranges in content["starts"].items() if name in ranges}
        if not found:
            continue
        spans = " and ".join(
            f"{_shown(low, True)} to {_shown(high, True)} without the {by}" for by, (low, high) in found.items()
        )
        over = max(high for _, high in found.values()) > target
        made.append(
            f"- {words[name]} depends on where a fold's fit starts: over all corners of a box of a factor 3 either way "
            f"around the starting point it is {spans}" + (f", so {percent(target)} is not safely met." if over else ".")
        )
    return made


BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
"""Marks around the table in a document."""


def between_marks(document: str) -> str | None:
    """Table of a document, None where it has no marks.

    >>> between_marks(f"a {BEGIN} b {END} c")
    'b'
    """
    if BEGIN not in document or END not in document:
        return None
    return document.split(BEGIN, 1)[1].split(END, 1)[0].strip()


def placed(document: str, content: Record) -> str:
    """Document with the table between its marks."""
    before, rest = document.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n{markdown(content)}{END}{after}"

"""A comparison with measurements as text: a table, a file of predictions, a record for programs."""

import csv
import io
from collections import Counter
from typing import Any

import numpy as np

from dse.insight.fidelity.validate import Line, Report, Score
from dse.insight.table import Table
from dse.insight.wording import percent

COLUMNS = {"seconds": "predicted_s", "tpot": "predicted_tpot_s", "ttft": "predicted_ttft_s"}
"""Column of a quantity in a file of predictions."""

NAMES = {"seconds": "time of a pass", "tpot": "TPOT", "ttft": "TTFT"}
"""Quantities in words."""

HEADER = ("what", "rows", "median", "mean", "p90", "bias", "rank", "peer / limit")
"""Columns of the table; errors are |predicted / measured - 1|, the bias keeps its sign, rank is Spearman's."""

MOST_REASONS = 12
"""Reasons listed before the rest is counted."""


def table(report: Report) -> Table:
    """Scores of a report, the whole file first and then group by group."""
    return Table(HEADER, tuple(_row(line) for line in report.lines))


def _row(line: Line) -> tuple[str, ...]:
    """One line of scores; the median errors of others on the same rows stand last."""
    ours = line.ours
    what = NAMES[line.quantity] if line.by == "all" else f"  {line.by} {line.value}"
    others = " / ".join(percent(score.median) if score else "–" for score in (line.peer, line.limit))
    return (
        what,
        f"{ours.rows:,}",
        percent(ours.median),
        percent(ours.mean),
        percent(ours.p90),
        f"{100 * ours.bias:+.1f} %",
        f"{ours.spearman:.3f}" if ours.rows > 2 else "–",
        "" if line.peer is None and line.limit is None else others,
    )


def summary(report: Report) -> list[str]:
    """Sentences about coverage: how many rows are predicted, and why the others are not."""
    total = len(report.ids)
    missing = Counter(reason for reason in report.reasons if reason)
    known = total - sum(missing.values())
    made = [f"{report.path}: {total:,} rows of {report.kind}, {known:,} predicted ({100 * report.coverage:.4g} %)"]
    made += [f"  {count:,} not predicted: {reason}" for reason, count in missing.most_common(MOST_REASONS)]
    if len(missing) > MOST_REASONS:
        made.append(f"  and {len(missing) - MOST_REASONS} more reasons: --out names that of every row")
    return made


def json(report: Report) -> dict[str, Any]:
    """Report for programs."""

    def scores(score: Score | None) -> dict[str, float] | None:
        return score._asdict() if score else None

    lines = [
        {"quantity": line.quantity, "by": line.by, "value": line.value}
        | {"ours": scores(line.ours), "peer": scores(line.peer), "limit": scores(line.limit)}
        for line in report.lines
    ]
    skipped = [{"id": own, "reason": reason} for own, reason in zip(report.ids, report.reasons, strict=True) if reason]
    return {
        "path": report.path,
        "kind": report.kind,
        "rows": len(report.ids),
        "coverage": report.coverage,
        "lines": lines,
        "not_predicted": skipped,
    }


def predictions_csv(report: Report) -> str:
    """Predictions of every row: `id`, predicted times [s], and why there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = sorted(report.predicted, key=list(reversed(COLUMNS)).index)
    writer.writerow(["id", *(COLUMNS[name] for name in names), "reason"])
    for row, own in enumerate(report.ids):
        values = [report.predicted[name][row] for name in names]
        writer.writerow([own, *(f"{value:.6g}" if np.isfinite(value) else "" for value in values), report.reasons[row]])
    return text.getvalue()

"""What a finished search adds to its summary with the model at hand.

How to repair an infeasible study; the letters of its designs; the best systems of one device type, and whether mixing
types still pays when prices and times are not what was thought; which designs are robust.
"""

from dataclasses import replace
from typing import Any

from dse.facts.problem import Problem
from dse.insight.decision import mixing, repair, robustness, single
from dse.insight.runs import Opened
from dse.insight.shortlist import LETTERED, MIXING, ROBUST
from dse.search.runs.run import SUMMARY, Run, load_epoch, write_json


def completed(problem: Problem, run: Run) -> Run:
    """Run whose summary says all that takes the model to say."""
    made, nearest = run, run.summary.get("nearest")
    if nearest:
        made = _with(made, {"nearest": {**nearest, **repair.advice(problem, run)}})
    if len(run.front()):
        made = _with(made, {ROBUST: _robust(_opened(problem, made))} if problem.robust else {})
        made = _with(made, {LETTERED: _lettered(_opened(problem, made))})
        made = _with(made, single.best_of_each_type(_opened(problem, made), load_epoch(run.folder).ledger))
        found = mixing.mixing(_opened(problem, made))
        made = _with(made, {MIXING: found.json()} if found else {})
    if made is not run:
        write_json(run.folder / SUMMARY, made.summary)
    return made


def _opened(problem: Problem, run: Run) -> Opened:
    return Opened(problem, run, run.folder.name)


def _with(run: Run, added: dict[str, Any]) -> Run:
    return replace(run, summary={**run.summary, **added}) if added else run


def _lettered(opened: Opened) -> list[dict[str, str]]:
    """Letters by the names of the designs: a front read back from its table keeps them."""
    ids = opened.front.ids
    return [{"letter": pick.letter, "id": ids[pick.row], "reason": pick.reason} for pick in opened.picks]


def _robust(opened: Opened) -> dict[str, Any]:
    """Rows of the robust balanced designs with their shares."""
    own = robustness.robustness(opened)
    rows = robustness.robust_knees(opened, own)
    designs = {
        opened.front.ids[row]: {
            "feasible": float(own.feasible[own.place(row)]),
            "front": float(own.front[own.place(row)]),
        }
        for row in rows
    }
    return {"rows": list(rows), "samples": own.samples, "designs": designs}

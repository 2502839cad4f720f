"""What a finished search adds to its summary with the model at hand: how to repair it, which designs are robust."""

from dataclasses import replace
from typing import Any

from dse.facts.problem import Problem
from dse.insight.decision import repair, robustness
from dse.insight.runs import Opened
from dse.insight.shortlist import ROBUST
from dse.search.runs.run import SUMMARY, Run, write_json


def completed(problem: Problem, run: Run) -> Run:
    """Run whose summary says what would help an infeasible study, and which knees are robust where it asks for them."""
    added: dict[str, Any] = {}
    nearest = run.summary.get("nearest")
    if nearest:
        added["nearest"] = {**nearest, **repair.advice(problem, run)}
    if problem.robust and len(run.front()):
        added[ROBUST] = _robust(Opened(problem, run, run.folder.name))
    if not added:
        return run
    made = replace(run, summary={**run.summary, **added})
    write_json(run.folder / SUMMARY, made.summary)
    return made


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

"""Can this run be trusted? Small checks, each a function that returns a sentence with pass, look or problem."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from dse.insight import wording
from dse.insight.report.cards import history
from dse.insight.report.scene import Scene
from dse.insight.verdict import CLOSE, LIMITS
from dse.insight.verdict import ties as tied
from dse.search.fidelity.constants import constants
from dse.search.runs import run as folders

State: TypeAlias = Literal["pass", "look", "problem"]

SCARCE = 0.9
"""Part of a sample that is infeasible from which it deserves a look [1]."""

MONTHS = 12
"""Age of prices from which they are called old."""

SEEDS = 0.02
"""Relative spread of the hypervolume among runs of one study that is worth a look [1]."""

SETTLING = 0.01
"""Part of the hypervolume added by the last quarter of a search from which it is not settled [1]."""

ALMOST = 0.05
"""Sum of violations below which a design is a near miss [1]."""

SEVERAL = 0.5
"""Part of the front for which a limit binds from which it is said to bind always [1]."""


class Check(NamedTuple):
    """One finding."""

    name: str
    state: State
    sentence: str


def edges(scene: Scene) -> Check:
    """A lettered design at the end of an ordered lever asks for a wider lever."""
    found: dict[str, list[str]] = {}
    for pick in scene.picks:
        chosen = scene.front.archive.rows[pick.row]
        active = scene.front.levers(pick.row)
        for place, axis in enumerate(scene.opened.run.question.space.axes):
            last = len(axis.choices) - 1
            if axis.ordered and last > 1 and active[axis.name] != "inert" and int(chosen[place]) == last:
                found.setdefault(axis.name, []).append(pick.letter)
    if not found:
        return Check("axes", "pass", "no lettered design stands at the upper end of a lever")
    words = "; ".join(f"{wording.lever_name(name)} ({', '.join(who)})" for name, who in found.items())
    return Check("axes", "look", f"designs at the upper end of a lever, which could be widened: {words}")


def settled(scene: Scene) -> Check:
    """Levers that never differ on the front can be fixed."""
    rows = scene.front.archive.rows
    active = scene.opened.run.question.space.structure.active(rows)
    same = []
    for place, axis in enumerate(scene.opened.run.question.space.axes):
        taken = np.unique(rows[active[:, place], place])
        if len(axis.choices) > 1 and len(taken) == 1:
            choice = wording.lever_word(axis.name, axis.choices[int(taken[0])])
            same.append(f"{wording.lever_name(axis.name)} {choice}")
    if not same:
        return Check("levers", "pass", "every lever takes several values on the front")
    return Check("levers", "look", f"the same on the whole front, so the study could hold it: {', '.join(same)}")


def limits(scene: Scene) -> Check:
    """Limits that bind on most of the front, and limits that never do."""
    columns = scene.front.archive.metrics.columns
    always, never = [], []
    for name in columns:
        agent, _, last = name.rpartition(".")
        if not last.startswith("slack_") or not columns[name].any():
            continue
        words = LIMITS.get(last) or f"the limit on {wording.metric_name(last.removeprefix('slack_'))}"
        words += f" of {agent}" if agent else ""
        binds = float(((columns[name] < CLOSE) & (columns[name] != 0)).mean())
        if binds > SEVERAL:
            always.append(f"{words} ({wording.percent(binds)} of the front)")
        elif binds == 0 and last == "slack_latency":
            never.append(words)
    said = (
        f"binds on most of the front: {', '.join(always)}" if always else "no single limit binds on most of the front"
    )
    said += f"; never within {wording.percent(CLOSE)} of binding: {', '.join(never)}" if never else ""
    return Check("limits", "look" if always else "pass", said)


def scarcity(scene: Scene) -> Check:
    """How much of the space is infeasible, and which requirement refuses the most."""
    drawn, metrics = scene.sample
    met = np.zeros(len(drawn), dtype=bool)
    met[metrics.design[metrics.feasible]] = True
    share = float(1 - met.mean())
    refused = {
        name: len(set(metrics.design[(values < 0) & ~met[metrics.design]].tolist()))
        for name, values in metrics.columns.items()
        if name.rpartition(".")[2].startswith("slack_")
    }
    worst = max(refused, key=lambda name: refused[name]) if refused else ""
    agent, _, last = worst.rpartition(".")
    what = LIMITS.get(last) or wording.metric_name(last.removeprefix("slack_"))
    by = f", most often by {what}{f' of {agent}' if agent else ''}" if share > 0 and worst else ""
    text = f"{wording.percent(share)} of a uniform sample of {len(drawn):,} designs is infeasible{by}"
    return Check("feasibility", "look" if share > SCARCE else "pass", text)


def estimates(scene: Scene) -> Check:
    """Inputs of the shown designs that are estimates."""
    known = {line.name: line for pick in scene.shown for line in scene.explained(pick.row).inputs}
    guessed = [line.name for line in known.values() if line.estimate]
    share = len(guessed) / max(len(known), 1)
    prices = sum(name.endswith(".price") or name.startswith("prices.") for name in guessed)
    text = f"{len(guessed)} of {len(known)} inputs of the shown designs are estimates, {prices} of them prices"
    return Check("inputs", "look" if share > 0 else "pass", text)


def validated(scene: Scene) -> Check:
    """Devices and models that the calibration has never seen."""
    own = constants()
    levers = [scene.front.levers(pick.row) for pick in scene.picks]
    devices = {
        str(choice)
        for row in levers
        for name, choice in row.items()
        if name.endswith("device") and choice not in ("none", "inert")
    }
    models = {agent.model.id for agent in scene.opened.problem.agents}
    strange = sorted((devices - set(own.devices)) | (models - set(own.models)))
    if not strange:
        return Check("validated range", "pass", "all devices and models of the lettered designs were measured")
    return Check(
        "validated range",
        "look",
        f"never measured, so the blind error applies to them: {', '.join(strange)}",
    )


def ties(scene: Scene) -> Check:
    """Lettered designs that differ by less than the model's error."""
    text = tied(scene.front, scene.picks)[0].text
    none = text.startswith("none")
    said = text.replace("none (", "no two lettered designs are within the ", 1).rstrip(")") if none else text
    return Check("ties", "pass" if none else "look", said)


def seeds(scene: Scene) -> Check:
    """Hypervolume of other runs of the same study."""
    own = scene.opened.run
    if own.summary.get("exhaustive"):
        return Check("seeds", "pass", "exhaustive, so no seed matters")
    volumes = [volume for folder in sorted(own.folder.parent.glob("*")) if (volume := _sister(own.manifest, folder))]
    if len(volumes) < 2:
        return Check(
            "seeds", "look", "one run of this study is at hand: another seed would show how far it can be trusted"
        )
    spread = (max(volumes) - min(volumes)) / max(volumes)
    text = f"{len(volumes)} runs of this study agree within {wording.percent(spread)} of the hypervolume"
    return Check("seeds", "look" if spread > SEEDS else "pass", text)


def prices(scene: Scene) -> Check:
    """Age of the prices when the run was made."""
    date = scene.opened.problem.prices.date
    started = str(scene.opened.run.manifest.get("started", ""))[:7]
    try:
        age = _months(started) - _months(date)
    except ValueError:
        return Check("prices", "look", f"prices of {date}: the age cannot be told")
    state: State = "look" if age >= MONTHS else "pass"
    return Check("prices", state, f"prices of {date}, {age} months old when the run was made")


def convergence(scene: Scene) -> Check:
    """Whether more budget would move the front."""
    own = history.data(scene)
    if own.exhaustive:
        return Check("search", "pass", "every architecture was scored")
    text = f"the last quarter of the search added {wording.percent(own.late)} of the hypervolume"
    return Check("search", "look" if own.late > SETTLING else "pass", text)


def near_misses(scene: Scene) -> Check:
    """Designs that fail by little."""
    ledger = scene.ledger
    if ledger is None:
        return Check("near misses", "pass", "the run was kept without its record of scored designs")
    close = int(((ledger.violation > 0) & (ledger.violation < ALMOST)).sum())
    text = (
        f"{close:,} of {len(ledger.rows):,} scored designs miss the requirements by less than {wording.percent(ALMOST)}"
    )
    return Check("near misses", "look" if close else "pass", text)


def stability(scene: Scene) -> Check:
    """Designs whose caches do not come back once lost."""
    share = float((scene.values("bistable") > 0).mean())
    if share == 0:
        return Check("stability", "pass", "no design of the front has a cache that stays lost once it is lost")
    text = f"{wording.percent(share)} of the front is bistable: a lost cache is not regained at unchanged load"
    return Check("stability", "look", text)


def found(scene: Scene) -> Check:
    """Whether anything meets the requirements."""
    if len(scene.front):
        return Check("feasible", "pass", f"{len(scene.front):,} rows meet every requirement and are not dominated")
    return Check("feasible", "problem", "no scored design meets every requirement")


ALWAYS: tuple[Callable[[Scene], Check], ...] = (found, scarcity, convergence, prices, near_misses, seeds)
"""Checks of every run."""

WITH_FRONT: tuple[Callable[[Scene], Check], ...] = (edges, settled, limits, estimates, validated, ties, stability)
"""Checks of a run with a front."""


def checks(scene: Scene) -> list[Check]:
    """All checks, problems first; one that fails says so."""
    wanted = (*ALWAYS, *(WITH_FRONT if len(scene.front) else ()))
    done = [_checked(check, scene) for check in wanted]
    order = {"problem": 0, "look": 1, "pass": 2}
    return sorted(done, key=lambda check: order[check.state])


def _checked(check: Callable[[Scene], Check], scene: Scene) -> Check:
    try:
        return check(scene)
    except Exception as error:  # a check must not cost the page
        return Check(check.__name__.replace("_", " "), "look", f"could not be told: {error}")


def _months(date: str) -> int:
    year, month = date.split("-")[:2]
    return 12 * int(year) + int(month)


def _sister(manifest: object, folder: Path) -> float:
    """Hypervolume of another run of the same study and budget; 0 where it is none."""
    if folder.is_symlink() or not isinstance(manifest, dict):
        return 0.0
    try:
        other = folders.read_manifest(folder)
        summary = json.loads((folder / folders.SUMMARY).read_text(encoding="utf-8"))
    except Exception:  # any folder may lie here
        return 0.0
    same = all(other.get(key) == manifest.get(key) for key in ("digest", "budget", "reference_scores"))
    return float(summary.get("hypervolume", 0.0)) if same else 0.0

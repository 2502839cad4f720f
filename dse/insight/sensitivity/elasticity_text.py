"""What specifications are worth, as tables of one hundred characters."""

import math
from collections.abc import Sequence

from dse.insight import wording
from dse.insight.paths import words
from dse.insight.sensitivity.elasticity import Effect, Move, Tornado
from dse.insight.sensitivity.specifications import Specifications
from dse.insight.table import WIDTH, Table, lines, shortened, wrapped

FEW = 10
"""Effects shown unless all are asked for."""

NAME = 34
"""Width of the name of a number."""

APART = 0.002
"""A tuned mapping is told of where it changes the first objective by this much beyond the held one [1]."""

KNEES = 3
"""Lettered designs for which the table of a front has room."""

GOALS = 3
"""Objectives that a table has room for: two columns each."""


def effect_lines(own: Tornado, every: bool = False) -> list[str]:
    """Sorted effects of one design, the numbers that change nothing last."""
    shown = own.effects if every else own.effects[:FEW]
    percent = f"{100 * own.step:.0f} %"
    made = [
        f"if one number were {percent} less (−) or more (+): effect on the objectives at the same mapping",
        *effect_table(own, shown),
    ]
    if any(move.remapped is not None for effect in own.effects for move in (effect.down, effect.up)):
        made += notes(own, shown)
    else:
        made += wrapped("  ", f"no step of {percent} lets a mapping of this design meet every target", "    ")
    still = [words(name) for name in own.unmoved]
    if every and still:
        made += wrapped("  ", f"no effect: {', '.join(still)}", "    ")
    if not every:
        rest = len(own.effects) - len(shown)
        made.append(f"{rest} smaller effects, {len(still)} numbers without any: --effects")
    return made


def effect_table(own: Tornado, shown: Sequence[Effect]) -> list[str]:
    """Effects as a table: two columns per objective."""
    heads = []
    for goal in own.goals[:GOALS]:
        heads += [f"{_head(goal.name)} −", "+"]
    rows = []
    for effect in shown:
        cells = []
        for goal in own.goals[:GOALS]:
            cells += [wording.change(effect.down.held[goal.name]), wording.change(effect.up.held[goal.name])]
        rows.append((shortened(words(effect.name), NAME), *cells))
    return [line[2:] for line in lines(Table(("number", *heads), tuple(rows)), WIDTH + 2)]


def notes(own: Tornado, shown: Sequence[Effect]) -> list[str]:
    """What else happens: targets missed, and what another mapping of the same hardware makes of it."""
    first = own.goals[0].name
    made: list[str] = []
    moves = (move for effect in own.effects for move in (effect.down, effect.up))
    if any(move.remapped is None and not move.broken for move in moves):
        made.append("  as stated no mapping of this design meets every target; one does where a tuned mapping is told")
    for effect in shown:
        for sign, move in (("−", effect.down), ("+", effect.up)):
            said = _beyond(move, first)
            if said:
                made += wrapped("  ", f"{words(effect.name)} {sign}{100 * own.step:.0f} %: {said}", "    ")
    return made


def _beyond(move: Move, first: str) -> str:
    """What a move does beyond changing the objectives."""
    missed = f"misses {' and '.join(move.broken)}" if move.broken else ""
    if move.remapped is None:
        return f"{missed}; no mapping of this design meets every target" if missed else ""
    if move.broken or abs(move.remapped - move.held[first]) > APART:
        tuned = f"tuned mapping: {_head(first)} {wording.change(move.remapped)}"
        return f"{missed}; {tuned}" if missed else tuned
    return missed


def _head(name: str) -> str:
    return wording.HEADINGS.get(name, wording.metric_name(name))


def front_lines(own: Specifications) -> list[str]:
    """How far each specification moves a front."""
    percent = f"{100 * own.step:.0f} %"
    first = _head(own.objectives[0])
    unit = f"decades^{len(own.objectives)}"
    made = [f"{own.study}: if a specification were {percent} less (−) or more (+), how far does the front move?", ""]
    letters = own.letters[:KNEES]
    heads = ("volume −", "+", f"{first} −", "+", *(f"{letter} +" for letter in letters))
    rows = []
    for item in own.found:
        moves = [f"{shift.hypervolume:+.3f}".replace("-", "−") for shift in (item.down, item.up)]
        costs = [_attained(share) for share in (item.down.cost, item.up.cost, *item.up.knees[:KNEES])]
        rows.append((shortened(words(item.path), NAME), *moves, *costs))
    made += [line[2:] for line in lines(Table(("specification", *heads), tuple(rows)), WIDTH + 2)]
    if own.unmoved:
        made += wrapped("  ", f"no effect: {', '.join(words(path) for path in own.unmoved)}", "    ")
    made += wrapped(
        "  ",
        f"volume: change of the hypervolume, {own.hypervolume:.3f} {unit} of these rows now; {first}: at fixed levels "
        f"of the other objectives, 5 % worse than now, in the median over the front; {', '.join(letters)} +: {first} "
        f"at the levels of these designs with the specification raised; none: no longer attained. {own.rows} rows of "
        f"the front and {own.near} near misses were scored again with their mappings, no new search: gains are lower "
        f"bounds. Device specifications change at unchanged prices. Analytic estimate, prices {own.prices}",
        "    ",
    )
    return made


def _attained(share: float) -> str:
    return "none" if math.isinf(share) else wording.change(share)

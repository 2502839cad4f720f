"""An explanation as lines of text, one hundred characters wide."""

from collections.abc import Iterator
from textwrap import wrap

from dse.insight import wording
from dse.insight.explain import Change, ClassExplanation, Explanation
from dse.insight.sensitivity.elasticity_text import effect_lines
from dse.insight.table import WIDTH, Table, lines, shortened, wrapped
from dse.insight.terms import Section, Term
from dse.search.fidelity.constants import band_of

NAME, VALUE = 22, 11
"""Widths of the columns of a term."""

SOURCE = 20
"""Characters of a source in the short list."""

FEW = 8
"""Inputs shown unless all are asked for."""


def text(own: Explanation, every_input: bool = False, every_effect: bool = False) -> list[str]:
    """Whole explanation."""
    made = [f"{own.name}  {own.design}", f"   {', '.join(own.extras)}", ""]
    made += [f"   note: {note}" for note in own.notes]
    made += wrapped("   ", "; ".join(metric_words(own.metrics)))
    missed = [limit for limit in own.limits if limit.slack < 0]
    if missed:
        made += wrapped("   ", f"infeasible: misses {wording.listed([limit.name for limit in missed])}")
    made.append("")
    for item in own.classes:
        made += _class(item, len(own.classes) > 1)
    made += wrapped("   ", model_error())
    made += ["", "distance to the next bound"]
    for limit in own.limits[:6]:
        far = (
            f"{wording.percent(limit.slack)} left" if limit.slack >= 0 else f"missed by {wording.excess(-limit.slack)}"
        )
        made.append(f"  {limit.name:<52} {far:>12}".rstrip())
    if own.effects is not None:
        made += ["", *effect_lines(own.effects, every_effect)]
    made += ["", *inputs(own, every_input)]
    return made


def model_error() -> str:
    """Error bands of the time model on devices and models that its fit has not seen."""
    words = {"prefill": "a prefill pass", "decode": "a decode step", "tpot": "TPOT", "ttft": "TTFT under load"}
    bands = {said: band_of(time) for time, said in words.items()}  # type: ignore[arg-type]
    shown = [f"{said} {wording.band(low, high)}" for said, (low, high) in bands.items()]
    return f"model error, two thirds of unseen cases: {'; '.join(shown)}"


def metric_words(terms: tuple[Term, ...]) -> list[str]:
    """Metrics in words."""
    return [wording.metric(term.name, term.unit, term.value) for term in terms]


def _class(item: ClassExplanation, several: bool) -> list[str]:
    made = [f"{item.name}: {item.mapping}" if several else item.mapping, ""]
    for section in item.sections.values():
        made += [*section_lines(section), ""]
    header = ("phase", "device", "OI FLOP/B", "ridge FLOP/B", "CF/request", "CF/device", "regime")
    rows = tuple(
        (
            own.phase,
            own.device,
            wording.number(own.oi),
            wording.number(own.ridge),
            wording.quantity(own.cf_request, "B"),
            wording.quantity(own.cf_device, "B"),
            own.regime,
        )
        for own in item.regimes
    )
    return [*made, *(line[2:] for line in lines(Table(header, rows, frozenset({0, 1, 6})))), ""]


def section_lines(section: Section) -> Iterator[str]:
    """Title, terms with value, share, formula and equation, note."""
    yield section.title
    for term in section.terms:
        share = wording.percent(term.share) if term.share is not None else ""
        value = wording.quantity(term.value, term.unit)
        start = f"  {shortened(term.name, NAME):<{NAME}} {value:>{VALUE}} {share:>6}  "
        source = f"[{term.equation}]" if term.equation else ""
        detail = f"{term.formula}  {source}".strip()
        folded = wrap(detail, WIDTH - len(start), break_long_words=False, break_on_hyphens=False) or [""]
        yield (start + folded[0]).rstrip()
        for line in folded[1:]:
            yield f"{'':{len(start)}}{line}"
    if section.note:
        yield from wrapped("  ", section.note)


def inputs(own: Explanation, every: bool) -> list[str]:
    """Bill of inputs: prices and estimates first, or every input with its whole source."""
    guessed = sum(line.estimate for line in own.inputs)
    title = f"inputs: {len(own.inputs)}, {guessed} estimates"
    foot = f"analytic estimate, prices {own.prices}"
    if every:
        made = [title]
        for line in own.inputs:
            made.append(f"  {line.name:<42} {line.value}{'  estimate' if line.estimate else ''}")
            made += wrapped("      ", ", ".join(part for part in (line.source, line.date) if part))
        return [*made, foot]
    ranked = sorted(own.inputs, key=lambda line: (not line.name.endswith(".price"), not line.estimate))
    rows = tuple(
        (line.name, line.value, shortened(line.source, SOURCE), line.date, "est." if line.estimate else "")
        for line in ranked[:FEW]
    )
    header = (title, "value (range)", "source", "date", "")
    made = [line[2:] for line in lines(Table(header, rows, frozenset({0, 2, 4})), WIDTH + 2)]
    return [*made, f"all {len(own.inputs)} inputs with their sources: --inputs    {foot}"]


def change_text(change: Change) -> list[str]:
    """Before, after, ratio, and what binds now."""
    made = [f"{change.before.name}  {change.before.design}", f"what if {change.what}", ""]
    made += [f"note: {note}" for note in change.after.notes]
    rows = []
    for old, new in zip(change.before.metrics, change.after.metrics, strict=True):
        shown = wording.display(old.name, old.unit)
        values = [wording.cell(term.value / shown.size) for term in (old, new)]
        ratio = f"{new.value / old.value:.3g}x" if old.value else ""
        rows.append((wording.heading(old.name, old.unit), *values, ratio))
    made += lines(Table(("metric", "before", "after", "after / before"), tuple(rows)))
    made.append("")
    for word, own in (("before", change.before), ("after", change.after)):
        near = [
            f"{limit.name} ({wording.percent(limit.slack)} left)"
            if limit.slack >= 0
            else f"{limit.name} (missed by {wording.excess(-limit.slack)})"
            for limit in own.limits[:2]
        ]
        made += wrapped("  ", f"binds {word}: {', '.join(near)}")
    made.append("")
    bound = []
    for pair in zip(change.before.classes, change.after.classes, strict=True):
        tops = [item.sections["tpot"].terms[0] for item in pair]
        bound.append((pair[0].name, *(f"{top.name} {wording.percent(top.share or 0)}" for top in tops)))
    return made + lines(Table(("largest part of TPOT", "before", "after"), tuple(bound), frozenset({0, 1, 2})))

"""The decision brief as two pages of A4: Markdown, and HTML that prints without anything else."""

from collections.abc import Sequence
from html import escape
from importlib import resources

from dse.insight import wording
from dse.insight.decision.brief import Brief, Candidate
from dse.insight.decision.front_picture import drawing
from dse.insight.decision.overturn import End
from dse.insight.decision.pamphlet import html_table, markdown_table, page
from dse.insight.decision.said import Said
from dse.insight.paths import words
from dse.insight.sensitivity.elasticity import STEP, Effect
from dse.insight.table import Table

STYLE = "brief.css"
"""Look of the pages, beside this file."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A8F98", "#F0E442")
"""Okabe and Ito (2008)."""

FIT = """for (const sheet of document.querySelectorAll(".sheet")) {
  const room = document.createElement("div"); room.style.height = "297mm"; document.body.append(room);
  const limit = room.getBoundingClientRect().height - 2; room.remove();
  sheet.style.minHeight = 0;
  for (let size = 9; size > 6 && sheet.getBoundingClientRect().height > limit && innerWidth > 700; size -= 0.1)
    sheet.style.fontSize = size + "pt";
  sheet.style.minHeight = "";
}"""
"""Makes a sheet with many words fit one page by smaller type; without a script it runs over onto the next."""

SMALL = 0.02
"""Parts of the price below this are summed up [1]."""


def stamp(own: Brief) -> str:
    """Study, status of the numbers, prices, run."""
    digest = str(own.manifest.get("input_sha256", ""))[:8]
    return (
        f"{own.problem.name} · analytic estimate · prices {own.problem.prices.date} "
        f"({own.problem.prices.title}) · run {own.name} · study {digest}"
    )


def systems(own: Brief) -> Table:
    """Objectives, latencies and shares of the candidates."""
    units = own.units
    rows = [("system", *(_system(item) for item in own.candidates))]
    for name in own.candidates[0].metrics:
        shown = wording.display(name, units[name])
        cells = [wording.cell(item.metrics[name] / shown.size) for item in own.candidates]
        rows.append((wording.heading(name, units[name]), *cells))
    rows.append(("nearest limit", *(_limit(item) for item in own.candidates)))
    shares = [[wording.percent(part) for part in (item.feasible, item.front)] for item in own.candidates]
    rows.append(("of all samples", *(f"{fine} feasible, {leads} on the front" for fine, leads in shares)))
    return Table(("", *(_head(own, item) for item in own.candidates)), tuple(rows), frozenset({0, 1, 2, 3}))


def bills(own: Brief) -> Table:
    """Bill of materials of the candidates."""
    found = [item.bill for item in own.candidates]
    names = list(dict.fromkeys(name for bill in found for name in bill.by_type))
    rows = [(name, *(f"{bill.by_type.get(name, 0):,}" for bill in found)) for name in names]
    rows.append(("package memory", *(wording.quantity(bill.package_memory, "B") for bill in found)))
    rows.append(("host DRAM", *(wording.quantity(bill.host_memory, "B") for bill in found)))
    if any(bill.pool_memory for bill in found):
        rows.append(("pool memory", *(_or_none(bill.pool_memory, "B") for bill in found)))
    if any(bill.optics for bill in found):
        rows.append(("optics, one direction", *(_or_none(bill.optics, "B/s") for bill in found)))
    rows.append(("links per device", *(_links(item) for item in own.candidates)))
    rows.append(("facility power", *(wording.quantity(bill.power, "W") for bill in found)))
    rows.append(("capital", *(f"{wording.number(bill.capital / 1e6)} M$" for bill in found)))
    rows.append(("cost rate", *(f"{wording.number(bill.hourly)} $/h" for bill in found)))
    rows.append(("cost, whole instances", *(wording.quantity(bill.cost, "$/task") for bill in found)))
    load = wording.quantity(found[0].load, "task/s")
    return Table((f"bill for {load}", *(item.name for item in own.candidates)), tuple(rows), frozenset({0, 1, 2, 3}))


def swing_table(own: Brief) -> Table:
    """What each end of each unknown does to the recommended design."""
    goals = [goal.column for goal in own.problem.objectives]
    letters = {item.row: item.name for item in own.candidates}
    rows = [
        (swing.unknown.label, swing.unknown.words(), _end(swing.low, goals, letters), _end(swing.high, goals, letters))
        for swing in own.swings
    ]
    name = own.candidates[own.chosen].name
    return Table(
        ("unknown", "range", f"{name} at the low end", "at the high end"), tuple(rows), frozenset({0, 1, 2, 3})
    )


def effect_table(own: Brief) -> Table:
    """What a better specification would bring."""
    goals = [goal.column for goal in own.problem.objectives][:4]
    rows = [(words(effect.name), effect.value, *(_moved(effect, goal) for goal in goals)) for effect in own.effects]
    heads = [wording.metric_name(goal) for goal in goals]
    return Table((f"specification, {100 * STEP:.0f} % more", "now", *heads), tuple(rows), frozenset({0, 1}))


def unknown_table(own: Brief, most: int = 5) -> Table:
    """Unknowns by their share of the variance of the recommended design."""
    goals = own.importance.goals[:4]
    rows = []
    for row in sorted(range(len(own.importance.unknowns)), key=lambda row: -own.importance.by_goal[row].max())[:most]:
        unknown = own.importance.unknowns[row]
        cells = [wording.percent(min(float(value), 1.0)) for value in own.importance.by_goal[row, : len(goals)]]
        rows.append((unknown.label, *cells, "yes" if unknown.estimate else "no"))
    heads = [wording.metric_name(goal.name) for goal in goals]
    return Table(("share of the variance", *heads, "estimate"), tuple(rows))


def markdown(own: Brief, sketches: Sequence[str] = ()) -> str:
    """The brief as Markdown."""
    parts = [f"# Decision brief: {own.problem.name}", f"*{stamp(own)}*", f"**Question.** {own.problem.question}"]
    parts += ["## Answer", _bullets(own.answer), "## Three systems", markdown_table(systems(own))]
    parts += ["## Bill of materials", markdown_table(bills(own)), _money_words(own)]
    parts += ["## What could overturn the answer", _bullets(own.overturned), markdown_table(swing_table(own))]
    parts += ["## What a better part would bring", markdown_table(effect_table(own))] if own.effects else []
    parts += ["## What it rests on", _bullets(own.rests), markdown_table(unknown_table(own))]
    parts += ["## Next measurement worth doing", own.measure.text, "## Reproduce", f"`{_command(own)}`"]
    parts += [f"Deployment sketches: {', '.join(sketches)}"] if sketches else []
    return "\n\n".join(parts) + "\n"


def html(own: Brief, sketches: Sequence[str] = ()) -> str:
    """The brief as a page that prints on two sheets of A4."""
    first = [
        f'<header><p class="kind">Decision brief</p><h1>{escape(own.problem.name)}</h1>',
        f'<p class="question">{escape(own.problem.question)}</p><p class="stamp">{escape(stamp(own))}</p></header>',
        f'<div class="answer"><div><h2>Answer</h2>{_lines(own.answer)}</div><figure>{_picture(own)}</figure></div>',
        f"<h2>Three systems</h2>{html_table(systems(own))}",
        f'<h2>Bill of materials</h2>{html_table(bills(own))}<div class="bars">{_bars(own)}</div>',
    ]
    second = [
        f"<h2>What could overturn the answer</h2>{_lines(own.overturned)}{html_table(swing_table(own))}",
        f"<h2>What a better part would bring</h2>{html_table(effect_table(own))}" if own.effects else "",
        f"<h2>What it rests on</h2>{_lines(own.rests)}{html_table(unknown_table(own))}",
        f'<div class="next"><h2>Next measurement worth doing</h2><p>{escape(own.measure.text)}</p></div>',
        f"<footer><p><b>Reproduce</b> <code>{escape(_command(own))}</code></p>{_listed(sketches)}",
        f'<p class="stamp">{escape(stamp(own))}</p></footer>',
    ]
    sheets = {"first": first, "second": second}
    body = "".join(f'<section class="sheet {kind}">{"".join(parts)}</section>' for kind, parts in sheets.items())
    style = resources.files("dse.insight.decision").joinpath(STYLE).read_text(encoding="utf-8")
    return page(f"Decision brief: {own.problem.name}", f"{body}<script>{FIT}</script>", style)


def _bullets(found: Sequence[Said]) -> str:
    return "\n".join(f"- **{item.subject.capitalize()}.** {item.text}" for item in found)


def _lines(found: Sequence[Said]) -> str:
    """Sentences under their subjects; several of one subject are one paragraph."""
    texts: dict[str, str] = {}
    for item in found:
        texts[item.subject] = f"{texts.get(item.subject, '')} {escape(item.text)}".strip()
    rows = "".join(f"<div><dt>{escape(subject)}</dt> <dd>{text}</dd></div>" for subject, text in texts.items())
    return f"<dl>{rows}</dl>"


def _head(own: Brief, item: Candidate) -> str:
    chosen = ", recommended" if item is own.candidates[own.chosen] else ""
    return f"{item.name} · {item.reason}{chosen}"


def _system(item: Candidate) -> str:
    return ", ".join([item.design, *(word for word in item.extras if not word.startswith("KV"))])


def _limit(item: Candidate) -> str:
    return "; ".join(f"{limit.name}, {wording.percent(limit.slack)} left" for limit in item.limits[:1])


def _links(item: Candidate) -> str:
    """Links of every device type; both pools in one entry where they are wired alike."""
    return "; ".join(dict.fromkeys(f"{where}: {links}" for _, where, links in item.bill.fabrics))


def _or_none(value: float, unit: str) -> str:
    return wording.quantity(value, unit) if value else "–"


def _end(end: End, goals: Sequence[str], letters: dict[int, str]) -> str:
    """What becomes of the design at one end."""
    place = max(range(len(goals)), key=lambda column: abs(end.changes[column]))
    change = f"{wording.metric_name(goals[place])} {wording.change(end.changes[place])}"
    if abs(end.changes[place]) < 5e-4:
        change = "unchanged"
    if not end.feasible:
        return f"{change}; misses a requirement"
    return change if end.leads else f"{change}; beaten by {wording.percent(end.behind)}"


def _moved(effect: Effect, goal: str) -> str:
    return wording.change(effect.up.held.get(goal, 0.0))


def _shares(item: Candidate) -> list[tuple[str, float]]:
    """Parts of the price, small ones summed up."""
    whole = sum(item.money.values())
    large = [(name, rate / whole) for name, rate in item.money.items() if rate / whole >= SMALL]
    rest = 1 - sum(share for _, share in large)
    return [*large, *([("rest", rest)] if rest > 1e-6 else [])]


def _money_words(own: Brief) -> str:
    lines = []
    for item in own.candidates:
        parts = ", ".join(f"{name} {wording.percent(share)}" for name, share in _shares(item))
        lines.append(f"- **{item.name}** pays for {parts}")
    return "\n".join(lines)


def _bars(own: Brief) -> str:
    """Split of the price as one bar per candidate, with a legend."""
    names = list(dict.fromkeys(name for item in own.candidates for name, _ in _shares(item)))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    made = []
    for item in own.candidates:
        parts = "".join(
            f'<span style="width:{100 * share:.2f}%;background:{colour[name]}" title="{escape(name)}">'
            f"{wording.percent(share) if share > 0.07 else ''}</span>"
            for name, share in _shares(item)
        )
        made.append(f'<div class="bar"><b>{escape(item.name)}</b><div>{parts}</div></div>')
    legend = "".join(f'<span><i style="background:{colour[name]}"></i>{escape(name)}</span>' for name in names)
    return f'<p class="legend">where a dollar goes: {legend}</p>{"".join(made)}'


def _picture(own: Brief) -> str:
    goals = own.problem.objectives
    if len(goals) < 2:
        return ""
    shown = [wording.display(goal.column, goal.unit) for goal in goals[:2]]
    names = [goal.column for goal in goals[:2]]
    lettered = []
    for item in own.candidates:
        x, y = (item.metrics[name] / unit.size for name, unit in zip(names, shown, strict=True))
        lettered.append((item.name, x, y, item is own.candidates[own.chosen]))
    axes = [wording.heading(goal.column, goal.unit) for goal in goals[:2]]
    points = own.cloud / [unit.size for unit in shown]
    caption = f"{len(points):,} listed designs of the front; {axes[1]} against {axes[0]}"
    return f"{drawing(points, lettered, (axes[0], axes[1]))}<figcaption>{escape(caption)}</figcaption>"


def _command(own: Brief) -> str:
    return str(own.manifest.get("command", "")) or f"dse run {own.problem.name}.yaml"


def _listed(sketches: Sequence[str]) -> str:
    return f"<p><b>Deployment sketches</b> {escape(', '.join(sketches))}</p>" if sketches else ""

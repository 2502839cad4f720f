"""What hardware people should improve: how far ten percent of each specification moves the front, and the knees."""

import math
from dataclasses import dataclass

from plotly import graph_objects as go
from plotly.graph_objects import Figure

from dse.insight import wording
from dse.insight.paths import words
from dse.insight.report import markup, style
from dse.insight.report.card import Card
from dse.insight.runs import Opened
from dse.insight.sensitivity.breakeven import Breakeven
from dse.insight.sensitivity.breakeven_text import answers, fixed
from dse.insight.sensitivity.questions import answer, asked
from dse.insight.sensitivity.specifications import Specification, Specifications, specifications

MOST = 16
"""Specifications that are drawn."""

KNEES = 5
"""Lettered designs in the table: two columns are the specification and the whole front."""

QUESTION = "optics"
"""Break-even whose curve stands on the page, where the study has the lever."""


@dataclass(frozen=True)
class Data:
    """Shifts of the front, and one break-even curve."""

    note: str
    shifts: Specifications
    curve: Breakeven | None


def data(opened: Opened) -> Data:
    """Elasticities of the front, and the break-even of optical I/O where it is a lever of the study."""
    return Data(style.stamp(opened), specifications(opened), _curve(opened))


def _curve(opened: Opened) -> Breakeven | None:
    if len(opened.problem.levers["optical_bandwidth"]) < 2:
        return None
    return answer(opened, asked(opened, QUESTION)[0])


def figure(own: Data) -> Figure:
    """Tornado: hypervolume that the front gains or loses."""
    shown = own.shifts.found[:MOST][::-1]
    made = Figure()
    percent, unit = f"{100 * own.shifts.step:.0f} %", f"decades^{len(own.shifts.objectives)}"
    for place, (name, sign) in enumerate((("down", "−"), ("up", "+"))):
        made.add_trace(
            go.Bar(
                y=[style.plain(words(item.path)) for item in shown],
                x=[getattr(item, name).hypervolume for item in shown],
                orientation="h",
                name=f"{sign}{percent}",
                marker={"color": style.category(place)},
                customdata=[style.plain(_said(item, name)) for item in shown],
                hovertemplate=f"%{{y}} {sign}{percent}: %{{customdata}}<extra></extra>",
            )
        )
    return style.dressed(
        made,
        f"Front gained or lost when a specification of all parts changes by {percent}",
        own.note,
        height=170 + 26 * max(len(shown), 3),
        barmode="overlay",
        bargap=0.25,
        xaxis=style.axis(f"hypervolume [{style.power(unit)}]", tickformat="~g"),
        yaxis={"automargin": True, "ticks": ""},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        margin={"l": 40, "r": 16, "t": 62, "b": 96},
    )


def _said(item: Specification, side: str) -> str:
    shift = getattr(item, side)
    return (
        f"{shift.hypervolume:+.3g} of hypervolume, {wording.change(shift.cost)} at fixed levels of the other objectives"
    )


def curve_figure(own: Data) -> Figure:
    """Advantage of the choice along its price, one line per lettered design."""
    made, found = Figure(), own.curve
    assert found is not None
    for place, item in enumerate(found.criteria):
        saved = [100 * (1 - 10.0**-gain) if abs(gain) < 1 else None for gain in item.advantage]
        if any(value is not None for value in saved):
            made.add_trace(
                go.Scatter(
                    x=[1e9 * value for value in found.values],
                    y=saved,
                    name=style.plain(item.name),
                    mode="lines",
                    line={"color": style.category(place)},
                    hovertemplate="%{x:.3~g} $/(GB/s): %{y:.2f} %<extra>%{fullData.name}</extra>",
                )
            )
    made.add_vline(x=1e9 * found.base, line={"dash": "dot", "color": style.PALETTE["grey"]})
    made.add_annotation(  # a logarithmic axis places annotations by their exponent
        x=math.log10(1e9 * found.base), y=1, yref="paper", text="stated", showarrow=False, xanchor="left"
    )
    made.add_hline(y=0, line={"width": 1, "color": style.PALETTE["grey"]})
    return style.dressed(
        made,
        "What optical I/O saves, by its price",
        own.note,
        xaxis=style.axis("price of an optical port [$/(GB/s), one direction, one end]", log=True),
        yaxis=style.axis("saved at fixed other objectives [%]", range=[-30, 30]),
    )


def table(own: Data) -> str:
    """Front and knees: effect of ten percent more on the first objective at fixed levels of the others."""
    letters = own.shifts.letters[:KNEES]
    rows = [
        (
            words(item.path),
            f"{item.up.hypervolume:+.3g}".replace("-", "−"),
            _percent(item.up.cost),
            *(_percent(item.up.knees[place]) for place in range(len(letters))),
        )
        for item in own.shifts.found
    ]
    first = wording.HEADINGS.get(own.shifts.objectives[0], wording.metric_name(own.shifts.objectives[0]))
    head = (f"+{100 * own.shifts.step:.0f} % of all parts", "hypervolume", f"{first}, front", *letters)
    return markup.table(head, rows)


def _lead(shifts: Specifications) -> list[str]:
    """What helps the front most: of hardware and prices, and of what the engine reaches of them."""
    said = []
    for what, software in (("hardware and prices", False), ("software", True)):
        own = [item for item in shifts.found if item.path.startswith("calibration.") == software]
        best = max(own, key=lambda item: max(item.up.hypervolume, item.down.hypervolume), default=None)
        if best is not None:
            sign = "+" if best.up.hypervolume > best.down.hypervolume else "−"
            said.append(f"Of {what} the front gains most from {words(best.path)} {sign}{100 * shifts.step:.0f} %.")
    return said


def _percent(share: float) -> str:
    return "not attained" if share == float("inf") else wording.change(share)


def card(opened: Opened) -> Card:
    """Card of the specifications."""
    own = data(opened)
    shifts = own.shifts
    said = (
        f"{shifts.rows} rows of the front and {shifts.near} near misses, scored again under every change in one array "
        "call, mappings held; no new search, so gains are lower bounds. Device specifications change at unchanged "
        "prices; costs are compared at the other objectives of a design, 5 % worse."
    )
    lead = _lead(shifts)
    body = markup.paragraph(said, "lead") + markup.listing(lead) + markup.slot("specifications")
    body += markup.details("Every specification, front and lettered designs", table(own))
    if shifts.unmoved:
        body += markup.paragraph(f"No effect on the front: {', '.join(words(path) for path in shifts.unmoved)}.")
    figures = {"specifications": figure(own)}
    if own.curve is not None:
        body += markup.slot("breakeven") + markup.listing(map(markup.sentence, answers(own.curve)))
        body += markup.paragraph(f"{markup.sentence(fixed(own.curve))}", "note")
        figures["breakeven"] = curve_figure(own)
    return Card("specifications", "What matters: specifications", "What should hardware people improve?", body, figures)

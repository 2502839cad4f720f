"""How figures look: palettes that survive colour blindness, log axes, and a stamp that survives a screenshot."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from dse.insight.runs import Opened

PALETTE: Mapping[str, str] = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "grey": "#8A8F98",
}
"""Colours of categories: Okabe and Ito (2008), with a grey for what stands back."""

CATEGORIES = ("blue", "orange", "green", "purple", "sky", "vermillion", "grey", "yellow")
"""Order in which categories take colours."""

BOUNDS: Mapping[str, str] = {
    "compute": PALETTE["blue"],
    "memory": PALETTE["orange"],
    "network": PALETTE["green"],
    "queue": PALETTE["purple"],
    "capacity": PALETTE["vermillion"],
    "power": PALETTE["sky"],
    "overhead": PALETTE["grey"],
}
"""Bottleneck -> its colour, the same in every figure."""

SEQUENTIAL = tuple(
    zip((0.0, 0.25, 0.5, 0.75, 1.0), ("#414487", "#2A788E", "#22A884", "#7AD151", "#FDE725"), strict=True)
)
"""Colour scale of values: viridis without its darkest fifth, which a dark page would swallow."""

LOG_FROM = 30.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""

INK, PALE = "#3d4451", "rgba(128,136,148,0.28)"
"""Text and grid; the page replaces both by those of its theme."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def category(position: int) -> str:
    """Colour of the n-th category."""
    return PALETTE[CATEGORIES[position % len(CATEGORIES)]]


def stamp(opened: Opened) -> str:
    """What every figure says about itself: study, status of the numbers, date of the prices."""
    return f"{plain(opened.problem.name)} · analytic estimate, prices {plain(opened.problem.prices.date)}"


def logarithmic(values: Iterable[float]) -> bool:
    """Whether an axis with these values is logarithmic: all positive, and a range above 30.

    >>> logarithmic([1, 10]), logarithmic([1, 100]), logarithmic([0, 100])
    (False, True, False)
    """
    known = np.asarray(list(values), dtype=float)
    known = known[np.isfinite(known)]
    return bool(known.size and known.min() > 0 and known.max() / known.min() > LOG_FROM)


def axis(title: str, log: bool = False, si: bool = False, **more: Any) -> dict[str, Any]:
    """Axis with its unit in the title; a logarithmic one is marked at 1, 2 and 5.

    Parameters
    ----------
    title : str            quantity and unit
    log : bool             logarithmic
    si : bool              ticks with SI prefixes, for large quantities in basic units
    more                   further entries
    """
    kind: dict[str, Any] = {"type": "log", "dtick": "D2", "minor": {"showgrid": False}} if log else {"type": "linear"}
    look = {"gridcolor": PALE, "linecolor": PALE, "zerolinecolor": PALE, "automargin": True, "ticks": ""}
    form = {"tickformat": "~s" if si else "~g" if log else "", "exponentformat": "SI"}
    return {"title": {"text": title, "standoff": 8}, **form, **kind, **look, **more}


def dressed(figure: Figure, title: str, note: str, height: int = 380, **layout: Any) -> Figure:
    """Figure with its title, its stamp and the look of the page; transparent, so that the page's theme shows.

    Parameters
    ----------
    figure : Figure
    title : str            what it shows, in words
    note : str             of `stamp`
    height : int           in pixels; the width follows the page
    layout                 further entries of the layout
    """
    figure.update_layout(
        title={
            "text": title,
            "font": {"size": 14},
            "subtitle": {"text": note, "font": {"size": 11}},
            "x": 0.0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 4, "t": 10},
            "yref": "container",
            "y": 1.0,
            "yanchor": "top",
        },
        font={"family": FONT, "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 16, "t": 62, "b": 48},
        height=height,
        template="none",
        hoverlabel={"align": "left"},
        colorway=[category(position) for position in range(len(CATEGORIES))],
    )
    figure.update_layout(**layout)
    return figure


def plain(value: object) -> str:
    """Text for a figure, which would read angle brackets as tags.

    >>> plain("a<b>&c")
    'a&lt;b&gt;&amp;c'
    """
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def power(unit: str) -> str:
    """Unit with its exponent raised.

    >>> power("decades^3"), power("s")
    ('decades³', 's')
    """
    base, _, exponent = unit.partition("^")
    return base + exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))

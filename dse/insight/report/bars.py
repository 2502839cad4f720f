"""Small pictures of HTML that print and need no script: stacked bars, positions between two ends, limits."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dse.insight.report import style
from dse.insight.report.markup import text
from dse.insight.wording import percent

TERMS: Mapping[str, str] = {
    "memory": style.BOUNDS["memory"],
    "compute": style.BOUNDS["compute"],
    "network": style.BOUNDS["network"],
    "overhead": style.BOUNDS["overhead"],
    "model": "#AA4499",
    "attention beyond it": style.PALETTE["sky"],
    "KV from the pool": style.PALETTE["yellow"],
    "prefill chunks": style.PALETTE["purple"],
    "queueing": style.BOUNDS["queue"],
    "prefill device": style.PALETTE["blue"],
    "decode device": style.PALETTE["orange"],
    "electricity": style.PALETTE["yellow"],
    "host share": style.PALETTE["sky"],
    "network share": style.PALETTE["green"],
    "host DRAM": style.PALETTE["purple"],
    "pool memory": style.PALETTE["vermillion"],
    "added package memory": "#882255",
    "optics": "#117733",
    "switching": "#44AA99",
}
"""Term, up to its first comma -> its colour, the same on every card."""

BAR, LETTER, EDGE = 125.0, 6.6, 8.0
"""Usual width of a bar, of a letter in it, and of the space beside it [pixels]."""


class Part(NamedTuple):
    """One part of a stacked bar."""

    name: str
    share: float
    words: str = ""
    """Value with its unit."""


def colour(name: str, position: int = 0) -> str:
    """Colour of a term."""
    return TERMS.get(name.partition(",")[0]) or style.category(position + len(TERMS))


def stacked(label: str, value: str, parts: Sequence[Part]) -> str:
    """One bar of parts that make up a whole."""
    pieces = "".join(
        f'<i style="width:{100 * part.share:.2f}%;background:{colour(part.name, place)}"'
        f' title="{text(f"{part.name} {part.words or percent(part.share)}")}">'
        f"{f'<b>{text(part.name)}</b>' if part.share * BAR >= LETTER * len(part.name) + EDGE else ''}</i>"
        for place, part in enumerate(parts)
    )
    spoken = ", ".join(f"{part.name} {percent(part.share)}" for part in parts)
    return (
        f'<div class="bar"><span>{text(label)}</span><div class="stack" role="img" aria-label="{text(spoken)}">{pieces}'
        f"</div><em>{text(value)}</em></div>"
    )


def position(label: str, value: str, place: float, ends: tuple[str, str]) -> str:
    """Where a design stands between the worst (left) and the best (right) of the front."""
    left = 100 * min(max(place, 0.0), 1.0)
    title = f"worst of the front {ends[0]}, best {ends[1]}"
    return (
        f'<div class="bar"><span>{text(label)}</span><div class="track" title="{text(title)}">'
        f'<i style="width:{left:.1f}%"></i></div><em>{text(value)}</em></div>'
    )


def limit(label: str, slack: float) -> str:
    """How much of a limit is used: a full bar binds, a red one is violated."""
    used = 1 - slack
    kind = "violated" if slack < 0 else "tight" if slack < 0.05 else "loose"
    word = f"{percent(slack)} left" if slack >= 0 else f"exceeded by {percent(-slack)}"
    return (
        f'<div class="bar wide-label"><span>{text(label)}</span><div class="track limit {kind}" title="{text(word)}">'
        f'<i style="width:{100 * min(max(used, 0.0), 1.0):.1f}%"></i></div><em>{text(word)}</em></div>'
    )


def legend(names: Sequence[str], words: Sequence[str] = ()) -> str:
    """Names with their colours, and a word behind each."""
    behind = [f" {word}" for word in words] or [""] * len(names)
    items = "".join(
        f'<span><i style="background:{colour(name, place)}"></i>{text(name + word)}</span>'
        for place, (name, word) in enumerate(zip(names, behind, strict=True))
    )
    return f'<p class="key">{items}</p>'

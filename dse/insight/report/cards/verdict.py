"""The answer in three sentences, each with the figure it rests on, and what the reader must know to trust it."""

from dataclasses import dataclass

from dse.insight.report import markup
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene
from dse.insight.verdict import Sentence, verdict

FIGURES = {
    "heterogeneity": ("choices", "what matters"),
    "what binds": ("why", "terms along the front"),
    "settled": ("parallel", "choices and results"),
    "ties": ("sources", "accuracy"),
    "confidence": ("health", "health checks"),
    "infeasible": ("health", "health checks"),
}
"""Subject of a sentence -> card it rests on."""

MAIN = ("heterogeneity", "what binds")
"""Subjects that follow the best design in the three sentences."""


@dataclass(frozen=True)
class Verdict:
    """What a run says."""

    main: tuple[Sentence, ...]
    """Three sentences: the best design, what heterogeneity buys, what binds."""
    further: tuple[Sentence, ...]


def data(scene: Scene) -> Verdict:
    """Sentences of a run."""
    said = verdict(scene.opened.problem, scene.opened.run)
    main = [said[0], *(own for own in said[1:] if own.subject in MAIN)] if len(scene.front) else said
    return Verdict(tuple(main), tuple(own for own in said if own not in main))


def badges(scene: Scene) -> list[str]:
    """Status, coverage, price date, hash of the study."""
    run, prices = scene.opened.run, scene.opened.problem.prices
    digest = str(run.manifest.get("input_sha256", ""))[:8]
    scored = f"{run.summary.get('evaluations', 0):,} of {run.question.space.size:,} designs scored"
    return [
        "analytic estimate",
        "exhaustive: exact front" if run.summary.get("exhaustive") else f"not exhaustive: {scored}",
        f"prices {prices.date}",
        f"study {digest}" if digest else "study without a hash",
    ]


def card(scene: Scene) -> Card:
    """Card of the verdict."""
    own = data(scene)
    body = f'<ol class="verdict">{"".join(_sentence(said) for said in own.main)}</ol>'
    further = "".join(_sentence(said) for said in own.further)
    body += f'<ul class="further">{further}</ul>' if further else ""
    return Card("verdict", "Verdict", "What should I do?", body)


def _sentence(said: Sentence) -> str:
    key, word = FIGURES.get(said.subject, ("map", "map"))
    link = f' <a href="#{key}">{markup.text(word)}</a>'
    return f"<li><b>{markup.text(said.subject)}</b> {markup.text(said.text)}.{link}</li>"

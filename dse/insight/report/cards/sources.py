"""What the numbers rest on: model error, inputs with source and date, limits, and how to run it again."""

from dataclasses import dataclass

from dse.facts.calibration import load
from dse.insight import wording
from dse.insight.bill import Input
from dse.insight.report import markup
from dse.insight.report.card import Card
from dse.insight.report.scene import Scene

CONVENTIONS = (
    "Time per output token excludes the time to the first token.",
    "Tokens are output tokens unless named otherwise.",
    "Bandwidth is one direction per device; FLOP/s are dense; GB are powers of ten.",
    "A multiply-add is two FLOP.",
    "Constraints apply before the front: no design shown violates one.",
)
"""One word, one meaning."""

LIMITS = (
    "The load is stationary and its arrivals are Poisson or as regular as the study says; bursts and failures are not "
    "modelled beyond the spare fraction.",
    "Percentiles come from queueing formulas, not from a simulation of every request.",
    "Networks are alpha-beta models with fitted constants; congestion between jobs is not modelled.",
    "Prices are list prices or estimates with their ranges; discounts, floor space and staff are not.",
    "A design outside the measured devices and models rests on the blind error of the table above.",
)
"""What the model does not say."""

FIGURES = {
    "linear": "matrix products, kernel by kernel",
    "attention_prefill": "prefill attention, kernel by kernel",
    "attention_decode": "decode attention, kernel by kernel",
    "experts": "routed experts, kernel by kernel",
    "all_reduce": "all-reduce of engines",
    "library": "collectives of a library",
    "steps": "one pass of the model",
    "prefill": "one prefill pass",
    "decode": "one decode step",
    "tpot": "time per output token of a serving system",
    "ttft": "time to first token of a serving system",
}
"""Band of the calibration -> words."""


@dataclass(frozen=True)
class Error:
    """Spread of one predicted time."""

    figure: str
    kind: str
    samples: int
    median: float
    """Median of |predicted / measured - 1| [1]."""
    low: float
    high: float


@dataclass(frozen=True)
class Sources:
    """What the page says about itself."""

    errors: tuple[Error, ...]
    inputs: tuple[Input, ...]
    manifest: tuple[tuple[str, str], ...]
    command: str


def data(scene: Scene) -> Sources:
    """Errors, inputs and provenance."""
    file, manifest = load(None), scene.opened.run.manifest
    errors = tuple(
        Error(FIGURES.get(name, name), kind, band.samples, band.median_error, band.low, band.high)
        for kind, rows in (("left out of the fit", file.blind), ("in sample", file.bands))
        for name, band in rows.items()
    )
    inputs = {line.name: line for pick in scene.shown for line in scene.explained(pick.row).inputs}
    versions = ", ".join(f"{name} {number}" for name, number in manifest.get("versions", {}).items())
    facts = (
        ("study", str(manifest.get("input_sha256", ""))),
        ("catalog", str(manifest.get("catalog_sha256", ""))),
        ("started", str(manifest.get("started", ""))),
        ("seed", str(manifest.get("seed", ""))),
        ("budget", str(manifest.get("budget", ""))),
        ("versions", versions),
    )
    command = str(manifest.get("command", "")) or f"dse run {scene.opened.problem.name}.yaml"
    return Sources(errors, tuple(inputs.values()), facts, command)


def card(scene: Scene) -> Card:
    """Card of the sources."""
    made = data(scene)
    errors = markup.table(
        ("predicted time", "calibration", "measurements", "median error", "two thirds lie between"),
        [
            (own.figure, own.kind, f"{own.samples:,}", wording.percent(own.median), _spread(own))
            for own in made.errors
        ],
        words=(0, 1),
    )  # fmt: skip
    guessed = sum(line.estimate for line in made.inputs)
    rows = "".join(
        f'<tr class="{"estimate" if line.estimate else "known"}"><td>{markup.text(line.name)}</td>'
        f"<td>{markup.text(line.value)}</td><td>{markup.text(line.source)}</td><td>{markup.text(line.date)}</td>"
        f"<td>{'estimate' if line.estimate else ''}</td></tr>"
        for line in made.inputs
    )
    inputs = (
        '<label class="script"><input type="checkbox" id="only-estimates"> estimates only</label>'
        '<div class="scroll"><table class="inputs"><thead><tr><th>input</th><th>value</th><th>source</th><th>date</th>'
        f"<th></th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
    body = (
        "<h3>How exact is the model?</h3>"
        + errors
        + markup.paragraph("Differences below these errors are ties, and marked as such.", "quiet")
        + "<h3>What the words mean</h3>"
        + markup.listing(CONVENTIONS)
        + "<h3>What the model leaves out</h3>"
        + markup.listing(LIMITS)
        + markup.details(f"{len(made.inputs)} inputs of the shown designs, {guessed} of them estimates", inputs)
        + "<h3>Run it again</h3>"
        + f'<pre id="command">{markup.text(made.command)}</pre>'
        + '<p class="script"><button data-copy="command">copy</button></p>'
        + markup.table(("", "provenance"), made.manifest, words=(0, 1), kind="facts")
    )
    return Card("sources", "Model, sources, limits", "On what does this rest, and can I run it again?", body)


def _spread(own: Error) -> str:
    return wording.band(own.low, own.high, "and")

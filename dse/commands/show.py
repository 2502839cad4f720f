"""Command that shows things: a front, a design, the catalog, topologies, workloads, the OI-CF table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.commands import terminal
from dse.commands.run import AsJson, Results, show_front

if TYPE_CHECKING:
    from dse.insight.decision.robustness import Robustness
    from dse.insight.runs import Opened

app = typer.Typer(
    help="Show a front, a design, the catalog, a topology, a workload or the OI-CF table.",
    epilog=terminal.examples("dse show front last --robust", "dse show catalog accelerators"),
    no_args_is_help=True,
    rich_markup_mode=None,
)

FRONT_EXAMPLES = terminal.examples("dse show front", "dse show front quickstart/last --robust")
CATALOG_EXAMPLES = terminal.examples("dse show catalog accelerators", "dse show catalog model qwen3_coder_480b")
TOPOLOGY_EXAMPLES = terminal.examples(
    "dse show topology nvl72", "dse show topology topologies/asymmetric.yaml --html page.html"
)
WORKLOAD_EXAMPLES = terminal.examples("dse show workload coding", "dse show workload")
PLANE_EXAMPLES = terminal.examples(
    "dse show oi-cf --device b200_sxm --batch 64",
    "dse show oi-cf coding --model qwen3_coder_480b --device mi355x --devices 8",
)


MOST_UNKNOWNS = 8
"""Unknowns listed, as shares of the variance of each objective."""


@app.command(epilog=FRONT_EXAMPLES)
def front(
    run: Annotated[str, typer.Argument(help="last, last~1, STUDY/last or a folder.")] = "last",
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of the front, the cheapest first; lettered ones otherwise.")
    ] = None,
    robust: Annotated[
        bool, typer.Option("--robust", help="Add how designs survive what is not known, and robust balanced ones.")
    ] = False,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show the front of a run: picture, verdict, designs."""
    from dse.insight.runs import open_run

    opened = open_run(run, results)
    found = opened.front
    if as_json:
        letters = {pick.row: pick for pick in opened.picks}
        designs = [
            {
                "id": found.ids[row],
                "letter": letters[row].letter if row in letters else None,
                "reason": letters[row].reason if row in letters else None,
                "objectives": found.objectives(row),
                "levers": found.levers(row),
                "mapping": found.mapping(row),
            }
            for row in range(len(found) if rows is None else min(rows, len(found)))
        ]
        shares = _doubts(opened) if robust and len(found) else {}
        terminal.say_json({**opened.run.summary, "folder": str(opened.run.folder), "designs": designs, **shares})
    else:
        terminal.say(f"{opened.problem.name} · {opened.run.folder.name} · prices {opened.problem.prices.date}", "bold")
        terminal.say()
        show_front(opened, rows)
        if robust and len(found):
            _say_robustness(opened)
    if not len(found):
        raise typer.Exit(terminal.INFEASIBLE)


@app.command(epilog=terminal.examples("dse show design last:A", "dse show design last:D012 --json"))
def design(
    name: Annotated[str, typer.Argument(metavar="RUN:DESIGN", help="last:A, last~1:D012.")],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show the choices and every metric of one design."""
    from dse.insight import wording
    from dse.insight.decision.compare import mapping_words
    from dse.insight.runs import design as find

    opened, row = find(name, results)
    found, question = opened.front, opened.run.question
    columns = {key: float(values[row]) for key, values in found.archive.metrics.columns.items()}
    if as_json:
        units = {key: question.unit(key) for key in columns}
        terminal.say_json(
            {"levers": found.levers(row), "mapping": found.mapping(row), "metrics": columns, "units": units}
        )
        return
    agents = [agent.name for agent in opened.problem.agents]
    terminal.say(f"{name}  {wording.front_design(found, row, agents)}", "bold")
    levers = {key: wording.lever_word(key, value) for key, value in found.levers(row).items()}
    pairs = {**levers, **mapping_words(found, row)}
    for key, value in pairs.items():
        terminal.say(f"  {key:<34} {value}")
    terminal.say()
    for key, number in columns.items():
        terminal.say(f"  {wording.metric_name(key):<34} {wording.quantity(number, question.unit(key))}")


@app.command(epilog=CATALOG_EXAMPLES, short_help="Show the catalog, every entry with its sources.")
def catalog(
    kind: Annotated[
        str | None, typer.Argument(help="accelerators, models, memories, links, techniques or prices; or an entry.")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One entry; all of the kind otherwise.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the catalog: its kinds, all entries of a kind, or one with every source."""
    from dse.facts import catalog as facts
    from dse.insight import catalog_text

    if kind is None:
        table = catalog_text.contents()
        terminal.say_json([row[0] for row in table.rows]) if as_json else terminal.say_table(table)
        return
    if name is None and kind not in catalog_text.KINDS:
        kind, name = catalog_text.place_of(kind) or (kind, None)
    wanted = catalog_text.kind_of(kind)
    if name is not None:
        data = catalog_text.entry(wanted, name)
        terminal.say_json(data) if as_json else terminal.say("\n".join(catalog_text.lines(data)))
    elif as_json:
        terminal.say_json({own: catalog_text.entry(wanted, own) for own in facts.names(wanted)})
    else:
        terminal.say_table(catalog_text.overview(wanted))


@app.command(epilog=TOPOLOGY_EXAMPLES, short_help="Show what a topology offers, or draw it.")
def topology(
    name: Annotated[str | None, typer.Argument(help="Packaged topology, or a file; all names otherwise.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its picture.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with its picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a topology offers: devices, links, hops, collectives per group size; or draw it."""
    from dse.insight import wiring

    if name is None:
        names = wiring.known(Path.cwd())
        terminal.say_json(names) if as_json else terminal.say("\n".join(names))
        return
    if svg is not None or html is not None:
        written = _drawn(name, svg, html)
        terminal.say_json({"written": written}) if as_json else terminal.labelled("written", ", ".join(written))
        return
    made = wiring.facts(name, Path.cwd())
    if as_json:
        terminal.say_json(made._asdict())
        return
    terminal.say(made.description, "bold")
    terminal.say(f"{made.devices} devices, scale-up domain {made.domain}, {made.memory_nodes} memory nodes")
    terminal.say()
    for table in wiring.tables(made):
        terminal.say_table(table)
        terminal.say()


@app.command(epilog=WORKLOAD_EXAMPLES)
def workload(
    name: Annotated[str | None, typer.Argument(help="Class of agents, or its file; all classes otherwise.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a class of agents: steps, contexts, gaps, sources."""
    from dse.insight import sessions

    names = [name] if name else list(sessions.known())
    found = {own: sessions.facts(own) for own in names}
    if as_json:
        terminal.say_json(found[name] if name else found)
        return
    if name:
        for key, value in sessions.words(found[name]):
            terminal.labelled(key, value)
        return
    terminal.say_table(sessions.overview(found))


@app.command("oi-cf", epilog=PLANE_EXAMPLES, short_help="Show OI, CF and regime of agents and models.")
def oi_cf(
    agents: Annotated[list[str] | None, typer.Argument(help="Classes of agents; all by default.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model; may be repeated.")] = None,
    device: Annotated[str, typer.Option(help="Accelerator.")] = "b200_sxm",
    batch: Annotated[int, typer.Option(min=1, help="Requests in a decode step.")] = 32,
    devices: Annotated[int, typer.Option(min=1, help="Accelerators that share the model.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Show operational intensity, capacity footprint and regime of agents and models on one device."""
    from dse.insight.oi_cf import plane, table

    own = plane(agents or [], model or [], device, batch, devices)
    if as_json:
        rows: list[dict[str, Any]] = [row._asdict() for row in own.rows]
        terminal.say_json({**own._asdict(), "rows": rows})
        return
    ridge = f"ridge {own.ridge:,.0f} FLOP/B at bf16"
    terminal.say(f"{own.devices} x {own.device}, decode batch {own.batch}, {ridge}; OI of the whole pass", "bold")
    terminal.say_table(table(own))


def _robustness(opened: "Opened") -> "Robustness":
    from dse.insight.decision.robustness import robustness

    return robustness(opened)


def _doubts(opened: "Opened") -> dict[str, Any]:
    """Robustness and the importance of the unknowns, for programs."""
    from dse.insight.decision.unknowns import importance

    return {"robustness": _robustness(opened).json(), "importance": importance(opened).json()}


def _say_robustness(opened: "Opened") -> None:
    """Shares of the lettered and of the robust balanced designs, and the unknowns that matter."""
    from dse.insight.decision import unknowns
    from dse.insight.decision.robustness import about, robust_knees, table

    own = _robustness(opened)
    lettered, knees = [pick.row for pick in opened.picks], robust_knees(opened, own)
    terminal.labelled("robustness", about(own))
    terminal.say()
    terminal.say_table(table(opened, own, [*lettered, *(row for row in knees if row not in lettered)]))
    letters = {pick.row: pick.letter for pick in opened.picks}
    names = ", ".join(letters.get(row, opened.front.ids[row]) for row in knees)
    terminal.labelled("robust", f"balanced designs among the robust ones: {names}")
    terminal.say()
    found = unknowns.importance(opened)
    terminal.say_table(unknowns.table(found, unknowns.leading(found)[:MOST_UNKNOWNS]))
    terminal.labelled("measure first", unknowns.advice(found))


def _drawn(name: str, svg: Path | None, html: Path | None) -> list[str]:
    """Write the pictures of a topology that were asked for."""
    from dse.insight import topology_picture as pictures

    for path, make in ((svg, pictures.file), (html, pictures.page)):
        if path is not None:
            path.write_text(make(name, Path.cwd()), encoding="utf-8")
    return [str(path) for path in (svg, html) if path is not None]

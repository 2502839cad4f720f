"""Command that writes the page of a run."""

from pathlib import Path
from typing import Annotated

import typer

from dse.commands import terminal

REPORT_EXAMPLES = terminal.examples("dse report last", "dse report quickstart/last --out front.html")


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="last, last~1, STUDY/last, or the folder of a run.")
    ] = "last",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Page to write; report.html in the run.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write the page of a run: one offline file with the front, why it looks so, and how sure that is."""
    import time

    from dse.insight.report.page import write
    from dse.insight.runs import open_run

    began = time.monotonic()
    opened = open_run(run, results)
    path = write(opened, out)
    size, seconds = path.stat().st_size, time.monotonic() - began
    if as_json:
        terminal.say_json({"report": str(path), "bytes": size, "seconds": round(seconds, 3)})
    else:
        terminal.labelled("written", f"{path}   ({size / 1e6:.1f} MB, {seconds:.1f} s)")
    if not len(opened.front):
        raise typer.Exit(terminal.INFEASIBLE)

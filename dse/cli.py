"""Command line: a thin skin. The work of a command is imported when it runs, so that help comes at once."""

import sys

import typer

from dse.commands import (
    breakeven,
    brief,
    cases,
    certify,
    compare,
    explain,
    fidelity,
    model,
    replay,
    report,
    run,
    show,
    terminal,
)
from dse.facts.errors import SpecError

app = typer.Typer(
    name="dse",
    help="Find the Pareto set of heterogeneous systems for AI-agent inference: cost, throughput, latency.",
    epilog=terminal.examples("dse run search_spaces/quickstart.yaml", "dse explain last:A"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": terminal.WIDTH},
)
app.command(epilog=run.RUN_EXAMPLES)(run.run)
app.command(epilog=run.CHECK_EXAMPLES)(run.check)
app.command(epilog=explain.EXPLAIN_EXAMPLES)(explain.explain)
app.command(epilog=breakeven.BREAKEVEN_EXAMPLES)(breakeven.breakeven)
app.command(epilog=compare.COMPARE_EXAMPLES)(compare.compare)
app.command(epilog=brief.BRIEF_EXAMPLES)(brief.brief)
app.command(epilog=report.REPORT_EXAMPLES)(report.report)
app.command(epilog=replay.EXAMPLES)(replay.replay)
app.command(epilog=certify.CERTIFY_EXAMPLES)(certify.certify)
app.add_typer(show.app, name="show")
app.command(epilog=model.PREDICT_EXAMPLES)(model.predict)
app.command(epilog=fidelity.VALIDATE_EXAMPLES)(fidelity.validate)
app.command(epilog=fidelity.CALIBRATE_EXAMPLES)(fidelity.calibrate)
app.command(epilog=cases.CASES_EXAMPLES)(cases.cases)
app.add_typer(model.workload_app, name="workload")
app.add_typer(model.model_app, name="model")
app.command(epilog=model.SCHEMA_EXAMPLES)(model.schema)


def main() -> None:
    """Run the command line; input that cannot be used ends with code 2 and without a traceback."""
    try:
        app()
    except SpecError as error:
        terminal.complain(error.mistakes, "--json" in sys.argv)
        sys.exit(terminal.BAD_INPUT)


if __name__ == "__main__":
    main()

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
app.command(epilog=run.RUN_EXAMPLES, short_help="Search a study and write a run.")(run.run)
app.command(epilog=run.CHECK_EXAMPLES, short_help="Check a study without running it.")(run.check)
app.command(epilog=explain.EXPLAIN_EXAMPLES, short_help="Explain a design, or what moves a front.")(explain.explain)
app.command(epilog=breakeven.BREAKEVEN_EXAMPLES, short_help="Find from where on a choice pays.")(breakeven.breakeven)
app.command(epilog=compare.COMPARE_EXAMPLES, short_help="Compare two designs, or two runs.")(compare.compare)
app.command(epilog=brief.BRIEF_EXAMPLES, short_help="Write a two-page brief of a run.")(brief.brief)
app.command(epilog=report.REPORT_EXAMPLES, short_help="Write the page of a run.")(report.report)
app.command(epilog=replay.EXAMPLES, short_help="Serve real requests in a simulation.")(replay.replay)
app.command(epilog=certify.CERTIFY_EXAMPLES, short_help="Prove how far a front can be from the best.")(certify.certify)
app.add_typer(show.app, name="show", short_help="Show fronts, designs, catalog, topologies, workloads.")
app.command(epilog=model.PREDICT_EXAMPLES, short_help="Predict the time of single passes.")(model.predict)
app.command(epilog=fidelity.VALIDATE_EXAMPLES, short_help="Compare predictions with measurements.")(fidelity.validate)
app.command(epilog=fidelity.CALIBRATE_EXAMPLES, short_help="Fit the constants of the time model.")(fidelity.calibrate)
app.command(epilog=cases.CASES_EXAMPLES, short_help="Hold the model against published results.")(cases.cases)
app.add_typer(model.workload_app, name="workload")
app.add_typer(model.model_app, name="model")
app.command(epilog=model.SCHEMA_EXAMPLES, short_help="Write the JSON schema of study files.")(model.schema)


def main() -> None:
    """Run the command line; input that cannot be used ends with code 2 and without a traceback."""
    try:
        app()
    except SpecError as error:
        terminal.complain(error.mistakes, "--json" in sys.argv)
        sys.exit(terminal.BAD_INPUT)


if __name__ == "__main__":
    main()

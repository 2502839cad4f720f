"""Command line: a thin skin. The work of a command is imported when it runs, so that help comes at once."""

import sys

import typer

from dse import cli_explain, cli_fidelity, cli_model, cli_run, cli_show, cli_terminal
from dse.facts.errors import SpecError

app = typer.Typer(
    name="dse",
    help="Find the Pareto set of heterogeneous systems for AI-agent inference: cost, throughput, latency.",
    epilog=cli_terminal.examples("dse run search_spaces/quickstart.yaml", "dse explain last:A"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": cli_terminal.WIDTH},
)
app.command(epilog=cli_run.RUN_EXAMPLES)(cli_run.run)
app.command(epilog=cli_run.CHECK_EXAMPLES)(cli_run.check)
app.command(epilog=cli_explain.EXPLAIN_EXAMPLES)(cli_explain.explain)
app.command(epilog=cli_explain.COMPARE_EXAMPLES)(cli_explain.compare)
app.add_typer(cli_show.app, name="show")
app.command(epilog=cli_model.PREDICT_EXAMPLES)(cli_model.predict)
app.command(epilog=cli_fidelity.VALIDATE_EXAMPLES)(cli_fidelity.validate)
app.command(epilog=cli_fidelity.CALIBRATE_EXAMPLES)(cli_fidelity.calibrate)
app.add_typer(cli_model.workload_app, name="workload")
app.add_typer(cli_model.model_app, name="model")
app.command(epilog=cli_model.SCHEMA_EXAMPLES)(cli_model.schema)


def main() -> None:
    """Run the command line; input that cannot be used ends with code 2 and without a traceback."""
    try:
        app()
    except SpecError as error:
        cli_terminal.complain(error.mistakes, "--json" in sys.argv)
        sys.exit(cli_terminal.BAD_INPUT)


if __name__ == "__main__":
    main()

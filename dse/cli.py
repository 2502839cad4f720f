"""Command line: a thin skin. Every command lives in a `cli_*` module that is imported when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dse.cli_options import BadInput, Examples

app = typer.Typer(
    name="dse",
    help="Find the Pareto set of heterogeneous systems for AI-agent inference: cost, throughput and latency.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,

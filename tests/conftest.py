"""The command line in the process of a test, which is many times quicker than a process of its own."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from dse import cli


def command(*arguments: str, folder: Path, code: int = 0) -> str:
    """Output of a command in a folder; it must end with this code."""
    output, before, words = io.StringIO(), Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["dse", *arguments]
    try:
        with redirect_stdout(output), redirect_stderr(output), pytest.raises(SystemExit) as ended:
            sys.exit(cli.main())
    finally:
        os.chdir(before)
        sys.argv = words
    assert (ended.value.code or 0) == code, output.getvalue()
    return output.getvalue()


@pytest.fixture(scope="session")
def dse() -> Callable[..., str]:
    """Command line as a function: ``dse("show", "front", folder=where, code=1)``."""
    return command

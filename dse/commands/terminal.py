"""What every command needs of the terminal: plain text in a pipe, colour and one line of progress on a screen."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from dse.facts.errors import Mistake
    from dse.insight.table import Table
    from dse.search.course import Progress

OK, INFEASIBLE, BAD_INPUT = 0, 1, 2
"""Exit codes."""

LABEL = 14
"""Width of the words at the left of a sentence."""

WIDTH = 100
"""Characters of a line."""


def examples(*commands: str) -> str:
    """Epilogue of a help page."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands) + "\n"


def console() -> "Console":
    """Output on standard output; styles only where a person sees them."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(text: str = "", style: str | None = None) -> None:
    """Print one line, or several."""
    console().print(text, style=style)


def say_json(content: Any) -> None:
    """Print a result for programs."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")


def labelled(label: str, text: str, style: str = "bold") -> None:
    """Print a sentence with its subject at the left, wrapped under itself."""
    from textwrap import wrap

    lines = wrap(text, WIDTH - LABEL - 2, break_long_words=False, break_on_hyphens=False) or [""]
    screen = console()
    screen.print(f"  {label:<{LABEL}}", style=style, end="")
    screen.print(lines[0])
    for line in lines[1:]:
        screen.print(f"  {'':{LABEL}}{line}")


def say_table(table: "Table", limit: int | None = None) -> None:
    """Print a table, its header dimmed."""
    from dse.insight.table import lines

    made = lines(table, WIDTH)
    screen = console()
    screen.print(made[0], style="dim")
    for line in made[1:limit]:
        screen.print(line)


def complain(mistakes: Iterable["Mistake"], as_json: bool) -> None:
    """Print the mistakes of all files, each with its place."""
    found = list(mistakes)
    if as_json:
        say_json({"errors": [dict(vars(mistake)) for mistake in found]})
        return
    from rich.console import Console

    screen = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    for path in dict.fromkeys(mistake.path for mistake in found):
        own = [mistake for mistake in found if mistake.path == path]
        count = f"{len(own)} error{'s' if len(own) > 1 else ''}"
        screen.print(f"{path}: {count}" if path else count, style="bold red")
        for line in aligned(own):
            screen.print(f"  {line}")


def aligned(mistakes: Sequence["Mistake"]) -> list[str]:
    """Place, path inside the file and message in columns."""
    rows = [(f"{m.line}:{m.column}" if m.line else "", m.where, m.message) for m in mistakes]
    widths = [min(max(len(row[column]) for row in rows), 36) for column in range(2)]
    made = []
    for row in rows:
        parts = [f"{text:<{width}}" for text, width in zip(row, widths, strict=False) if width]
        made.append("  ".join([*parts, row[2]]))
    return made


class ProgressLine:
    """One line on a screen that is rewritten; nothing in a pipe."""

    EVERY = 0.1
    """Seconds between two updates."""

    BAR = 24
    """Characters of the bar."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self.last = 0.0

    def __call__(self, progress: "Progress") -> None:
        """Show how far a search is."""
        now = time.monotonic()
        if not self.shown or now - self.last < self.EVERY:
            return
        self.last = now
        sys.stderr.write(f"\r\x1b[2K{progress_text(progress, self.BAR)}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self.shown and self.last:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def progress_text(progress: "Progress", width: int) -> str:
    """Bar, designs, speed, front, hypervolume and time left in one line."""
    done = round(min(progress.share, 1.0) * width)
    left = f"{progress.seconds_left:.0f} s left" if progress.seconds_left < 1e6 else "…"
    parts = [
        f"{'█' * done}{'░' * (width - done)} {100 * min(progress.share, 1.0):3.0f} %",
        f"{progress.evaluations:,} designs",
        f"{progress.designs_per_second:,.0f}/s",
        f"front {progress.front:,}",
        f"hypervolume {progress.hypervolume:.3f}",
        left,
    ]
    return " · ".join(parts)


def _plain(value: Any) -> Any:
    """Arrays, paths and tuples as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "_asdict"):
        return value._asdict()
    return str(value)

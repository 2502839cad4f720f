"""Commands on a study: run it, check it."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.commands import terminal

if TYPE_CHECKING:
    from dse.facts.problem import Problem
    from dse.insight.runs import Opened
    from dse.search.question import Question
    from dse.search.runs.run import Run

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one entry of the study; may be repeated."),
]
Results = Annotated[Path, typer.Option(help="Folder of all runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

RUN_EXAMPLES = terminal.examples(
    "dse run search_spaces/quickstart.yaml",
    'dse run search_spaces/agentic_datacenter.yaml --budget "60 s" --set agents.coding.slo.tpot=20ms',
    "dse run --resume last --budget '+30 s'",
)
CHECK_EXAMPLES = terminal.examples(
    "dse check search_spaces/quickstart.yaml",
    "dse check search_spaces/quickstart.yaml --set prices=spot_2026 --resolved",
)


def run(
    study: Annotated[Path | None, typer.Argument(help="Study file; not needed with --resume.")] = None,
    changes: Set = None,
    budget: Annotated[
        str | None, typer.Option(help='"60 s", "20000 evaluations", "converged", joined by "or"; "+60 s" on top.')
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers; the study's by default.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers score the designs.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Search method; the study's by default.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="DSE_STORAGE", help="Optuna storage; a file in the run otherwise."),
    ] = None,
    results: Results = Path("results"),
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Run to continue: last, or its folder.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--start-from", metavar="RUN", help="Run, also of another study, to start from.")
    ] = None,
    join: Annotated[
        str | None, typer.Option(metavar="RUN", help="Share a run with other processes; a new name makes it.")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write report.html into the run.")] = True,
    as_json: AsJson = False,
) -> None:
    """Search a study and write a run: front, knees, verdict, and a page to read them on."""
    from dse.facts.problem import load
    from dse.insight.runs import locate
    from dse.search.ask import ask, limits
    from dse.search.budget import budget as read_budget
    from dse.search.explore import explore
    from dse.search.runs import run as folders
    from dse.search.runs.islands import join as work_together
    from dse.search.session import Options

    folder = locate(resume, results) if resume else _shared(join, study, results)
    problem = load(_file(study, folder, folders.PROBLEM), overrides(changes))
    question = ask(problem)
    progress = terminal.ProgressLine()
    earlier = folders.read_manifest(folder) if folder and (folder / folders.MANIFEST).exists() else {}
    options = Options(
        budget=read_budget(budget) if budget else folders.allowed(earlier) or limits(problem),
        seed=problem.seed if seed is None else seed,
        workers=workers,
        sampler=sampler or earlier.get("asked") or problem.sampler,
        results=results,
        resume=folder if resume else None,
        start_from=locate(start_from, results) if start_from else None,
        cluster=cluster,
        storage=storage or earlier.get("storage"),
        command="dse " + shlex.join(sys.argv[1:]),
        progress=progress,
    )
    if not as_json:
        _headline(problem, question)
    try:
        shared = folder or results / problem.name / str(join)
        found = work_together(question, options, shared) if join else explore(question, options)
    except KeyboardInterrupt:
        progress.clear()
        terminal.say("stopped before the run was whole; what was saved is continued with: dse run --resume last")
        raise typer.Exit(130) from None
    progress.clear()
    from dse.insight.decision.completion import completed  # after the search, which need not wait for its libraries

    found = completed(problem, found)
    if not as_json:
        _report(problem, found)
    page = _page(problem, found) if report else None
    if as_json:
        terminal.say_json({**found.summary, "folder": str(found.folder), "report": page})
    else:
        _farewell(found, results, page)
    if not found.summary["feasible"]:
        raise typer.Exit(terminal.INFEASIBLE)


def check(
    study: Annotated[Path, typer.Argument(help="Study file.")],
    changes: Set = None,
    resolved: Annotated[bool, typer.Option(help="Print the study with everything written out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a study without running it: all mistakes at once, the size of the space, the time it takes."""
    from dse.facts.problem import dump, load
    from dse.insight.wording import percent
    from dse.search.ask import ask

    problem = load(study, overrides(changes))
    question = ask(problem)
    if resolved:
        terminal.say_json(dump(problem)) if as_json else sys.stdout.write(question.resolved)
        return
    facts = _outlook(problem, question)
    if as_json:
        terminal.say_json({"errors": [], **facts})
        return
    terminal.say(f"{study}: no errors", "bold green")
    _headline(problem, question)
    terminal.labelled("designs", f"{facts['space_size']:,} architectures, each scored with all its mappings")
    terminal.labelled("levers", ", ".join(f"{name} ({count})" for name, count in facts["levers"].items()))
    terminal.labelled("engine", facts["reason"])
    said = "yes, the front will be exact" if facts["exhaustive"] else "no, the front will be the best found"
    terminal.labelled("exhaustive", said)
    speed = f"{facts['designs_per_second']:,.0f} designs/s and core, first tables included"
    terminal.labelled("time", f"{_about(facts['seconds'])} on {facts['workers']} cores ({speed})")
    terminal.labelled("feasible", f"{percent(facts['feasible_share'])} of {facts['sample']} sampled designs")
    for sentence in facts["idle_levers"]:
        terminal.labelled("idle lever", sentence, "yellow")
    for sentence in facts["emptied_by"]:
        terminal.labelled("emptied by", sentence, "yellow")
    terminal.labelled("next", f"dse run {study}")


def overrides(changes: list[str] | None) -> dict[str, str]:
    """Path -> text of every `--set`."""
    pairs = {}
    for change in changes or []:
        path, mark, text = change.partition("=")
        if not mark or not path.strip():
            raise typer.BadParameter(f'"{change}": expected PATH=VALUE, for example --set seed=1')
        pairs[path.strip()] = text.strip()
    return pairs


def _about(seconds: float) -> str:
    """Rough time in words."""
    return "less than a second" if seconds < 1 else f"about {seconds:.0f} s"


def _shared(name: str | None, study: Path | None, results: Path) -> Path | None:
    """Folder of a run that others work on too; None for a name that is new, which is made below the results."""
    from dse.insight.runs import locate

    if name is None or (study is not None and not (Path(name) / "manifest.json").is_file()):
        return Path(name) if name and Path(name).name != name else None
    return locate(name, results)


def _file(study: Path | None, folder: Path | None, inside: str) -> Path:
    """Study file to read: the one named, else the resolved one of the run that is resumed."""
    if study is not None:
        return study
    if folder is None:
        raise typer.BadParameter("name a study file, or a run with --resume")
    return folder / inside


def _headline(problem: "Problem", question: "Question") -> None:
    """Name of the study, its question, its classes."""
    from textwrap import wrap

    from dse.insight.wording import percent

    terminal.say("\n".join(wrap(f"{problem.name} · {problem.question}".rstrip(" ·"), terminal.WIDTH)), "bold")
    mixture = ", ".join(f"{percent(agent.share)} {agent.name} on {agent.model.id}" for agent in problem.agents)
    levers = sum(len(axis.choices) > 1 for axis in question.space.axes)
    facts = f"{question.space.size:,} architectures ({levers} levers) · {mixture} · prices {problem.prices.date}"
    terminal.say("\n".join(wrap(facts, terminal.WIDTH)))
    terminal.say()


def _outlook(problem: "Problem", question: "Question") -> dict[str, Any]:
    """Size of the space, pace of a first sample, engine and time that follow from it."""
    import time

    from dse.search import feasibility
    from dse.search.ask import limits
    from dse.search.crews.workers import cores
    from dse.search.engines import registry

    designs = question.space.sample(min(64, question.space.size), problem.seed)
    began = time.monotonic()
    metrics = question.evaluate(designs)
    pace = (time.monotonic() - began) / len(designs)
    budget, workers = limits(problem), cores()
    affordable = min(budget.evaluations, 0.8 * budget.seconds * workers / pace)
    choice = registry.choose(registry.Outlook(question.space.size, affordable, pace))
    if problem.sampler != "auto":
        choice = registry.Choice(problem.sampler, f"{problem.sampler}: asked for in the study")
    whole = question.space.size * pace / workers
    return {
        "study": problem.name,
        "space_size": question.space.size,
        "levers": {axis.name: len(axis.choices) for axis in question.space.axes if len(axis.choices) > 1},
        "engine": choice.name,
        "reason": choice.reason,
        "exhaustive": choice.name == "exhaustive",
        "designs_per_second": 1 / pace,
        "workers": workers,
        "seconds": min(whole, budget.seconds) if choice.name == "exhaustive" else min(budget.seconds, whole),
        "sample": len(designs),
        "feasible_share": len(set(metrics.design[metrics.feasible].tolist())) / len(designs),
        "idle_levers": feasibility.idle(question.space),
        "emptied_by": feasibility.emptied(metrics),
    }


def _report(problem: "Problem", found: "Run") -> None:
    """Screen of a finished run."""
    from textwrap import wrap

    from dse.insight.runs import Opened
    from dse.insight.wording import percent

    facts = found.summary
    parts = [
        f"{facts['evaluations']:,} designs in {facts['wall_seconds']:.1f} s ({facts['designs_per_second']:,.0f}/s)",
        f"{facts['reason']}",
        f"front {facts['front_size']:,} rows of {facts['front_designs']:,} designs",
        f"hypervolume {facts['hypervolume']:.3f} {facts['hypervolume_unit']}",
    ]
    if 0 < facts.get("overhead_share", 0) < 1:  # a run of a moment says nothing about it
        parts.append(f"search and storage {percent(facts['overhead_share'])} of evaluation time")
    if facts.get("converged"):
        parts.append("converged")
    terminal.say("\n".join(wrap(" · ".join(parts), terminal.WIDTH)))
    terminal.say()
    show_front(Opened(problem, found, "last"), None)


def _page(problem: "Problem", found: "Run") -> str:
    """Write the page of a run."""
    from dse.insight.report.page import write
    from dse.insight.runs import Opened

    return str(write(Opened(problem, found, "last")))


def _farewell(found: "Run", results: Path, page: str | None) -> None:
    """Files of a run, and what to type next."""
    facts = found.summary
    files = " · ".join([*(["report.html"] if page else []), "front.csv · summary.json · manifest.json"])
    terminal.labelled("written", f"{_short(found.folder, results)}   {files}", "dim")
    name = _short(found.folder, results)
    if facts["interrupted"]:
        terminal.labelled("stopped", "by Ctrl-C; what was found is saved", "yellow")
        terminal.labelled("go on", f"dse run --resume {name}", "dim")
    elif not facts["finished"]:
        terminal.labelled("go on", f"dse run --resume {name} --budget '+60 s'", "dim")
    if facts["feasible"]:
        terminal.labelled("next", "dse explain last:A    dse compare last:A last:B    dse show front last", "dim")
    else:
        terminal.labelled("next", "dse explain last:nearest", "dim")


def _short(folder: Path, results: Path) -> str:
    """Folder relative to where the user stands, if it is below."""
    for root in (Path.cwd(), results.resolve()):
        if folder.resolve().is_relative_to(root):
            return str(folder.resolve().relative_to(root))
    return str(folder)


def show_front(opened: "Opened", rows: int | None) -> None:
    """Picture, verdict and table of a run; `rows` rows of the whole front instead of the lettered ones."""
    from dse.insight import table
    from dse.insight.chart import picture
    from dse.insight.verdict import verdict

    front, picks = opened.front, opened.picks
    if len(front):
        for line in picture(front, picks):
            terminal.say(line)
        terminal.say()
    for sentence in verdict(opened.problem, opened.run):
        terminal.labelled(sentence.subject, sentence.text)
    terminal.say()
    if len(front):
        wanted = [pick.row for pick in picks] if rows is None else list(range(min(rows, len(front))))
        terminal.say_table(table.front_table(opened.problem, front, wanted, picks))
        if len(front) > len(wanted):
            terminal.say(f"     all {len(front):,} rows: dse show front {opened.name} --rows {len(front)}", "dim")
        terminal.say()

"""Commands on the model itself: predict, validate, calibrate, and files that it reads."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dse.commands import terminal
from dse.commands.run import AsJson

PREDICT_EXAMPLES = terminal.examples(
    "dse predict --model llama_3_1_70b --device h100_sxm --tp 4 --batch 16 --new-tokens 1 --cached-tokens 4096",
    "dse predict --csv points.csv --out predicted.csv",
)
TRACE_EXAMPLES = terminal.examples(
    "dse workload from-trace trace.jsonl",
    "dse workload from-trace sessions.csv --id my_agents --out search_spaces/workloads",
)
MODEL_EXAMPLES = terminal.examples("dse model import config.json", "dse model import ./my-model --out my_model.yaml")
SCHEMA_EXAMPLES = terminal.examples(
    "dse schema --out search_spaces/schema.json", "dse schema --check search_spaces/schema.json"
)

Degree = Annotated[int, typer.Option(min=1, help="Degree of parallelism.")]
Format = Annotated[str | None, typer.Option(help="Number format; that of the release by default.")]

workload_app = typer.Typer(
    help="Make a class of agents from a trace.",
    epilog=TRACE_EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
model_app = typer.Typer(
    help="Import a model from its published configuration.",
    epilog=MODEL_EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def predict(
    model: Annotated[str | None, typer.Option(help="Model of the catalog.")] = None,
    device: Annotated[str | None, typer.Option(help="Accelerator of the catalog.")] = None,
    tp: Degree = 1,
    pp: Degree = 1,
    attention_dp: Degree = 1,
    moe_tp: Annotated[int | None, typer.Option(min=1, help="Tensor parallelism inside an expert.")] = None,
    ep: Annotated[int | None, typer.Option(min=1, help="Expert parallelism.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Requests in the pass.")] = 1,
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens computed per request; 1 is a decode step.")] = 1,
    cached_tokens: Annotated[int, typer.Option(min=0, help="Tokens per request that are in the cache.")] = 0,
    phase: Annotated[str | None, typer.Option(help="prefill or decode, for the record.")] = None,
    weight_dtype: Format = None,
    expert_dtype: Format = None,
    kv_dtype: Annotated[str | None, typer.Option(help="Number format of the cache; bf16 by default.")] = None,
    attention_dtype: Annotated[str | None, typer.Option(help="Number format of the attention core.")] = None,
    csv: Annotated[Path | None, typer.Option(help="File of points instead of one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the CSV with results goes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict the time, work and footprint of single passes, over all devices unless a key says device."""
    from dataclasses import replace

    from dse.facts.errors import SpecError
    from dse.insight import forecast

    if csv is not None:
        rows, found = forecast.predict_file(csv)
        if out is not None:
            out.write_text(forecast.with_results(rows, found), encoding="utf-8")
        if as_json:
            terminal.say_json(found)
        elif out is None:
            typer.echo(forecast.with_results(rows, found), nl=False)
        else:
            terminal.say(f"{len(found)} points predicted: {out}")
        return
    if model is None or device is None:
        raise typer.BadParameter("name --model and --device, or a file with --csv")
    point = {
        "model": model, "device": device, "tp": tp, "pp": pp, "attention_dp": attention_dp, "moe_tp": moe_tp, "ep": ep,
        "batch": batch, "new_tokens": new_tokens, "cached_tokens": cached_tokens, "phase": phase,
        "weight_dtype": weight_dtype, "expert_dtype": expert_dtype, "kv_dtype": kv_dtype,
        "attention_dtype": attention_dtype,
    }  # fmt: skip
    given = {key: str(value) for key, value in point.items() if value is not None}
    try:
        made = forecast.predict_rows([given], "dse predict")[0]
    except SpecError as error:  # options have names, not lines
        raise SpecError([replace(mistake, line=0, column=0) for mistake in error.mistakes]) from None
    if as_json:
        terminal.say_json(made)
    else:
        _say_prediction(made)
    if not made["fits"]:
        raise typer.Exit(terminal.INFEASIBLE)


PREDICTED = {
    "seconds": ("time", "s"),
    "flop": ("work", "FLOP"),
    "bytes_moved": ("bytes moved", "B"),
    "oi": ("OI", "FLOP/B"),
    "cf_request_bytes": ("CF per request", "B"),
    "cf_device_bytes": ("CF per device", "B"),
    "weights_bytes": ("weights", "B"),
    "kv_bytes": ("KV", "B"),
}
"""Figure of a prediction -> its name and unit on a screen."""


def _say_prediction(made: dict[str, Any]) -> None:
    """Figures, then the parts of the time, then what binds and whether it fits."""
    from dse.insight.wording import percent, quantity

    for key, (name, unit) in PREDICTED.items():
        if key in made:
            terminal.labelled(name, f"{quantity(made[key], unit):>12}")
        if key == "seconds":
            for part in (part for part in made if part.endswith("_s")):
                what = {"low_s": "two thirds of measured passes lie from here", "high_s": "to here"}.get(part, "")
                shares = f"{quantity(made[part], 's'):>12}  {percent(made[part] / made['seconds']):>6}  {what}"
                terminal.labelled(f"  {part.removesuffix('_s')}", shares.rstrip(), "dim")
    terminal.labelled("bound", f"{made['bound']:>12}")
    terminal.labelled("fits", f"{'yes' if made['fits'] else 'no':>12}")


@workload_app.command("from-trace", epilog=TRACE_EXAMPLES)
def from_trace(
    file: Annotated[Path, typer.Argument(help="Mooncake JSONL, Azure CSV, or the documented columns.")],
    name: Annotated[str | None, typer.Option("--id", help="Name of the class.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the class and its step table.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Distil a class of agents from a recorded trace."""
    from dse.facts.workload import classes, traces
    from dse.insight import sessions

    recording = traces.read_trace(file)
    path = classes.write(classes.described(recording, file, name), recording.steps, out)
    made = sessions.facts(str(path))
    if as_json:
        terminal.say_json({**made, "file": str(path)})
        return
    for key, value in sessions.words(made):
        terminal.labelled(key, value)
    terminal.labelled("written", f"{path}; name it in a study as `workload: {path}`, and state its `slo`")


@workload_app.command("list", epilog=terminal.examples("dse workload list", "dse workload list --json"))
def list_workloads(as_json: AsJson = False) -> None:
    """List the classes of agents that ship with the package."""
    from dse.commands.show import workload

    workload(None, as_json)


@model_app.command("import", epilog=MODEL_EXAMPLES, short_help="Import a model as an entry of a study.")
def import_model(
    config: Annotated[Path, typer.Argument(help="config.json of Hugging Face, or its folder.")],
    out: Annotated[Path | None, typer.Option(help="YAML file to write; printed otherwise.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import a model: the `models` entry of a study, from its published configuration."""
    import re

    from dse.facts import writer
    from dse.facts.hf_import import import_config

    fields = import_config(config)
    name = re.sub(r"[^a-z0-9]+", "_", str(fields.get("name", config.stem)).lower()).strip("_")
    entry = {"models": {name: json.loads(json.dumps(fields, default=str))}}
    if out is not None:
        out.write_text(writer.text(entry), encoding="utf-8")
    if as_json:
        terminal.say_json(entry)
    elif out is None:
        typer.echo(writer.text(entry), nl=False)
    else:
        terminal.say(f"{name} written: {out}")


def schema(
    check: Annotated[Path | None, typer.Option(help="Fail if this file is not the current schema.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; printed otherwise.")] = None,
) -> None:
    """Write the JSON schema of study files, for completion and help in editors."""
    from dse.facts.errors import Mistake, SpecError
    from dse.facts.problem import json_schema

    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if check is not None:
        if not check.is_file() or check.read_text(encoding="utf-8") != text:
            raise SpecError([Mistake(str(check), 0, 0, "", f"is not current: run `dse schema --out {check}`")])
        terminal.say(f"{check} is current")
    elif out is not None:
        out.write_text(text, encoding="utf-8")
        terminal.say(f"written: {out}")
    else:
        typer.echo(text, nl=False)

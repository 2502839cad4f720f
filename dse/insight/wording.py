"""Numbers and designs in words: three significant digits, units beside them, no column names."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dse.facts import units
from dse.facts.levers import FUSED, REGISTRY
from dse.search.frontier import INERT, ParetoSet, shown

NONE = "none"
"""Choice that stands for absence."""

TIE = 1e-6
"""Relative difference below which two evaluations of one design are the same [1]."""

SMALLEST = 1e-4
"""Below this a cell shows an exponent."""

ARROW = "→"
"""Between the prefill and the decode pool of a design."""

DEGREES = (("tp", "TP"), ("pp", "PP"), ("attention_dp", "DP"), ("ep", "EP"), ("cp", "CP"))
"""Mapping column -> what people call it; tensor parallelism inside experts follows from the others."""

HEADINGS = {"cost": "$/task", "throughput": "task/s/MW", "cost_per_mtok": "$/Mtok", "energy_per_task": "MJ/task"}
"""Headings of metrics whose unit says it all."""

FORMS = ("_sxm", "_nvl72", "_oam", "_pcie")
"""Endings of device names that tables leave out."""

SUPERLATIVES = {
    "cost": "cheapest",
    "cost_per_mtok": "cheapest tokens",
    "throughput": "most tasks/MW",
    "latency": "quickest",
    "task_latency": "quickest task",
    "energy_per_task": "least energy",
}
"""Objective -> the design that is best in it."""

Levers = Mapping[str, str | float | int]


class Unit(NamedTuple):
    """How a quantity is shown in a table."""

    name: str
    """Written in the header."""
    size: float
    """One of it in SI."""


def display(name: str, unit: str) -> Unit:
    """Unit in which people read a column.

    >>> display("coding.tpot", "s"), display("cost", "$/task")
    (Unit(name='ms', size=0.001), Unit(name='$/task', size=1.0))
    """
    last = name.rsplit(".", 1)[-1]
    if last in ("tpot", "tpot_full"):
        return Unit("ms", 1e-3)
    if last == "latency":
        return Unit("/target", 1.0)
    if unit == "W":
        return Unit("kW", 1e3)
    if last == "energy_per_task":
        return Unit("MJ/task", 1e6)
    return Unit(*shown(unit))


def number(value: float) -> str:
    """Three significant digits.

    >>> number(0.238303), number(32099.0), number(float("inf"))
    ('0.238', '32,100', '∞')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return units.show(value, "1")


def cell(value: float) -> str:
    """Three significant digits with their zeros, so that the cells of a column compare.

    >>> cell(0.7), cell(12.0), cell(1900.4), cell(0.0)
    ('0.700', '12.0', '1,900', '0')
    """
    if not math.isfinite(value) or value == 0 or abs(value) < SMALLEST:
        return number(value)
    places = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{round(value, places) if places else float(f'{value:.3g}'):,.{places}f}"


YEAR = 365 * 86_400.0
"""Year of the cost model [s]."""


def quantity(value: float, unit: str) -> str:
    """Three significant digits with unit and prefix.

    >>> quantity(0.0196, "s"), quantity(0.238, "$/task"), quantity(0.854, "1"), quantity(4 * YEAR, "s")
    ('19.6 ms', '0.238 $/task', '0.854', '4 years')
    """
    if unit == "s" and 2 * YEAR <= value < math.inf:
        return f"{number(value / YEAR)} years"
    return f"{number(value)} {unit}".removesuffix(" 1") if math.isinf(value) else units.show(value, unit)


def percent(share: float) -> str:
    """Share of one as percent.

    >>> percent(0.6894), percent(0.0021)
    ('69 %', '0.21 %')
    """
    return f"{100 * share:.2g} %" if abs(share) < 0.995 else f"{100 * share:.0f} %"


def excess(share: float) -> str:
    """How far beyond a limit: percent, a factor where it is beyond twice the limit.

    >>> excess(0.06), excess(79.6)
    ('6 %', 'a factor 80.6')
    """
    return percent(share) if share < 1 else f"a factor {number(1 + share)}"


def change(share: float) -> str:
    """Relative change with its sign.

    >>> change(-0.0851), change(0.123), change(2e-5)
    ('−8.5 %', '+12 %', '0')
    """
    if abs(share) < 5e-5:
        return "0"
    return f"{'+' if share > 0 else '−'}{percent(abs(share))}"


def band(low: float, high: float, between: str = "to") -> str:
    """Two factors around one as changes in percent.

    >>> band(0.84, 1.08)
    '−16 to +8 %'
    """
    return f"{100 * (low - 1):+.0f} {between} {100 * (high - 1):+.0f} %".replace("-", "−")


def metric(name: str, unit: str, value: float) -> str:
    """One metric with its name and unit.

    >>> metric("tpot", "s", 0.0299), metric("latency", "1", 0.854), metric("cost", "$/task", 0.238)
    ('TPOT 29.9 ms', 'latency 0.854 of its target', '0.238 $/task')
    """
    last = name.rsplit(".", 1)[-1]
    if last == "latency":
        return f"latency {number(value)} of its target"
    text = quantity(value, unit)
    word = "" if last in HEADINGS else metric_name(last)
    return f"{word} {text}".strip()


def metric_name(name: str) -> str:
    """Name of a metric as people write it.

    >>> metric_name("ttft_p95"), metric_name("coding.tpot"), metric_name("task_latency")
    ('TTFT p95', 'coding TPOT', 'task latency')
    """
    words = name.replace(".", " ").replace("_", " ").replace("cost per mtok", "cost per million tokens")
    return words.replace("ttft", "TTFT").replace("tpot full", "TPOT").replace("tpot", "TPOT")


def heading(name: str, unit: str) -> str:
    """Header of a column: name and unit, the unit alone where it says it all."""
    if name in HEADINGS:
        return HEADINGS[name]
    own = display(name, unit).name
    return (metric_name(name) + ("" if own == "1" else f" {own}")).replace(" /", "/")


ACRONYMS = {"tp": "TP", "pp": "PP", "ep": "EP", "cp": "CP", "dp": "DP", "moe": "MoE", "kv": "KV", "dtype": "format"}
"""Parts of the names of levers and mappings that are written otherwise."""


def lever_name(name: str) -> str:
    """Lever, or how a class of agents uses the system, in words.

    >>> lever_name("prefill.second_device"), lever_name("kv_dtype"), lever_name("web_use.decode.attention_dp")
    ('prefill second device', 'KV format', 'web_use decode attention DP')
    """
    agent, _, rest = name.partition(".")
    own = "" if name in REGISTRY or not rest else f"{agent} "
    words = (rest if own else name).replace(".", " ").replace("_", " ").split()
    return own + " ".join(ACRONYMS.get(word, word) for word in words)


def listed(words: Sequence[str]) -> str:
    """Words of a sentence, the last after an `and`.

    >>> listed(["A"]), listed(["A", "B"]), listed(["A", "B", "C"])
    ('A', 'A and B', 'A, B and C')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else list(words))


def superlative(name: str) -> str:
    """What to call the design that is best in an objective."""
    return SUPERLATIVES.get(name, f"best {metric_name(name)}")


def parallelism(mapping: Mapping[str, int], prefix: str) -> str:
    """Degrees of parallelism that differ from one.

    >>> parallelism({"decode.tp": 8, "decode.pp": 1, "decode.ep": 64}, "decode.")
    'TP8 EP64'
    """
    degrees = [f"{word}{mapping[prefix + key]}" for key, word in DEGREES if mapping.get(prefix + key, 1) > 1]
    return " ".join(degrees) or "TP1"


def short_names(devices: Iterable[str]) -> dict[str, str]:
    """Device -> its name without the form factor, where that is unique in the study.

    >>> short_names(["b200_sxm", "h100_sxm", "h100_pcie", "mi355x"])["b200_sxm"]
    'b200'
    """
    known = list(devices)
    starts = [name.removesuffix(end) for name in known for end in FORMS if name.endswith(end)]
    return {
        name: _bare(name) if starts.count(_bare(name)) == 1 and _bare(name) not in known else name for name in known
    }


def _bare(name: str) -> str:
    return next((name.removesuffix(end) for end in FORMS if name.endswith(end)), name)


def pool_name(levers: Levers, pool: str, names: Mapping[str, str] | None = None) -> str:
    """Device types of one pool."""
    kinds = [levers[f"{pool}.device"], levers.get(f"{pool}.second_device", NONE)]
    return " + ".join((names or {}).get(str(kind), str(kind)) for kind in kinds if kind not in (NONE, INERT))


def extras(levers: Levers) -> list[str]:
    """What a design adds to the stock parts, in words; nothing for what it leaves alone."""
    words = []
    for pool in ("prefill", "decode"):
        host, scale, wiring = (levers.get(f"{pool}.{name}", 0) for name in ("host_memory", "memory_scale", "topology"))
        if isinstance(scale, int | float) and scale > 1:
            words.append(f"{pool} HBM x{scale:g}")
        if isinstance(host, int | float) and host > 0:
            words.append(f"{pool} host DRAM {units.show(host, 'B')}")
        if isinstance(wiring, str) and wiring not in ("native", INERT):
            words.append(f"{pool} {wiring}")
    if levers.get("pool.technology", NONE) not in (NONE, INERT):
        words.append(f"{levers['pool.technology']} pool {units.show(float(levers['pool.capacity']), 'B')}")
    light = levers.get("optical_bandwidth", 0)
    if isinstance(light, int | float) and light > 0:
        words.append(f"optics {units.show(light, 'B/s')}")
    if levers.get("weight_dtype", "release") != "release":
        words.append(f"weights {levers['weight_dtype']}")
    words.append(f"KV {levers['kv_dtype']}" if "kv_dtype" in levers else "")
    if levers.get("draft_length", 0) not in (0, INERT):
        words.append(f"draft {levers['draft_length']}")
    techniques = [levers.get(name, NONE) for name, lever in REGISTRY.items() if lever.kind == "technique"]
    words += [str(choice) for choice in techniques if choice not in (NONE, FUSED, INERT)]
    return [word for word in words if word]


def design(
    levers: Levers, mapping: Mapping[str, int], agents: Sequence[str], names: Mapping[str, str] | None = None
) -> str:
    """One line for a design: device types of both pools, with the mapping where one class shares it.

    >>> levers = {"serving": "disaggregated", "prefill.device": "b200", "decode.device": "mi355x"}
    >>> design(levers, {"chat.prefill.tp": 8, "chat.decode.tp": 8, "chat.decode.ep": 64}, ["chat"])
    'b200 TP8 → mi355x TP8 EP64'
    """
    pools = {}
    for pool in ("prefill", "decode"):
        used = f" {parallelism(mapping, f'{agents[0]}.{pool}.')}" if len(agents) == 1 else ""
        pools[pool] = f"{pool_name(levers, pool, names)}{used}"
    if levers.get("serving") == "colocated":
        return f"{pools['decode']} (colocated)"
    if levers.get("serving") == "attention_offload":
        return f"{pools['prefill']} {ARROW} {pools['decode']} (attention offload)"
    return f"{pools['prefill']} {ARROW} {pools['decode']}"


def front_design(front: ParetoSet, row: int, agents: Sequence[str], names: Mapping[str, str] | None = None) -> str:
    """One line for a row of a front; where classes map differently, what the design adds stands instead."""
    levers = front.levers(row)
    line = design(levers, front.mapping(row), agents, names)
    added = [word for word in extras(levers) if not word.startswith("KV")] if len(agents) > 1 else []
    return ", ".join([line, *added])


def lever_word(name: str, choice: str | float | int) -> str:
    """Choice of a lever with its unit."""
    lever = REGISTRY.get(name)
    if isinstance(choice, str) or lever is None or lever.unit == "1":
        return str(choice)
    return units.show(float(choice), lever.unit)

"""Names and notes that try to run a script: every page shows them as text, and nothing of them is executed."""

import sys
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
import yaml

from dse import cli

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000
IMAGE = '"><img src=x onerror=dsePwned()>'
SCRIPT = "<script>dsePwned()</script>"
TEMPLATES = "'-dsePwned()-' {{7*7}} ${dsePwned()} javascript:dsePwned()"
EVERYTHING = f"{SCRIPT} {IMAGE} {TEMPLATES} </title></script><svg onload=dsePwned()>"
LINK = '<a href="javascript:dsePwned()">here</a>'
NAME = f"{IMAGE}{{{{7*7}}}}"
"""Name of the study: that of a folder too, so without a slash."""
WATCH = "window.pwned = 0; window.dsePwned = () => { window.pwned += 1; };"
ARMED = """[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(
    a => /^on/i.test(a.name) && /dsePwned/.test(a.value) || /^\\s*javascript:/i.test(a.value)).length"""


def workload() -> dict:
    shipped = yaml.safe_load((ROOT / "dse/facts/catalog/workloads/computer_use.yaml").read_text())
    return shipped | {"id": "mine", "description": EVERYTHING, "source": f"{LINK} {EVERYTHING}", "notes": [EVERYTHING]}


def study() -> dict:
    price = {"low": "20000 $", "likely": "30000 $", "high": "50000 $", "basis": "device", "source": LINK}
    part = {"like": "b200_sxm", "name": EVERYTHING, "price": price}
    agent = {"workload": "mine.yaml", "model": SCRIPT, "context_policy": "truncation"}
    return {
        "version": 1,
        "name": NAME,
        "question": EVERYTHING,
        "agents": {f"<svg onload=dsePwned()>{IMAGE}": agent},
        "models": {SCRIPT: {"like": "llama_3_1_70b", "name": EVERYTHING}},
        "devices": {SCRIPT: part, IMAGE: part},
        "levers": {"prefill.device": [SCRIPT, IMAGE], "decode.device": [SCRIPT, "h200_sxm"]},
        "constants": {"decode.topology": IMAGE, "optical_bandwidth": "500 GB/s"},
        "topologies": {IMAGE: "wired.yaml"},
        "prices": "contract_2026",
        "slo": {"ttft": "60 s", "tpot": "200 ms"},
        "objectives": ["minimize cost", "maximize throughput", "minimize latency"],
        "budget": "64 evaluations",
    }


def wired(folder: Path) -> Path:
    """A topology whose description, nodes and file are hostile."""
    made = yaml.safe_load((ROOT / "topologies" / "asymmetric.yaml").read_text())
    made |= {"description": EVERYTHING, "file": "wired.graphml", "sources": [LINK, EVERYTHING]}
    (folder / "wired.yaml").write_text(yaml.safe_dump(made))
    text = (ROOT / "topologies" / "asymmetric.graphml").read_text()
    for number in range(4):
        text = text.replace(f'"decode{number}"', quoteattr(f"{number}{EVERYTHING}"))
    (folder / "wired.graphml").write_text(text)
    return folder / "wired.yaml"


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Every kind of page there is, made by the command that makes it."""
    folder = tmp_path_factory.mktemp("hostile")
    topology = wired(folder)
    (folder / "mine.yaml").write_text(yaml.safe_dump(workload()))
    (folder / "study.yaml").write_text(yaml.safe_dump(study()))
    results = folder / "results"
    made = {"report": results / NAME / "last" / "report.html", "compare": folder / "compare.html"}
    made |= {"runs": folder / "runs.html", "brief": folder / "brief.html", "topology": folder / "topology.html"}
    made |= {"replay": folder / "replay.html"}
    below = ["--results", str(results)]
    for words in (
        ["replay", "last:A", "--horizon", "1 min", "--html", str(made["replay"]), *below],
        ["compare", "last:A", "last:B", "--html", str(made["compare"]), *below],
        ["compare", "last", "last", "--html", str(made["runs"]), *below],
        ["brief", "last", "--out", str(folder), *below],
        ["show", "topology", str(topology), "--html", str(made["topology"])],
        ["report", "last", *below],
    ):
        if not results.exists():
            called(["run", str(folder / "study.yaml"), "--workers", "1", "--no-report", *below])
        called(words)
    return made


def called(words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
        patch.setattr(sys, "argv", ["dse", *words])
        cli.main()


@pytest.mark.parametrize("kind", ["report", "compare", "runs", "brief", "topology", "replay"])
def test_hostile_names_are_shown_and_never_run(kind, pages, browser):
    shown = browser.new_page()
    shown.set_default_timeout(PATIENCE)
    found: list[str] = []
    shown.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: found.append(str(error)))
    shown.on("dialog", lambda dialog: (found.append(dialog.message), dialog.dismiss()))
    shown.on("request", lambda own: found.append(own.url) if own.url != pages[kind].as_uri() else None)
    shown.add_init_script(WATCH)
    shown.goto(pages[kind].as_uri())
    if kind in ("report", "replay"):
        shown.wait_for_selector("html[data-ready]")
    if kind == "report":
        for button in ("button[data-select]", "button[data-pin]"):
            for number in range(min(shown.locator(button).count(), 2)):
                shown.locator(button).nth(number).click()
    assert shown.evaluate("window.pwned") == 0
    assert shown.evaluate(ARMED) == 0
    assert not [text for text in found if not text.startswith(("data:", "blob:"))]
    assert "dsePwned" in shown.content()
    assert "{{7*7}}" in shown.content()
    shown.close()

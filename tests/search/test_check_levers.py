import json

import pytest
from typer.testing import CliRunner

from dse.cli import app

QUICK = "search_spaces/quickstart.yaml"


@pytest.fixture
def checked(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)

    def check(*changes):
        options = [part for change in changes for part in ("--set", change)]
        made = CliRunner().invoke(app, ["check", QUICK, "--json", *options])
        assert made.exit_code == 0, made.output
        return json.loads(made.stdout)

    return check


def test_check_tells_the_exact_number_of_designs(checked):
    assert checked()["space_size"] == 5 * 5 * 4 + 5 * 4


def test_check_tells_levers_that_can_never_act(checked):
    facts = checked("serving=colocated")
    assert any(said.startswith("prefill.device has 5 choices") for said in facts["idle_levers"])
    assert facts["space_size"] == 5 * 4


def test_check_tells_which_requirement_empties_the_space(checked):
    facts = checked('require=["domain_power <= 1 W"]')
    assert facts["feasible_share"] == 0
    assert any(said.startswith("slack_domain_power: none of") for said in facts["emptied_by"])

"""Every case states its source, runs as a study, shows its relations, and has its result committed."""

import json
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.insight.cases import pages, registry
from dse.insight.cases.answers import LARGEST, Answers
from dse.insight.cases.registry import MODULES, STARTS, case, page, study
from dse.insight.cases.relation import Relation, above, below, near
from dse.search.space import Space

RESULTS = Path(__file__).parents[2] / "results" / "cases"


@pytest.fixture(scope="module")
def found():
    return {name: case(name) for name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_no_relation_disagrees_without_a_reason(name, found):
    assert [one.claim for one in found[name].relations if one.verdict == "DISAGREES"] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_stated_gap_is_still_a_gap(name, found):
    assert [one.claim for one in found[name].relations if one.gap and one.holds] == []


@pytest.mark.parametrize("name", MODULES)
def test_committed_result_is_what_the_model_gives(name, found):
    committed = json.loads((RESULTS / f"{name}.json").read_text())
    own = pages.facts([found[name]])[name]
    assert [row["claim"] for row in committed] == [row["claim"] for row in own]
    assert [row["verdict"] for row in committed] == [row["verdict"] for row in own]
    np.testing.assert_allclose([row["got"] for row in committed], [row["got"] for row in own], rtol=1e-6)


def test_committed_table_is_made_of_the_results(found):
    assert (RESULTS / "README.md").read_text() == pages.markdown(list(found.values()))


@pytest.mark.parametrize("name", MODULES)
def test_header_states_question_source_and_limits(name):
    question, *rest = page(name)
    assert question.endswith("?")
    assert [start for start in STARTS if not any(text.startswith(start) for text in rest)] == []


@pytest.mark.parametrize("name", MODULES)
def test_study_of_a_case_is_small_and_has_a_feasible_design(name, found):
    assert Space.of(found[name].problem).size <= LARGEST
    assert len(Answers.of(found[name].problem).feasible.metrics) > 0


def test_every_study_file_is_a_case():
    assert {path.stem for path in study("liminal_limits").parent.glob("*.yaml")} == set(MODULES)


def test_unknown_case_is_answered_with_the_known_ones():
    with pytest.raises(SpecError, match="liminal_limits"):
        study("liminal_limit")


def test_verdicts():
    assert near("", 1.02, 1.0, 0.02).verdict == "agrees"
    assert near("", 1.03, 1.0, 0.02).verdict == "DISAGREES"
    assert near("", 1.03, 1.0, 0.02, gap="why").verdict == "known gap"
    assert above("", 1.1).verdict == "trend shown"
    assert below("", 1.1).verdict == "DISAGREES"
    assert Relation("", 3, 1, 3).holds


def test_best_of_nothing_is_infinitely_bad(found):
    answers = Answers.of(found["splitwise"].problem)
    nothing = answers.rows(np.zeros(len(answers.metrics), dtype=bool))
    assert nothing.best("cost") == np.inf
    assert nothing.best("throughput") == -np.inf
    assert registry.study("splitwise").is_file()

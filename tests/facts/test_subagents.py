"""Sub-agents: what is dealt, by hand and by what must hold for any sessions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.facts.errors import SpecError
from dse.facts.problem import dump, load, resolve
from dse.facts.reader import Source
from dse.facts.workload.classes import load_workload
from dse.facts.workload.sessions import Tokens, steps
from dse.facts.workload.subagents import SubAgents, dealt

ROOT = Path(__file__).parents[2]


def session(length, shared=100.0, number=0):
    """Append-only session: 50 tokens asked first, then 10 fresh tokens and 5 of answer per call."""
    cached = [0.0] + [shared + 50 + 15 * (step - 1) + 5 for step in range(1, length)]
    fresh = [shared + 50.0] + [10.0] * (length - 1)
    return steps([number] * length, [1.0] * length, Tokens(cached, fresh, [5.0] * length))


def test_four_calls_dealt_to_two_by_hand():
    table, path = dealt(session(4), SubAgents(count=2, brief=0.2, report="30 tok"), 100.0)
    assert path.tolist() == [3]  # two calls of the slower half, and the lead
    assert table.sequence.tolist() == [0, 0, 1, 1, 2]
    # the third call had found 170 tokens, 70 beyond the shared ones: a fifth of those stays
    assert table.context.tolist() == [150.0, 165.0, 180 - 56, 195 - 56, 150 + 2 * 30]
    assert table.cached.tolist() == [0.0, 155.0, 0.0, 185 - 56, 0.0]
    assert table.gap.tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]


def test_one_agent_leaves_everything_as_it_was():
    whole = session(5)
    table, path = dealt(whole, SubAgents(count=1), 100.0)
    assert table is whole
    assert path.tolist() == [5]


def test_a_prompt_that_was_rewritten_has_nothing_left_to_drop():
    table = steps([0] * 4, [0.0] * 4, Tokens([0.0, 150, 165, 100], [150.0, 10, 10, 40], [5.0] * 4))
    made, _ = dealt(table, SubAgents(count=2, brief=0.0), 100.0)
    assert made.cached[3] == 100.0
    assert made.context[3] == 140.0


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.integers(1, 9),
    st.floats(0, 1),
)
def test_what_holds_for_any_sessions(lengths, count, brief):
    parts = [session(length, number=number) for number, length in enumerate(lengths)]
    whole = steps(
        np.concatenate([part.session for part in parts]),
        np.concatenate([part.gap for part in parts]),
        Tokens(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("cached", "fresh", "output"))),
    )
    table, path = dealt(whole, SubAgents(count=count, brief=brief), 100.0)
    several = sum(length > 1 and count > 1 for length in lengths)
    assert len(table) == len(whole) + several
    assert (path <= np.array(lengths) + 1).all()
    assert (path >= np.ceil(np.array(lengths) / count)).all()
    assert (table.fresh > 0).all()
    assert (table.cached >= 0).all()
    assert sorted(set(table.session)) == sorted(set(whole.session))
    assert table.context.max() <= max(whole.context.max(), 150 + count * 1500)


def test_a_catalog_class_is_dealt():
    alone, crew = load_workload("coding"), load_workload("coding", subagents=SubAgents(count=4))
    assert alone.path_steps == pytest.approx(alone.steps)
    assert crew.path_steps < 0.4 * alone.path_steps
    assert crew.served.context < alone.served.context
    assert crew.served.fresh > alone.served.fresh


def test_a_study_states_its_sub_agents_and_explains_them(tmp_path):
    text = (ROOT / "search_spaces" / "quickstart.yaml").read_text()
    path = tmp_path / "study.yaml"
    path.write_text(text)
    problem = load(path, {"agents.coding.subagents": "{count: 4, report: 2000 tok}"})
    assert problem.agents[0].workload.path_steps < problem.agents[0].workload.steps / 3
    again = resolve(Source("again", dump(problem), {}), tmp_path / "again.yaml")
    assert again.agents[0].spec.subagents == SubAgents(count=4, report="2000 tok")
    with pytest.raises(SpecError, match=r"subagents\.count"):
        load(path, {"agents.coding.subagents": "{count: 0}"})

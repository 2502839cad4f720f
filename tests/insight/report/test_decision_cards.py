"""Cards on what is not known and on the run before: their data are those of the insight behind them."""

import numpy as np
import pytest

from dse.insight.decision import robustness as shares
from dse.insight.decision import unknowns as doubts
from dse.insight.notebook import explore
from dse.insight.report.cards import compare, robustness, unknowns
from dse.insight.report.scene import Scene


@pytest.fixture(scope="module")
def opened(single):
    return single.opened


def test_robustness_shows_the_shares_in_order(opened):
    own = robustness.data(Scene(opened))
    assert list(own.front) == sorted(own.front, reverse=True)
    known = shares.robustness(opened)
    letters = {pick.letter: pick.row for pick in opened.picks}
    for name, fine in zip(own.names, own.feasible, strict=True):
        row = letters.get(name, known.rows[known.ids.index(name)] if name in known.ids else -1)
        assert fine == pytest.approx(100 * known.feasible[known.place(row)])
    assert all(low <= mid <= high for low, mid, high in own.ranges)
    drawn = robustness.figure(own)
    assert "analytic estimate" in drawn.layout.title.subtitle.text
    assert {trace.name for trace in drawn.data if trace.showlegend is not False} == {"on the front", "feasible"}


def test_unknowns_draws_one_bar_per_objective_and_unknown(opened):
    own = unknowns.data(opened)
    assert len(own.total) == len(own.goals) == 3
    assert all(len(values) == len(own.labels) <= unknowns.MOST for values in own.total)
    largest = np.max(own.total, axis=0)
    assert (largest >= 100 * doubts.SMALL).all()
    drawn = unknowns.figure(own)
    assert [list(bar.x) for bar in drawn.data] == [list(values) for values in own.total]
    assert own.advice.startswith("Find out first")


def test_cards_escape_and_hold_their_figure(opened):
    for module, seen in ((robustness, Scene(opened)), (unknowns, opened)):
        card = module.card(seen)
        assert set(card.figures) == {card.key}
        assert f'data-figure="{card.key}"' in card.html
        assert "<script" not in card.html


def test_the_run_before_is_compared_where_there_is_one(opened, tmp_path):
    assert compare.card(opened) is None
    made = [explore(opened.problem, results=tmp_path, seed=seed, workers=1).opened for seed in (0, 1)]
    found = compare.data(made[1])
    assert found is not None
    assert found.found.names == tuple(item.run.folder.name for item in made)
    assert found.found.covered == (1.0, 1.0)
    assert "hypervolume" in compare.card(made[1]).html

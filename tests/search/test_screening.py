"""Screening against scoring in full: the same readings, the same choice, to the rounding of sums."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.facts.problem import load
from dse.facts.workload.distill import RETENTION, grid_position
from dse.search.ask import ask
from dse.search.scoring import block as blocks
from dse.search.scoring import classes, combine, contest, mappings, rows, screening, tails, waits
from dse.search.scoring.keeping import kept
from dse.search.scoring.phases import Decoding
from dse.search.scoring.plan import Plan, TableKey
from dse.search.scoring.points import evaluate_points
from dse.search.scoring.tables import decode_table, prefill_table

STUDIES = Path(__file__).parents[1] / "studies"
STUDY, OFFLOAD = STUDIES / "small.yaml", STUDIES / "offload.yaml"
WIRED = Path(__file__).parents[2] / "search_spaces" / "agentic_datacenter.yaml"
DESIGNS = 24
CLOSE = 1e-10


@cache
def plan(study: Path = STUDY) -> Plan:
    return ask(load(study)).evaluate.plan


@cache
def block(study: Path = STUDY, seed: int = 3) -> blocks.Block:
    question = ask(load(study))
    return blocks.block(plan(study), question.space.sample(DESIGNS, seed))


def operated(study: Path = STUDY, **changes: float | bool) -> Plan:
    known = plan(study)
    return replace(known, operation=known.operation._replace(**changes))


OPERATIONS = {
    "as stated": {},
    "first come": {"first_come": True, "arrival_scv": 4.0},
    "no affinity": {"affinity": 0.0},
    "some affinity": {"affinity": 0.7},
    "median": {"percentile": 50.0},
    "p99": {"percentile": 99.0},
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("agent", [0, 1])
@pytest.mark.parametrize("looped", [False, True], ids=["in arrays", "in a loop"])
def test_readings_from_the_steps_that_can_lie_at_the_percentile_are_those_of_all_steps(
    monkeypatch, name, agent, looped
):
    monkeypatch.setattr(tails, "pays", lambda readings: looped)
    own = operated(**OPERATIONS[name])
    found = classes.candidates(own, block(), agent)
    index = np.sort(np.random.default_rng(0).choice(found.home.size, min(3000, found.home.size), replace=False))
    at = classes.setting(own, block(), agent, found, index)
    held, whole = kept(at), evaluate_points(at)
    lines = waits.waiting(at, held, whole.tpot)
    target = at.shape.ttft_slo
    ttft = tails.at_percentile(at.shape, own.operation, lines)
    latency = tails.at_percentile(at.shape, own.operation, lines, whole.tpot_full)
    assert ttft == pytest.approx((1 - whole.slack_ttft) * target, rel=CLOSE)
    assert latency == pytest.approx(whole.step_latency, rel=CLOSE)
    met = tails.in_time(at.shape, own.operation, lines, whole.tpot_full)
    slack = np.minimum(whole.slack_ttft, whole.slack_latency)
    clear = np.minimum(np.abs(whole.slack_ttft), np.abs(whole.slack_latency)) > CLOSE
    assert (np.isfinite(met) == (slack >= 0))[clear].all()
    assert met[np.isfinite(met)] == pytest.approx(whole.step_latency[np.isfinite(met)], rel=CLOSE)


def test_only_part_of_the_steps_is_timed():
    atoms = plan().classes[0].shape.atoms
    every = waits.ordered(atoms, below=True)[0].fresh.size
    kind = (tails.COLD_SLOWER + tails.WARM_SLOWER) * (tails.GRAIN + 1) + tails.GRAIN
    assert tails._tail(atoms, plan().operation, kind, (40, 42), False).steps.fresh.size < every / 2


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 46))
def test_what_is_left_out_lies_below_the_percentile_at_any_times(seed, cell):
    """The proof of the choice, on times drawn at random."""
    own, random = plan(), np.random.default_rng(seed)
    shape = own.classes[seed % 2].shape
    count = 40
    slow = random.exponential(1.0, (5, count)) * 10.0 ** random.uniform(-2, 2, (5, 1))
    cold = waits.Line(*slow)
    warm = cold if seed % 3 else waits.Line(*(slow * random.uniform(0.1, 1.0, (5, 1))))
    blocked, delay = random.uniform(0, 0.3, count), random.exponential(3.0, count)
    retention = np.full(count, RETENTION[cell] + 0.01)
    lower = np.clip(random.uniform(-0.5, 1.2, count), 0, 1)
    restored, joins, *spreads = random.exponential(0.1, (4, count))
    lines = waits.Waiting(
        warm, cold, restored, retention, lower, blocked, delay, joins, *spreads, grid_position(retention)
    )
    output = random.exponential(1.0, count)
    with patch.object(tails, "pays", return_value=bool(seed % 5 < 2)):
        some = tails.at_percentile(shape, own.operation, lines, output)
    steps, weights = waits._steps(shape.atoms, own.operation, lines)
    values = waits.first_token(own.operation, steps, weights, lines) + steps.output * output[:, None]
    level = own.operation.percentile / 100
    (law,) = waits.law(shape.atoms, own.operation, lines, waits.forms(lines), (level,))
    reading = tails.queueing.mixture_quantiles(values, weights, [level])[0]
    whole = law.joined(reading, law.output * output)
    mean = (values * weights).sum(axis=1)
    assert law.mean + law.output * output == pytest.approx(mean, rel=1e-9)
    assert some == pytest.approx(whole, rel=1e-8)
    may, least = contest.hopeful(shape, own.operation, lines, output)
    ttft = tails.at_percentile(shape, own.operation, lines)
    assert (least <= whole).all()
    assert may[(whole <= shape.latency_slo) & (ttft <= shape.ttft_slo)].all()


def test_the_least_latency_is_close_enough_to_spare_many_readings():
    own, of = plan(), block(STUDY)
    drafts = [screening.drafted(own, of, agent) for agent in range(len(own.classes))]
    hopeful = screening._everywhere([item.design[item.short <= 0] for item in drafts], len(of))
    open_ = sum(int(((item.short <= 0) & hopeful[item.design]).sum()) for item in drafts)
    read = []

    def counted(shape, operation, whole, per_output):
        read.append(per_output.size)
        return tails.in_time(shape, operation, whole, per_output)

    with patch.object(screening, "in_time", counted):
        screening.screened(own, of)
    assert sum(read) < 0.6 * open_


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_points_are_beaten_by_those_that_are_better_in_everything_alone(seed):
    random = np.random.default_rng(seed)
    columns = [random.integers(0, 3, 60), *random.integers(1, 9, (2, 60)).astype(float), random.integers(0, 80, 60)]
    points = contest.Contest(np.arange(60), *columns)
    leading = points.leaders(3)
    others, rest = points.take(leading), points.take(~leading)
    better = np.all(
        [
            mine[:, None] <= its
            for mine, its in zip((others.cost, others.energy), (rest.cost, rest.energy), strict=True)
        ],
        axis=0,
    )
    better &= (others.design[:, None] == rest.design) & (others.level[:, None] < rest.level)
    beaten = rest.beaten(others, 3)
    assert not (beaten & ~better.any(axis=0)).any()
    assert beaten.sum() > 0.5 * better.any(axis=0).sum()


@pytest.mark.parametrize("study", [STUDY, OFFLOAD], ids=["small", "offload"])
def test_half_scores_are_those_of_whole_points(study):
    for agent in range(len(plan(study).classes)):
        draft = screening.drafted(plan(study), block(study), agent)
        whole = classes.class_points(plan(study), block(study), agent)
        assert (draft.design == whole.design).all()
        assert draft.cost == pytest.approx(whole.columns.cost, rel=1e-12)
        assert draft.energy == pytest.approx(whole.columns.energy, rel=1e-12)
        assert draft.tpot_full == pytest.approx(whole.columns.tpot_full, rel=1e-12)
        assert draft.waiting.retention == pytest.approx(whole.columns.retention_time, rel=1e-9)


def every_point(own: Plan, of: blocks.Block) -> tuple[list[classes.ClassPoints], combine.Points]:
    """All points of all classes scored in full."""
    found = [classes.class_points(own, of, agent) for agent in range(len(own.classes))]
    shares = [item.agent.share for item in own.classes]
    return found, combine.Points(
        np.concatenate([part.design for part in found]),
        np.repeat(np.arange(len(found)), [part.size for part in found]),
        np.concatenate([share * part.columns.cost for share, part in zip(shares, found, strict=True)]),
        np.concatenate([share * part.columns.energy for share, part in zip(shares, found, strict=True)]),
        np.concatenate([screening._tied(part.columns.ratio) for part in found]),
        np.concatenate([screening._tied(part.columns.violation) for part in found]),
    )


@pytest.mark.parametrize("seed", [3, 4])
def test_the_combinations_of_a_block_are_those_of_all_points_scored_in_full(seed):
    own, of = plan(), block(STUDY, seed)
    _, everything = every_point(own, of)
    whole = combine.combine(everything, len(of), len(own.classes))
    pairs, short = screening.screened(own, of)
    some = combine.combine(short.points, len(of), len(pairs))
    assert (some.design == whole.design).all()
    starts = np.cumsum([0, *(pair.home.size for pair in pairs)])[:-1]
    assert (short.origin[some.point] + starts == whole.point).all()


def test_a_wider_grid_within_a_reach_is_the_grid_of_that_reach():
    own = plan()
    for agent, item in enumerate(own.classes):
        for domain, devices, stages in ((1, 1, (1,)), (8, 64, (1, 2)), (64, 72, (1, 2, 4)), (256, 128, (1, 4))):
            wide = mappings.Reach(128, 128, (1, 2, 4, 8, 16, 32, 64), (1, 2, 4))
            narrow = mappings.Reach(domain, devices, wide.tensor, stages)
            for grid in (
                lambda reach, shape=item.model: mappings.prefill_grid(shape, reach, (2048,)),
                lambda reach, shape=item.model: mappings.decode_grid(shape, reach, (1, 8, 64)),
            ):
                whole, part = grid(wide), grid(narrow)
                rows = whole.rows(np.flatnonzero(mappings.within(whole, narrow)))
                assert all((a == b).all() for a, b in zip(rows, part, strict=True)), (agent, domain)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_tables_made_in_one_stroke_are_those_made_alone(elsewhere):
    own = Plan.of(load(WIRED))
    wirings = ["native", *own.problem.topologies]
    for agent, item in enumerate(own.classes):
        keys = [
            TableKey(agent, device, wiring, light, weight, "bf16", 0, elsewhere)
            for device in own.devices[::4]
            for wiring in wirings
            for light in (400e9, 1e12)
            for weight in ("release", "fp8")
        ]
        own.prefill_tables(agent, keys[::2])
        own.prefill_tables(agent, keys[::-1])
        own.decode_tables(agent, keys)
        tiers = set()
        for key in keys[:: 13 if elsewhere else 5]:
            site, settings_ = own.site(key), own.problem.serving
            tiers.add(site.paths.rates.size)
            how = Decoding(tuple(mappings.powers_of_two(settings_.max_batch)), attention_elsewhere=elsewhere)
            for shared, alone in (
                (own.prefill(key), prefill_table(site, item.load, settings_.chunk_tokens)),
                (own.decode(key), decode_table(site, item.load, how)),
            ):
                assert all((a == b).all() for a, b in zip(shared.grid, alone.grid, strict=True)), key
                for name in shared._fields[1:]:
                    assert (getattr(shared, name) == getattr(alone, name)).all(), (name, key)
        assert len(tiers) > 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_rows_of_a_design_are_dropped_where_another_is_as_good_in_everything(seed):
    random = np.random.default_rng(seed)
    design = np.sort(random.integers(0, 4, random.integers(1, 120)))
    own = rows.Rows(design, np.zeros_like(design), np.arange(design.size))
    criteria = random.integers(0, random.integers(2, 40), (3, design.size)).astype(float)
    beaten = [
        any(
            design[i] == design[j]
            and (criteria[:, j] <= criteria[:, i]).all()
            and ((criteria[:, j] < criteria[:, i]).any() or j < i)
            for j in range(design.size)
            if i != j
        )
        for i in range(design.size)
    ]
    assert rows.undominated(own, list(criteria), 5).row.tolist() == np.flatnonzero(~np.asarray(beaten)).tolist()

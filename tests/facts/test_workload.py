"""Classes of the catalog: what they claim, how policies change them, and what bad files say."""

import os
import pickle
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from dse.facts.errors import SpecError
from dse.facts.reader import validate_file
from dse.facts.workload import atoms, atoms_cache, distill
from dse.facts.workload.classes import Workload, WorkloadFile, load_workload, names
from dse.facts.workload.policies import POLICIES, Policy
from dse.facts.workload.profiles import generate

FOLDER = Path(str(resources.files("dse.facts"))) / "catalog" / "workloads"
MINIMAL = """
id: mine
description: d
source: s
licence: own
estimate: true
shared_prefix: 100 tok
profile:
  sessions: 50
  steps: {quantiles: {p50: 4}, source: s}
  first: {quantiles: {p50: 1000 tok}, source: s}
  text: {quantiles: {p50: 50 tok}, source: s}
  observation: {quantiles: {p50: 500 tok}, source: s}
  output: {quantiles: {p50: 80 tok}, source: s}
  gap: {quantiles: {p10: 1 s, p90: 100 s}, source: s}
"""


def own(folder: Path, text: str = MINIMAL) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def messages(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_workload(path)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("workload_id", names())
def test_classes_are_complete_and_credited(workload_id: str) -> None:
    found = load_workload(workload_id)
    assert found.id == workload_id
    assert found.slo is not None
    assert found.slo.source
    assert found.source
    assert found.licence
    assert found.estimate == (workload_id in ("web_use", "computer_use"))
    assert workload_id in (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    assert np.isfinite(found.curves.occupancy[:-1]).all()
    assert list(found.longest) == sorted(found.longest)


def test_the_four_classes_are_shipped_compactly() -> None:
    assert names() == ("chat", "coding", "computer_use", "web_use")
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 500_000


@pytest.mark.parametrize("workload_id", names())
def test_means_of_the_curves_equal_the_means_of_the_steps(workload_id: str) -> None:
    found = load_workload(workload_id)
    for retention in (0.0, 60.0, 300.0, np.inf):
        fresh, cached, _ = atoms.actual(found.table, found.shared_prefix, retention)
        area = fresh * (cached + fresh / 2)
        assert found.prefill_tokens(retention) == pytest.approx(fresh.mean(), rel=1e-3)
        assert found.prefill_area(retention) == pytest.approx(area.mean(), rel=1e-3)


def test_published_percentiles_of_the_coding_class() -> None:
    table = load_workload("coding").table
    levels = [10, 25, 50, 75, 90, 95, 99]
    fresh = np.percentile(table.fresh[~table.first], levels)
    assert fresh == pytest.approx([231, 374, 713, 1704, 4206, 8238, 65_706], rel=1e-3)
    assert np.percentile(table.output, levels) == pytest.approx([105, 137, 216, 426, 898, 1554, 3686.3], rel=1e-3)
    assert (table.context > 131_072).mean() == pytest.approx(0.30, abs=0.005)


def test_chat_reuse_equals_the_published_infinite_cache() -> None:
    found = load_workload("chat")
    assert found.served.reuse == pytest.approx(0.3736, abs=1e-4)
    assert found.served.context == pytest.approx(12_035.1, abs=0.1)
    assert found.served.output == pytest.approx(342.6, abs=0.1)


def test_generated_web_pages_match_published_percentiles() -> None:
    table = load_workload("web_use").table
    prompts = np.percentile(table.context, [10, 25, 50, 75, 90, 95, 99])
    assert prompts == pytest.approx([2894, 3553, 4233, 5129, 5924, 6450, 7688], rel=0.10)
    assert np.percentile(table.output, [10, 50, 90]) == pytest.approx([63, 79, 114], rel=0.02)
    assert 0.68 <= load_workload("web_use").served.reuse <= 0.80  # 0.68 if only the first prompt is reused


def test_generated_screens_match_the_cost_note() -> None:
    table = load_workload("computer_use", policy="append_only").table
    prompts = np.array([table.context[table.position == step].mean() for step in range(25)])
    assert prompts.sum() == pytest.approx(906_000, rel=0.02)
    assert prompts[[0, 9, 24]] == pytest.approx([2500, 25_000, 70_000], rel=0.13)


def test_a_few_steps_carry_much_of_the_text() -> None:
    table = load_workload("computer_use", policy="append_only").table
    text = np.sort((table.fresh - table.observation)[~table.first])[::-1]
    share = text[: len(text) // 50].sum() / text.sum()
    assert 0.05 < share < 0.5


def test_policies_combine_with_that_of_the_class() -> None:
    assert load_workload("computer_use").policy == Policy(keep=3)
    assert load_workload("computer_use", "compaction", 131_072).policy == Policy(3, "compaction", 0.2)
    assert load_workload("computer_use", "keep_last_n", keep=5).policy == Policy(keep=5)
    assert load_workload("web_use").policy == Policy(keep=1)
    assert load_workload("web_use", "append_only").policy == Policy()


def test_a_context_limit_needs_a_policy() -> None:
    refused = load_workload("coding", max_context=131_072)
    assert refused.overflow == pytest.approx(0.30, abs=0.01)
    served = load_workload("coding", "compaction", 131_072)
    assert served.overflow == 0
    assert served.longest.maximum <= 131_072
    assert served.prefix_break > refused.prefix_break


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_applies_to_every_class(policy: str) -> None:
    for workload_id in names():
        found = load_workload(workload_id, policy, 202_752)
        assert found.steps == load_workload(workload_id).steps
        assert found.served.output == load_workload(workload_id).served.output


def test_screens_kept_trade_context_against_lost_prefix() -> None:
    few, many = (load_workload("computer_use", "keep_last_n", keep=keep) for keep in (1, 8))
    assert few.moments.context < many.moments.context
    assert few.moments.fresh < many.moments.fresh


def test_a_profile_generates_the_same_table_again(tmp_path: Path) -> None:
    written = validate_file(WorkloadFile, own(tmp_path))
    assert written.profile is not None
    first, second = (generate(written.profile, 100.0) for _ in range(2))
    assert (first.fresh == second.fresh).all()
    assert (first.gap == second.gap).all()


def test_own_classes_load_by_path(tmp_path: Path) -> None:
    found = load_workload(own(tmp_path))
    assert (found.id, found.steps, found.slo) == ("mine", 4, None)
    assert found.moments.fresh == pytest.approx((1500 + 3 * 630) / 4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("1000 tok", "1000 B"), "expected tok"),
        (("p50: 4", "p101: 4"), "p0 to p100"),
        (("p90: 100 s", "p90: 0.5 s"), "quantiles fall"),
        (("licence: own", "licens: own"), "licence"),
        (("profile:", "table: t.npz\nprofile:"), "either a table or a profile"),
        (("id: mine", "id: Mine"), "lower_snake"),
        (("sessions: 50", "sessions: 9999999999999999999999"), "more than 20,000,000 steps"),
        (("steps: {quantiles: {p50: 4}", "steps: {quantiles: {p50: 4, p100: 1e9}"), "more than 20,000,000 steps"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    path = own(tmp_path, MINIMAL.replace(*change))
    found = messages(path)
    assert any(expected in message for message in found)
    assert all(message.startswith(f"{path}:") for message in found)


@pytest.mark.parametrize(("table", "expected"), [("absent.npz", "cannot be read"), ("../t.npz", "file name")])
def test_a_table_must_lie_beside_its_file(tmp_path: Path, table: str, expected: str) -> None:
    path = own(tmp_path, MINIMAL[: MINIMAL.index("profile:")] + f"table: {table}\n")
    assert expected in messages(path)[0]


@pytest.mark.parametrize("content", [b"", b"PK nothing", b"PK\x03\x04 nothing"])
def test_a_damaged_table_is_a_mistake(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(content)
    path = own(tmp_path, MINIMAL[: MINIMAL.index("profile:")] + "table: t.npz\n")
    assert "cannot be read as a step table" in messages(path)[0]


def test_a_table_of_wrong_columns_is_a_mistake(tmp_path: Path) -> None:
    path = own(tmp_path, MINIMAL[: MINIMAL.index("profile:")] + "table: t.npz\n")
    others = ("session", "sequence", "gap_ms", "lost", "output", "observation")
    columns = {name: np.zeros(2, dtype=np.int64) for name in others}
    for fresh in ([1], [5, -3]):
        np.savez(tmp_path / "t.npz", fresh=fresh, **columns)
        assert "cannot be read as a step table" in messages(path)[0]


def test_unknown_names_are_corrected() -> None:
    with pytest.raises(SpecError, match="Did you mean `coding`"):
        load_workload("codin")
    with pytest.raises(SpecError, match="Did you mean `compaction`"):
        load_workload("coding", policy="compacting")
    with pytest.raises(SpecError, match="cannot be read"):
        load_workload("absent.yaml")


def test_results_are_read_only_and_travel_to_workers() -> None:
    found = load_workload("web_use")
    with pytest.raises(ValueError, match="read-only"):
        found.curves.hit_by_time[0] = 1
    copy: Workload = pickle.loads(pickle.dumps(found))
    assert copy.served == found.served


def test_cached_atoms_equal_computed_ones(tmp_path: Path) -> None:
    found = load_workload("web_use")
    first = atoms_cache.cached_atoms(found.table, found.shared_prefix, tmp_path)
    second = atoms_cache.cached_atoms(found.table, found.shared_prefix, tmp_path)
    assert (first.fresh == second.fresh).all()
    assert (first.weight == second.weight).all()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_cache_is_computed_again(tmp_path: Path) -> None:
    found = load_workload("web_use")
    atoms_cache.cached_atoms(found.table, found.shared_prefix, tmp_path)
    entry = next(tmp_path.iterdir())
    entry.write_bytes(b"PK\x03\x04 damaged")
    again = atoms_cache.cached_atoms(found.table, found.shared_prefix, tmp_path)
    assert (again.fresh == found.representative.fresh).all()


@pytest.mark.skipif(os.name == "nt", reason="needs a path below a file")
def test_an_unwritable_cache_is_not_used(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    found = load_workload("web_use")
    assert len(atoms_cache.cached_atoms(found.table, found.shared_prefix, blocked / "sub"))


def test_the_grid_has_the_round_times() -> None:
    assert len(distill.RETENTION) == 48
    assert {0.0, 60.0, 300.0, 3600.0, 604_800.0, np.inf} <= set(distill.RETENTION.tolist())


def test_places_on_the_grid_are_those_of_a_search():
    random = np.random.default_rng(0)
    nodes = distill.RETENTION[:-1]
    times = np.concatenate([10 ** random.uniform(-4, 7, 20_000), nodes, np.nextafter(nodes, np.inf), [np.inf]])
    spot = np.log1p(np.minimum(times, nodes[-1]) / nodes[1])
    want = np.where(times > nodes[-1], nodes.size, np.interp(spot, np.log1p(nodes / nodes[1]), np.arange(nodes.size)))
    assert (distill.grid_position(times) == want).all()

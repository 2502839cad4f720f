"""Steps of batches that alternate between two device types, in the replay as in the evaluation."""

from pathlib import Path

import numpy as np
import pytest

from dse.facts.problem import load
from dse.insight.case import case
from dse.insight.replays.case import served
from dse.replay.design import decode_step_of
from dse.search.ask import ask
from dse.search.evaluation import Evaluator
from tests.replay.conftest import CHAT, STUDY, WAYS


@pytest.mark.parametrize("batches", [1, 3])
def test_a_full_step_is_that_of_the_evaluation(batches: int, tmp_path: Path) -> None:
    home, chosen = WAYS["offload"]
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(agent=CHAT, home=home))
    problem = load(path, {"serving.offload_batches": str(batches)})
    levers = {axis: choices[0] for axis, choices in problem.levers.items()} | chosen
    own = case(Evaluator.of(problem), ask(problem).space.encode(levers), {})
    found = served(own, own.classes[0])
    requests, context = found.at.decode.batch[:1], np.array([found.plan.classes[found.agent].load.decode_context])
    assert requests[0] == batches * found.mapping["decode.batch"]
    assert decode_step_of(found)(requests, context) == pytest.approx(found.at.decode.step_time_full[:1], rel=1e-12)

import optuna
import pytest
from optuna import visualization

from dse.search.runs.study import open_storage


@pytest.fixture
def study(ask):
    found = ask("tight", "600 evaluations", sampler="random")
    return optuna.load_study(study_name=None, storage=open_storage(str(found.folder / "study.journal")))


def test_optuna_draws_the_front_of_a_run(study):
    figure = visualization.plot_pareto_front(study)
    assert sum(len(trace.x) for trace in figure.data) >= len(study.best_trials)
    titles = [axis.title.text for axis in (figure.layout.scene.xaxis, figure.layout.scene.yaxis)]
    assert titles == ["cost [$/task]", "throughput [task/s/MW]"]


def test_optuna_draws_slices_and_coordinates_of_one_objective(study):
    def cost(trial):
        return trial.values[0]

    names = ["decode.device", "topology"]
    for draw in (visualization.plot_slice, visualization.plot_parallel_coordinate):
        assert draw(study, params=names, target=cost, target_name="cost").data
    assert visualization.plot_optimization_history(study, target=cost, target_name="cost").data

"""Studies in SQLite, a journal, PostgreSQL and behind a gRPC proxy; servers that restart; passwords."""

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from dse.facts.errors import SpecError
from dse.search.runs import passwords, study_storage
from dse.search.runs.study import OURS, objective
from dse.search.runs.study_storage import open_storage

pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning",
    "ignore::ResourceWarning",
    "ignore:Heartbeat of storage",
)
FEW = "300 evaluations"


@pytest.fixture
def few(harness, saving, monkeypatch):
    """Few trials: a database takes some milliseconds for each."""
    monkeypatch.setattr(harness.study, "REST", 4)
    monkeypatch.setattr(harness.study, "TRIALS", 16)


@pytest.fixture
def searched(few, harness, tmp_path):
    def search(storage, **options):
        asked = {"sampler": "random", "budget": harness.budget(FEW), **options}
        return harness.search(tmp_path, storage=storage, **asked)

    return search


def opened(url, found):
    return optuna.load_study(study_name=f"small-{found.folder.name}", storage=open_storage(url))


def content(study):
    return sorted(json.dumps([trial.params, trial.values, trial.constraints], sort_keys=True) for trial in study.trials)


def test_sqlite_journal_postgresql_and_a_grpc_proxy_hold_the_same_study(searched, tmp_path, postgres):
    from optuna.storages._grpc.server import make_server

    proxied = optuna.storages.get_storage(f"sqlite:///{tmp_path / 'behind.db'}")
    port = free_port()
    server = make_server(proxied, "127.0.0.1", port, ThreadPoolExecutor(2))
    server.start()
    try:
        urls = [
            f"sqlite:///{tmp_path / 'own.db'}",
            str(tmp_path / "own.journal"),
            postgres.url,
            f"grpc://127.0.0.1:{port}",
        ]
        found = [searched(url) for url in urls]
        studies = [content(opened(url, run)) for url, run in zip(urls, found, strict=True)]
    finally:
        server.stop(None).wait()
        proxied.remove_session()
    assert studies[0]
    assert [run.summary.get("storage_missed") for run in found] == [None] * 4
    for study in studies:
        assert study == studies[0]


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_restarts_in_the_middle_of_a_study_is_waited_for(searched, postgres, harness, monkeypatch):
    write, restarts = harness.study._write, []

    def disturbed(*arguments):
        if len(arguments[2].get_all_studies()) and not restarts:
            restarts.append(threading.Thread(target=postgres.restart_after, args=(1.0,)))
            restarts[0].start()
            time.sleep(0.3)
        return write(*arguments)

    monkeypatch.setattr(harness.study, "_write", disturbed)
    searched(postgres.url, seed=1)
    found = searched(postgres.url, seed=2)
    restarts[0].join()
    assert "storage_missed" not in found.summary
    assert len(opened(postgres.url, found).trials) > 4


def test_a_storage_that_went_away_does_not_cost_the_run(searched, harness, tmp_path, monkeypatch):
    monkeypatch.setattr(study_storage, "PAUSES", (0.01,))
    path = tmp_path / "own.db"
    found = searched(f"sqlite:///{path}")
    path.write_bytes(b"not a database" * 100)
    again = searched(f"sqlite:///{path}", resume=found.folder, budget=harness.budget("400 evaluations"))
    assert "cannot be used" in again.summary["storage_missed"]
    assert again.summary["evaluations"] == 400
    journal = opened(str(found.folder / "study.journal"), found)
    assert {trial.user_attrs[OURS] for trial in journal.trials}
    path.unlink()
    healed = searched(f"sqlite:///{path}", resume=found.folder, budget=harness.budget("500 evaluations"))
    assert "storage_missed" not in healed.summary


def test_a_storage_that_cannot_be_reached_is_refused_before_the_search(searched, harness, tmp_path, postgres):
    wrong = postgres.url.replace(postgres.password, "open-sesame")
    with pytest.raises(SpecError, match="authentication failed") as caught:
        searched(wrong)
    assert "open-sesame" not in str(caught.value)
    assert harness.newest(tmp_path) is None
    with pytest.raises(SpecError, match="expected grpc://HOST:PORT"):
        searched("grpc://nowhere")


def test_a_password_is_in_no_file_of_a_run(searched, postgres):
    found = searched(postgres.url, command=f"dse run a.yaml --storage {postgres.url}")
    for path in found.folder.rglob("*"):
        assert postgres.password.encode() not in path.read_bytes(), path
    assert found.manifest["storage"] == passwords.without_password(postgres.url)
    assert postgres.password not in json.dumps(found.manifest)


def test_trials_of_others_survive_a_writer_that_dies_while_it_replaces_a_study(
    searched, harness, tmp_path, monkeypatch
):
    url = f"sqlite:///{tmp_path / 'own.db'}"
    found = searched(url)
    opened(url, found).optimize(objective(found.question), n_trials=2)
    delete = optuna.delete_study

    def dies(**named):
        delete(**named)
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna, "delete_study", dies)
    with pytest.raises(KeyboardInterrupt):
        searched(url, resume=found.folder)
    monkeypatch.undo()
    monkeypatch.setattr(harness.study, "REST", 4)
    searched(url, resume=found.folder)
    assert sum(OURS not in trial.user_attrs for trial in opened(url, found).trials) == 2


def test_the_trial_of_a_worker_that_died_is_failed_and_queued_again(searched, tmp_path):
    url = f"sqlite:///{tmp_path / 'own.db'}"
    found = searched(url)
    study = opened(url, found)
    dead = study.ask()
    storage = study._storage._backend
    storage.record_heartbeat(dead._trial_id)
    with sqlite3.connect(tmp_path / "own.db") as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")
    database.close()
    again = opened(url, found)
    optuna.storages.fail_stale_trials(again)
    states = {trial.number: trial.state.name for trial in again.trials}
    assert states[dead.number] == "FAIL"
    assert states[max(states)] == "WAITING"


def test_a_database_with_the_schema_of_another_version_is_refused(searched, tmp_path, monkeypatch):
    monkeypatch.setattr(study_storage, "PAUSES", ())
    url = f"sqlite:///{tmp_path / 'own.db'}"
    searched(url)
    with sqlite3.connect(tmp_path / "own.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        database.execute("UPDATE version_info SET schema_version = 3, library_version = '0.9.0'")
    database.close()
    with pytest.raises(SpecError, match="compatible"):
        searched(url)

"""The harness, the undisturbed runs that others are compared with, a PostgreSQL server."""

import gc
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def harness():
    spec = importlib.util.spec_from_file_location("harness", Path(__file__).with_name("harness.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def saving(harness, monkeypatch):
    """Save at every proposal and write few trials, in this process too."""
    monkeypatch.setattr(harness.session, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(harness.session, "SAVE_COST", 0.0)
    monkeypatch.setattr(harness.study, "REST", 20)


@pytest.fixture(scope="session")
def whole(harness, tmp_path_factory):
    """Facts of an undisturbed run by engine and seed."""
    known = {}

    def of(sampler, seed=0, **options):
        key = (sampler, seed, *options.items())
        if key not in known:
            results = tmp_path_factory.mktemp("whole")
            known[key] = harness.facts(harness.search(results, sampler=sampler, seed=seed, **options).folder)
        return known[key]

    return of


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def released():
    """Collect here the connections that a storage's pool leaves open, so that no later test is told of them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def postgres():
    spec = importlib.util.spec_from_file_location("servers", Path(__file__).with_name("servers.py"))
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    if servers.binaries() is None:
        pytest.skip("no PostgreSQL server is installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'dse[storage]'")
    server = servers.Postgres()
    yield server
    server.close()

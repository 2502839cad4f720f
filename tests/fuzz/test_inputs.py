"""Broken inputs of every kind: refused with a message and a place, never a traceback, never a hang."""

import importlib.util
import io
import random
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.facts import files, measurements
from dse.facts.errors import SpecError
from dse.facts.problem import load
from dse.facts.reader import read
from dse.facts.topology.files import read_wiring
from dse.facts.topology.network import load_topology
from dse.facts.workload import sessions, traces
from dse.facts.workload.classes import load_workload


def _mutate():
    spec = importlib.util.spec_from_file_location("mutate", Path(__file__).with_name("mutate.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutate = _mutate()
COUNT = 5000
HUGE = 100_000_000


def test_the_files_as_they_are_shipped_are_read(tmp_path):
    for name, content, reader, _ in mutate.sources():
        for beside in (mutate.ROOT / "dse/facts/catalog/workloads").glob("*.npz"):
            (tmp_path / beside.name).write_bytes(beside.read_bytes())
        (tmp_path / name).write_bytes(content)
        reader(tmp_path / name)


@pytest.mark.parametrize("part", range(5))
def test_no_broken_file_ends_in_a_traceback_or_hangs(part, tmp_path):
    for name, content, reader in mutate.sample(COUNT // 5, seed=part):
        wrong = mutate.judged(tmp_path, name, content, reader)
        assert wrong is None, (name, wrong, content[:2000])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=80), place=st.integers(0, 100_000), source=st.sampled_from(mutate.sources()))
def test_no_text_inserted_anywhere_ends_in_a_traceback(text, place, source, tmp_path_factory):
    name, content, reader, _ = source
    cut = place % (len(content) + 1)
    broken = content[:cut] + text.encode("utf-8", "surrogatepass") + content[cut:]
    assert mutate.judged(tmp_path_factory.getbasetemp(), name, broken, reader) is None


HEAD = "version: 1\nname: bad\n"
BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
    "an alias of itself": HEAD + "agents: &a {x: *a}\n",
    "deep flow": HEAD + "question: " + "[" * 100_000,
    "deep block": HEAD + "\n".join(" " * n + "a:" for n in range(1500)),
    "many keys": HEAD + "".join(f"k{n}: 1\n" for n in range(90_000)),
    "many agents": HEAD + "agents:\n" + "".join(f"  k{n}: 1\n" for n in range(90_000)),
    "one long word": HEAD + "question: " + "x" * 1_900_000,
    "a long unknown field": HEAD + "x" * 1_000_000 + ": 1\n",
    "a long number": HEAD + "seed: " + "9" * 1_000_000,
    "a number beyond all": HEAD + "load: 1e999999999 task/s\n",
    "a python tag": HEAD + "question: !!python/object/apply:os.system [exit]\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_little_time_and_memory(name, tmp_path):
    path = tmp_path / "bomb.yaml"
    path.write_text(BOMBS[name])
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with mutate.limited(20), pytest.raises(SpecError) as caught:
        load(path)
    assert "bomb.yaml:" in str(caught.value)
    assert len(str(caught.value)) < 100_000
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000


@pytest.mark.parametrize(("suffix", "reader"), [("yaml", read), ("csv", measurements.read), ("graphml", load_topology)])
def test_a_file_of_a_hundred_megabytes_is_refused_without_being_held(suffix, reader, tmp_path):
    path = tmp_path / f"huge.{suffix}"
    with path.open("wb") as stream:
        stream.truncate(HUGE)
    if suffix == "graphml":
        text = (mutate.ROOT / "topologies" / "asymmetric.yaml").read_text()
        path = tmp_path / "of.yaml"
        path.write_text(text.replace("asymmetric.graphml", "huge.graphml"))
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match="at most"):
            reader(path)
        assert tracemalloc.get_traced_memory()[1] < HUGE
    finally:
        tracemalloc.stop()


def test_a_device_that_never_ends_is_not_read():
    with mutate.limited(5), pytest.raises(SpecError, match="at most"):
        read("/dev/zero")


ENTITY = """<?xml version="1.0"?><!DOCTYPE g [<!ENTITY a SYSTEM "file:///etc/hostname">%s]>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<graph edgedefault="undirected"><node id="&a;"/></graph></graphml>"""


@pytest.mark.parametrize("extra", ["", '<!ENTITY b "&a;&a;">', '<!ENTITY % c "d">'])
def test_graphml_with_entities_is_refused_before_anything_is_expanded(extra, tmp_path):
    (tmp_path / "g.graphml").write_text(ENTITY % extra)
    text = (mutate.ROOT / "topologies" / "asymmetric.yaml").read_text()
    (tmp_path / "g.yaml").write_text(text.replace("asymmetric.graphml", "g.graphml"))
    with pytest.raises(SpecError, match=r"g\.graphml:1:\d+  declares a DOCTYPE or an ENTITY"):
        load_topology(tmp_path / "g.yaml")


GRAPH = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected">%s</graph></graphml>'
LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(10))
ATTACKS = {
    "a billion laughs": f'<!DOCTYPE g [<!ENTITY l0 "ha">{LAUGHS}]>' + GRAPH % '<node id="&l10;"/>',
    "quadratic blow-up": f'<!DOCTYPE g [<!ENTITY l "{"x" * 90_000}">]>' + GRAPH % f'<node id="{"&l;" * 9000}"/>',
    "a file of this machine": '<!DOCTYPE g [<!ENTITY l SYSTEM "file://SECRET">]>' + GRAPH % '<node id="&l;"/>',
    "a document type elsewhere": '<!DOCTYPE g SYSTEM "http://127.0.0.1:9/g.dtd">' + GRAPH % "",
    "a parameter entity": '<!DOCTYPE g [<!ENTITY % l SYSTEM "file://SECRET">%l;]>' + GRAPH % "",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_graphml_that_attacks_its_reader_is_refused_at_its_declaration(name, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    path = tmp_path / "g.graphml"
    path.write_text(ATTACKS[name].replace("SECRET", str(secret)))
    text = (mutate.ROOT / "topologies" / "asymmetric.yaml").read_text()
    (tmp_path / "g.yaml").write_text(text.replace("asymmetric.graphml", "g.graphml"))
    monkeypatch.setattr("socket.socket.connect", None)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with mutate.limited(5), pytest.raises(SpecError, match=r"g\.graphml:1:\d+  declares") as caught:
        load_topology(tmp_path / "g.yaml")
    assert "the secret" not in str(caught.value)
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_graphml_includes_no_other_file(tmp_path):
    (tmp_path / "other.xml").write_text('<node id="included"/>')
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="other.xml"/>'
    text = (mutate.ROOT / "topologies" / "asymmetric.graphml").read_text()
    (tmp_path / "g.graphml").write_text(text.replace("</graph>", f"{include}</graph>"))
    yaml = (mutate.ROOT / "topologies" / "asymmetric.yaml").read_text()
    (tmp_path / "g.yaml").write_text(yaml.replace("asymmetric.graphml", "g.graphml"))
    assert "included" not in read_wiring(tmp_path / "g.yaml", "g.graphml").nodes


NAMES = {
    "extends": "version: 1\nname: a\nextends: {}\n",
    "workload": "agents:\n  a: {{workload: {}, model: llama_3_1_70b}}\n",
    "lever": "constants:\n  prefill.topology: {}\n",
    "topologies": "topologies:\n  mine: {}\nconstants:\n  prefill.topology: mine\n",
}


@pytest.mark.parametrize("place", NAMES)
@pytest.mark.parametrize("file", ["x" * 5000 + ".yaml", '"a\\0b.yaml"', '"\\ud800.yaml"', "/dev/null/a.yaml"])
def test_a_file_that_cannot_have_its_name_is_missed_and_not_tripped_over(file, place, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(NAMES[place].format(file))
    with pytest.raises(SpecError) as caught:
        load_topology(load(path).topologies["mine"])
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "name", ['""', '" "', "..", ".hidden", "a/b", "/etc/a", "..\\a", '"a\\0b"', '"a\\nb"', "x" * 81]
)
def test_a_name_that_is_no_folder_is_refused(name, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text((mutate.ROOT / "tests/studies/tiny.yaml").read_text().replace("name: tiny", f"name: {name}"))
    with pytest.raises(SpecError, match=r"(?s):2:1  name  .*can be a folder"):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: caf\xe9\n", ":2:7  is not UTF-8"),
        ("a: 1\n".encode("utf-16"), ":1:1  is not UTF-8 text but UTF-16"),
        (b"a: 1\nb: \x00\n", ":2:4  holds a NUL byte"),
        (b"a: 1\na: 2\n", ":2:1  a  written twice, first in line 1"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(content, message, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read(path)
    assert message in str(caught.value)


SHIPPED = mutate.ROOT / "dse/facts/catalog/workloads"


def told(table, folder):
    """Mistake of a class whose step table has this content; None where it can be read."""
    (folder / "mine.yaml").write_text((SHIPPED / "chat.yaml").read_text().replace("chat.npz", "mine.npz"))
    (folder / "mine.npz").write_bytes(table)
    try:
        sessions.load(folder / "mine.npz")
    except ValueError:
        with pytest.raises(SpecError) as caught:
            load_workload(folder / "mine.yaml")
        return str(caught.value)
    return None


def test_a_damaged_step_table_is_refused_with_the_place_that_names_it(tmp_path):
    whole, rng = (SHIPPED / "chat.npz").read_bytes(), random.Random(3)
    found = [told(whole[: rng.randrange(len(whole))], tmp_path) for _ in range(10)]
    for _ in range(60):
        place = rng.randrange(len(whole))
        found.append(told(whole[:place] + rng.randbytes(8) + whole[place + 8 :], tmp_path))
    assert sum(message is not None for message in found) > 50
    assert all("mine.yaml:" in message and "  table  " in message for message in found if message)


def packed(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, parts in members.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                for part in parts:
                    member.write(part)
    return buffer.getvalue()


def test_a_step_table_that_unpacks_to_more_than_memory_is_refused_before_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_BYTES", 60_000_000)
    bomb = packed({"session": [b"\0" * 1_000_000] * 61})
    assert len(bomb) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "bytes unpacked" in told(bomb, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_step_table_that_lies_about_its_size_or_holds_an_object_is_refused(tmp_path):
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    lie = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    assert "cannot be read" in told(packed({"session": [lie]}), tmp_path)
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    assert "cannot be read" in told(packed({"session": [objects.getvalue()]}), tmp_path)


def test_a_message_quotes_no_more_than_a_person_reads_and_steers_no_terminal(tmp_path):
    path = tmp_path / "kernels.csv"
    head, first, *_ = (mutate.ROOT / "tests/reference/kernels_sample.csv").read_text().splitlines()
    path.write_text(f'{head}\n{first.rpartition(",")[0]},"\x1b[2J{"x" * 50_000}"\n')
    with pytest.raises(SpecError) as caught:
        measurements.read(path)
    assert len(str(caught.value)) < 3000
    assert "\x1b" not in str(caught.value)


def test_the_command_line_ends_with_code_2_and_no_traceback(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"version: 1\nname: \x00\xff")
    done = subprocess.run([sys.executable, "-m", "dse.cli", "check", path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "2:" in done.stderr


def test_a_trace_with_a_broken_line_names_it(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(mutate.TRACES["mooncake.jsonl"] + "{" * 100_000 + "\n")
    with pytest.raises(SpecError, match=":9:1"):
        traces.read_trace(path)
    assert files.TRACE > files.TABLE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6

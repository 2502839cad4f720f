"""Broken versions of the files that this package reads, and the way each of them is read."""

import random
import re
import signal
from contextlib import contextmanager
from pathlib import Path

from dse.facts import calibration, hf_import, measurements
from dse.facts.errors import SpecError
from dse.facts.problem import load
from dse.facts.topology.network import load_topology
from dse.facts.workload import classes, traces
from dse.insight.forecast import predict_file

ROOT = Path(__file__).parents[2]
SECONDS = 10
"""CPU time within which every input, however broken, is refused or read."""

WORDS = [
    b"1e999", b"-1e999", b".inf", b".nan", b"NaN", b"-Infinity", b"1e-400", b"9" * 5000, b"-1", b"0", b"null", b"true",
    b"~", b"[]", b"{}", b'""', b"\x00", b"\xff\xfe", b"\xf0\x9f\x92\xa5", b"\xe2\x80\xae", b"on", b"010", b"1:30",
    b"!!python/object/apply:os.system [true]", b"*a", b"&a [*a, *a]", b"<<: *a", b"- - - - -", b"? ", b"|", b">",
    b"%YAML 9",
    b"---", b"...", b"\t", b"{" * 60, b"[" * 60, b'"', b"'", b"#", b"1e308 TB/s", b"-3 GB", b"1e-300 s", b"5 bananas",
    b"{from: 1, to: 1e9, steps: 1000000000}", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"</node>", b"<",
    b"\r", b",,,,",
    b"../../../../etc/passwd", b"/dev/zero", b"a: 1\na: 2\n", b"version: 2", b"99999999999999999999", b"1_000", b"0x10",
]  # fmt: skip

TRACES = {
    "mooncake.jsonl": "".join(
        f'{{"timestamp": {1000 * n}, "input_length": {600 + n}, "output_length": 5, "hash_ids": [1, {n % 3}]}}\n'
        for n in range(8)
    ),
    "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    + "".join(f"2023-11-16 18:15:{n:02d}.5,{400 + n},{n + 1}\n" for n in range(8)),
    "columns.csv": "session,gap_s,cached_tokens,fresh_tokens,output_tokens\n"
    + "".join(f"{n // 2},{n % 2},{40 * (n % 2)},{50 + n},{n + 1}\n" for n in range(8)),
}
CONFIG = (
    '{"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,'
    ' "num_hidden_layers": 32, "vocab_size": 128256, "intermediate_size": 14336, "torch_dtype": "bfloat16",'
    ' "max_position_embeddings": 131072, "tie_word_embeddings": false}'
)
NODE_LINK = (
    '{"directed": false, "multigraph": false,'
    ' "nodes": [{"id": "a", "kind": "accelerator"}, {"id": "b", "kind": "accelerator"}],'
    ' "edges": [{"source": "a", "target": "b", "tier": "scale_up"}]}'
)
EVALUATOR = b"""
evaluator:
  replay: {agent: coding, calls: 200, seed: 1}
  promising: 4
  timeout: 90 s
  retries: 1
"""
POINTS = "model,device,tp,batch,new_tokens,cached_tokens\nllama_3_1_70b,h100_sxm,8,8,1,4096\n"


def _generated(path):
    """A topology file; the graph that one of them names is beside it."""
    (path.parent / "asymmetric.graphml").write_bytes((ROOT / "topologies" / "asymmetric.graphml").read_bytes())
    load_topology(path)


def _topology(path):
    beside = path.with_name(f"{path.stem}_of.yaml")
    text = (ROOT / "topologies" / "asymmetric.yaml").read_text()
    beside.write_text(re.sub(r"(?m)^file:.*$", f"file: {path.name}", text))
    load_topology(beside)


def _study(path):
    problem = load(path)
    assert problem.agents


def _calibration(path):
    calibration.load.__wrapped__(path)


def _workload(path):
    classes.load_workload(path)


def sources():
    """(name, content, reader, weight) of everything that is read."""
    found = [(path, _study, 4) for path in sorted((ROOT / "search_spaces").glob("*.yaml"))]
    found += [(path, _generated, 1) for path in sorted((ROOT / "topologies").glob("*.yaml"))]
    found += [(path, _topology, 6) for path in sorted((ROOT / "topologies").glob("*.graphml"))]
    found += [(path, measurements.read, 2) for path in sorted((ROOT / "tests" / "reference").glob("*_sample.csv"))]
    found += [(path, _workload, 1) for path in sorted((ROOT / "dse/facts/catalog/workloads").glob("*.yaml"))]
    found += [(ROOT / "dse/facts/catalog/calibration.yaml", _calibration, 1)]
    ready = [(path.name, path.read_bytes(), reader, weight) for path, reader, weight in found]
    ready += [(name, text.encode(), traces.read_trace, 2) for name, text in TRACES.items()]
    ready += [("evaluated.yaml", (ROOT / "tests/studies/tiny.yaml").read_bytes() + EVALUATOR, _study, 1)]
    ready += [("config.json", CONFIG.encode(), hf_import.import_config, 4)]
    ready += [("graph.json", NODE_LINK.encode(), _topology, 3)]
    ready += [("points.csv", POINTS.encode(), predict_file, 1)]
    return ready


def mutated(content, rng):
    """One broken version: some of a dozen things that editors, disks and enemies do to files."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(WAYS)(content, rng)
    return content


def _place(content, rng):
    return rng.randrange(len(content) + 1)


def _cut(content, rng):
    return content[: _place(content, rng)]


def _byte(content, rng):
    place = _place(content, rng)
    return content[:place] + rng.randbytes(1) + content[place + 1 :]


def _insert(content, rng):
    place = _place(content, rng)
    return content[:place] + rng.choice(WORDS) + content[place:]


def _line(content, rng):
    lines = content.splitlines(keepends=True) or [b""]
    place = rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0:
        del lines[place]
    elif how == 1:
        lines.insert(place, lines[place])
    elif how == 2:
        other = rng.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    else:
        lines[place] = b"  " * rng.randrange(4) + lines[place].lstrip()
    return b"".join(lines)


def _value(content, rng):
    """Replace a value by a strange one where the syntax stays right."""
    found = list(re.finditer(rb'(?<=[:,=>\[ ])[^\s:,<>{}\[\]"#]+', content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(WORDS) + content[match.end() :]


def _number(content, rng):
    found = list(re.finditer(rb"\d[\d.]*", content))
    if not found:
        return content
    match = rng.choice(found)
    strange = rng.choice(
        [b"-" + match[0], b"0", match[0] + b"e30", match[0] + b"e-30", b"0.0", b"1e400", b"1" + b"0" * 25]
    )
    return content[: match.start()] + strange + content[match.end() :]


def _name(content, rng):
    found = list(re.finditer(rb"[A-Za-z_]{3,}", content))
    if not found:
        return content
    match, other = rng.choice(found), rng.choice(found)
    strange = rng.choice([match[0][:-1], match[0] + b"x", other[0], match[0].upper(), b""])
    return content[: match.start()] + strange + content[match.end() :]


def _chunk(content, rng):
    a, b = sorted((_place(content, rng), _place(content, rng)))
    return (
        content[:a] + content[a:b] * rng.choice((0, 2, 3)) + content[b:] if b - a < 5000 else content[:a] + content[b:]
    )


def _encoded(content, rng):
    text = content.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-32-le", "latin-1", "cp037")), "replace")


WAYS = [
    _cut,
    _byte,
    _insert,
    _insert,
    _line,
    _line,
    _value,
    _value,
    _value,
    _number,
    _number,
    _name,
    _name,
    _chunk,
    _encoded,
]


@contextmanager
def limited(seconds=SECONDS):
    """Interrupt what hangs."""

    def late(number, frame):
        raise TimeoutError(f"nothing came for {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judged(folder, name, content, reader):
    """What is wrong with the way an input is treated, or None; the input is in the folder afterwards."""
    path = Path(folder) / name
    path.write_bytes(content)
    try:
        with limited():
            reader(path)
    except SpecError as error:
        if not error.mistakes:
            return "refused without a reason"
        for mistake in error.mistakes:
            if not mistake.message.strip() or not (mistake.path or mistake.where):
                return f"a message without a place: {mistake!r}"
            if len(str(mistake)) > 20_000:
                return f"a message of {len(str(mistake)):,} characters"
        return None
    except BaseException as error:  # whatever comes out is the finding
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"[:300]
    return None


def sample(count, seed):
    """Seeded (name, content, reader), broken."""
    rng = random.Random(seed)
    known = sources()
    weights = [weight for *_, weight in known]
    for _ in range(count):
        name, content, reader, _ = rng.choices(known, weights)[0]
        yield name, mutated(content, rng), reader

"""Time, work and footprint of single passes: one row a measurement, one column a quantity.

Rows name a model, a device, degrees of parallelism, a load and number formats. Rows of one model and format are one
vectorized step, so a table of thousands takes milliseconds.
"""

from typing import NamedTuple

import numpy as np

from dse.arrays import FloatArray, IntArray
from dse.facts import catalog
from dse.facts.devices import Accelerator
from dse.physics import demand, roofline, work
from dse.physics.calibration import Calibration
from dse.physics.shape import Shape
from dse.search.fidelity import fabric
from dse.search.scoring.passes import model_shape, precision, supply

USABLE_MEMORY = 0.9
"""Share of the memory that an engine gives to weights and KV [1]. Source: default of vLLM and TensorRT-LLM."""


class Points(NamedTuple):
    """A table of passes; all columns (n,)."""

    model: tuple[str, ...]
    """Names in the catalog."""
    device: tuple[str, ...]
    """Names in the catalog."""
    tp: FloatArray
    pp: FloatArray
    attention_dp: FloatArray
    moe_tp: FloatArray
    ep: FloatArray
    batch: FloatArray
    """Requests in the pass, over all attention ranks [1]."""
    new_tokens: FloatArray
    """Tokens computed per request [tok]."""
    cached_tokens: FloatArray
    """Tokens per request that are in the cache [tok]."""
    weight: tuple[str, ...]
    """Number formats."""
    expert: tuple[str, ...]
    kv: tuple[str, ...]
    attention: tuple[str, ...]

    def rows(self, index: IntArray) -> "Points":
        """Select rows."""

        def names(column: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(column[row] for row in index)

        numbers = {name: getattr(self, name)[index] for name in _NUMBERS}
        return Points(
            model=names(self.model),
            device=names(self.device),
            weight=names(self.weight),
            expert=names(self.expert),
            kv=names(self.kv),
            attention=names(self.attention),
            **numbers,
        )

    @property
    def mapping(self) -> demand.Mapping:
        """Degrees of parallelism in the vocabulary of demand."""
        return demand.Mapping(self.tp, self.pp, self.attention_dp, self.moe_tp, self.ep)

    @property
    def devices(self) -> FloatArray:
        """Devices of the instance [1]."""
        return self.tp * self.pp * self.attention_dp


_NUMBERS = ("tp", "pp", "attention_dp", "moe_tp", "ep", "batch", "new_tokens", "cached_tokens")


class Group(NamedTuple):
    """Rows that share model, device and formats, with everything that does not depend on the constants."""

    row: IntArray
    """Places of the rows in the table."""
    shape: Shape
    work: work.Work
    supply: roofline.Supply
    links: roofline.Links
    ledger: demand.Ledger
    device: Accelerator
    formats: demand.Precision


def groups(points: Points) -> list[Group]:
    """Rows of a table by model, device and formats, with their work, supply and links."""
    keys = list(
        zip(
            points.model,
            points.device,
            points.weight,
            points.expert,
            points.kv,
            points.attention,
            strict=True,
        )
    )
    made = []
    for key in dict.fromkeys(keys):
        index = np.array([row for row, own in enumerate(keys) if own == key], dtype=np.int64)
        made.append(_group(key, index, points.rows(index)))
    return made


def _group(key: tuple[str, str, str, str, str, str], index: IntArray, rows: Points) -> Group:
    """Demand, supply and links of rows that share a key."""
    model, name, weight, expert, kv, attention = key
    device = catalog.accelerator(name)
    shape = model_shape(catalog.model(model))
    formats = precision(weight, expert, kv)
    load = demand.Load(rows.batch, rows.new_tokens, rows.cached_tokens)
    return Group(
        row=index,
        shape=shape,
        work=work.pass_work(shape, formats, rows.mapping, load),
        supply=supply(device, weight, expert, attention),
        links=fabric.links(device, rows.mapping, shape.experts_per_token),
        ledger=work.ledger(shape, formats, rows.mapping),
        device=device,
        formats=formats,
    )


def seconds(made: list[Group], size: int, calibration: Calibration) -> FloatArray:
    """Time of every row [s]; what a fit evaluates again and again."""
    result = np.zeros(size)
    for group in made:
        spent = roofline.pass_time(group.work, group.supply, group.links, calibration)
        result[group.row] = spent.seconds
    return result


def predict(points: Points, calibration: Calibration) -> dict[str, FloatArray]:
    """Predict every row of a table.

    Parameters
    ----------
    points : Points                    passes
    calibration : Calibration          constants

    Returns
    -------
    dict of (n,) arrays
        ``seconds`` and its terms ``compute``, ``memory``, ``network``, ``overhead`` [s]; ``flop`` and ``bytes_moved``
        of the whole pass over all devices; ``oi`` [FLOP/B]; ``cf_request_bytes`` and ``cf_device_bytes``;
        ``weights_bytes`` and ``kv_bytes`` per device [B]; ``fits`` (1 or 0); ``bound`` index into `BOUNDS`.
    """
    size = len(points.model)
    columns = {name: np.zeros(size) for name in COLUMNS}
    for group in groups(points):
        rows = points.rows(group.row)
        for name, values in _columns(group, rows, calibration).items():
            columns[name][group.row] = values
    return columns


BOUNDS = ("compute", "memory", "network", "overhead")
"""Terms of a pass; the largest binds."""

COLUMNS = (
    "seconds",
    *BOUNDS,
    "flop",
    "bytes_moved",
    "oi",
    "cf_request_bytes",
    "cf_device_bytes",
    "weights_bytes",
    "kv_bytes",
    "fits",
    "bound",
)


def _columns(group: Group, rows: Points, calibration: Calibration) -> dict[str, FloatArray]:
    """Result columns of one group."""
    spent = roofline.pass_time(group.work, group.supply, group.links, calibration)
    terms = np.stack([spent.compute, spent.memory, spent.network, spent.overhead])
    flop = group.work.flop.sum(axis=0) * rows.devices / rows.pp
    moved = (group.work.weight_bytes + group.work.activation_bytes + group.work.kv_bytes).sum(axis=0)
    moved = moved * rows.devices / rows.pp
    kept = kv_bytes(group.ledger, group.shape, rows)
    weights = group.ledger.weights_bytes
    capacity = group.device.memory.capacity if group.device.memory else 0.0
    resident = weights + kept
    return {
        "seconds": spent.seconds,
        **dict(zip(BOUNDS, terms, strict=True)),
        "flop": flop,
        "bytes_moved": moved,
        "oi": flop / moved,
        "cf_request_bytes": resident * rows.devices / rows.batch,
        "cf_device_bytes": resident,
        "weights_bytes": weights,
        "kv_bytes": kept,
        "fits": (resident <= USABLE_MEMORY * capacity).astype(float),
        "bound": terms.argmax(axis=0).astype(float),
    }


def kv_bytes(ledger: demand.Ledger, shape: Shape, rows: Points) -> FloatArray:
    """KV and state of all requests on the fullest device [B]."""
    context = rows.new_tokens + rows.cached_tokens
    windowed = np.minimum(context, shape.sliding_window)
    per_request = ledger.kv_bytes_per_token * context + ledger.window_bytes_per_token * windowed + ledger.state_bytes
    return np.ceil(rows.batch / rows.attention_dp) * per_request

"""How the system is operated: parameters that hold for every design of a study, with documented defaults."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from dse.facts.quantities import Bytes, Fraction, Positive, Quantity, Ratio, Seconds, Strict

KvHome = Literal["prefill", "decode", "shared", "append_on_decode"]


class Serving(Strict):
    """Parameters of the serving engine and of the operating point."""

    utilisation: Annotated[float, Quantity("1", positive=True, maximum=0.99)] = 0.7
    """Share of each pool's capacity that the operating point uses."""
    percentile: Annotated[float, Quantity("1", positive=True, maximum=99.9)] = 95.0
    """Percentile at which latencies are held against their targets."""
    memory_utilisation: Annotated[float, Quantity("1", positive=True, maximum=1.0)] = 0.9
    """Share of the device memory an engine may fill; 0.9 is the default of common engines."""
    runtime_reserve: Bytes = 4e9
    """Activations and buffers of the engine per device; 2.1 to 7.4 GiB were measured on real engines."""
    activation_reserve: Bytes = 0.0
    """Further reserve per device, for chunks longer than those measured."""
    chunk_tokens: tuple[Positive, ...] = Field(default=(2048, 8192, 32768), min_length=1)
    """Prefill chunk sizes the mapping may choose from [tok]."""
    max_batch: Positive = 1024
    """Largest decode batch per attention rank."""
    max_instance_devices: Positive = 128
    """Largest number of accelerators that run one copy of a model."""
    tensor_parallel: tuple[Positive, ...] = Field(default=(1, 2, 4, 8, 16, 32, 64), min_length=1)
    """Degrees of tensor parallelism the mapping may choose from."""
    pipeline_parallel: tuple[Positive, ...] = Field(default=(1, 2, 4), min_length=1)
    """Degrees of pipeline parallelism the mapping may choose from."""
    discipline: Literal["processor_sharing", "fcfs"] = "processor_sharing"
    """How prefills share an instance: interleaved by chunks, or one after the other."""
    arrival_scv: Ratio = 1.0
    """Squared coefficient of variation of the time between arrivals; 1 is Poisson."""
    kv_homes: tuple[KvHome, ...] = Field(default=("prefill", "decode", "shared", "append_on_decode"), min_length=1)
    """Where the KV cache may live under disaggregation."""
    affinity: Fraction = 1.0
    """Share of resumed sessions that are routed to where their KV is."""
    overlap: Fraction = 0.0
    """Share of communication hidden under computation; 0 is the conservative default."""
    expert_skew: Annotated[float, Quantity("1", positive=True)] = 1.0
    """Load of the busiest expert rank over the mean; 1 is uniform routing."""
    acceptance: Fraction = 0.7
    """Chance that a drafted token is accepted; an estimate, it depends on drafter and text."""
    draft_cost: Fraction = 0.05
    """Time of drafting one token as a share of a decode step; an estimate."""
    offload_batches: Positive = 2
    """Batches that alternate between the model and its attention, where that is offloaded; 1 is no overlap."""
    step_overhead: Seconds = 0.0
    """Time added to every engine step beyond the calibrated floors."""

    @model_serializer(mode="wrap")
    def _stated(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Parameters as a study states them; how many batches alternate only where it is not the default."""
        stated: dict[str, Any] = written(self)
        if self.offload_batches == type(self).model_fields["offload_batches"].default:
            stated.pop("offload_batches", None)
        return stated

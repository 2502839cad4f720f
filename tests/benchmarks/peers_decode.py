"""Decode steps per second of the planners that this interpreter has; one JSON object on the last line.

The points: Llama 3.1 70B in fp8 on H100, tensor parallelism 1 to 8, batch 1 to 256, a context of 8,256 tokens. The
time to load a planner and its data is not counted, only the time per step once it is warm; points that a planner
refuses (the model does not fit) are not counted either.
"""

import contextlib
import importlib
import io
import json
import time
from collections.abc import Callable

POINTS = [(tp, 2**power) for tp in (1, 2, 4, 8) for power in range(9)]
CONTEXTS = (8192, 8256)
"""Tokens in the cache at the call that warms a planner up and at the one that is timed: no answer is remembered."""


def genz() -> Callable[[int, int, int], object]:
    """One decode step by GenZ."""
    step = importlib.import_module("GenZ").decode_moddeling

    def run(tp: int, batch: int, context: int) -> object:
        return step(
            model="meta-llama/Llama-3.1-70B",
            batch_size=batch,
            input_tokens=context,
            output_tokens=1,
            system_name="H100_GPU",
            bits="fp8",
            tensor_parallel=tp,
        )

    return run


def aiconfigurator() -> Callable[[int, int, int], object]:
    """One decode step by AIConfigurator: a generation of two tokens is one step after the first."""
    sdk = "aiconfigurator_core.sdk"
    config, models, database = (
        importlib.import_module(f"{sdk}.{name}") for name in ("config", "models", "perf_database")
    )
    backend = importlib.import_module(f"{sdk}.backends.factory").get_backend("vllm")
    session = importlib.import_module("aiconfigurator.sdk.inference_session").InferenceSession
    measured = database.get_database("h100_sxm", "vllm", database.get_latest_database_version("h100_sxm", "vllm"))
    made = {
        tp: session(
            models.get_model("meta-llama/Meta-Llama-3.1-70B", config.ModelConfig(tp_size=tp), "vllm"), measured, backend
        )
        for tp in (1, 2, 4, 8)
    }

    def run(tp: int, batch: int, context: int) -> object:
        asked = config.RuntimeConfig(batch_size=batch, isl=context, osl=2)
        return made[tp].run_static_latency_only(asked, mode="static_gen")

    return run


def timed(make: Callable[[], Callable[[int, int, int], object]]) -> dict[str, float | str]:
    """Steps per second over the points, the first call of each left out."""
    try:
        run, seconds, done = make(), 0.0, 0
        for tp, batch in POINTS:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(ValueError):
                run(tp, batch, CONTEXTS[0])
                begun = time.perf_counter()
                run(tp, batch, CONTEXTS[1])
                seconds, done = seconds + time.perf_counter() - begun, done + 1
        return {"passes_per_s": done / seconds, "passes": done}
    except Exception as error:  # a peer that is absent or has changed is a note, not a failure
        return {"note": f"{type(error).__name__}: {str(error)[:200]}"}


if __name__ == "__main__":
    print(json.dumps({"genz": timed(genz), "aiconfigurator": timed(aiconfigurator)}))

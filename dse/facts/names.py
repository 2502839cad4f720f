"""Names as people write them: models and devices of a measurement file found in the catalog."""

import re
from functools import cache

from dse.facts import catalog

_DEVICE = {"gb200": "gb200_nvl72", "gb300": "gb300_nvl72", "gb200_sxm": "gb200_nvl72", "gb300_sxm": "gb300_nvl72"}
"""Names of devices in use elsewhere."""

_MODEL = {
    "kimik25": "kimi_k2",
    "kimik2": "kimi_k2",
    "minimaxm25": "minimax_m2",
    "minimaxm21": "minimax_m2",
    "glm5": "glm_5_2",
    "glm52": "glm_5_2",
    "glm51": "glm_5_2",
    "deepseekv31": "deepseek_v3",
    "deepseekr10528": "deepseek_r1",
    "glm47": "glm_4_6",
    "llama3370b": "llama_3_1_70b",
    "llama370b": "llama_3_1_70b",
    "llama38b": "llama_3_1_8b",
}
"""Releases with the text architecture of a catalog model."""

_ENDINGS = (
    "instruct",
    "chat",
    "base",
    "hf",
    "fp8",
    "fp4",
    "nvfp4",
    "mxfp4",
    "bf16",
    "2507",
    "thinking",
    "it",
    "text",
    "fp8dynamic",
)


def plain(text: str) -> str:
    """Letters and digits of a name, without owner and without words for tuning and number format.

    >>> plain("meta-llama/Llama-3.1-70B-Instruct-FP8")
    'llama3170b'
    """
    word = re.sub(r"[^a-z0-9]", "", text.split("/")[-1].lower()).replace("metallama", "llama")
    for _ in range(len(_ENDINGS)):
        word = next((word.removesuffix(end) for end in _ENDINGS if word.endswith(end) and word != end), word)
    return word


@cache
def find_model(text: str) -> str | None:
    """Catalog name of a model, or None.

    >>> find_model("DeepSeek-V3"), find_model("nothing")
    ('deepseek_v3', None)
    """
    known = _known("models")
    word = plain(text)
    return known.get(word) or _MODEL.get(word)


@cache
def find_device(text: str) -> str | None:
    """Catalog name of a device, or None.

    >>> find_device("h100_sxm"), find_device("gb200")
    ('h100_sxm', 'gb200_nvl72')
    """
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    known = catalog.names("accelerators")
    if word in known:
        return word
    alias = _DEVICE.get(word)
    starting = [name for name in known if name.startswith(f"{word}_")]
    return alias or (starting[0] if len(starting) == 1 else None)


@cache
def _known(kind: catalog.Kind) -> dict[str, str]:
    """Catalog names by their plain form and that of their display name."""
    rows = catalog.raw(kind).data
    names = {plain(name): name for name in rows}
    shown = {plain(str(row["name"])): name for name, row in rows.items() if isinstance(row, dict) and "name" in row}
    return {**shown, **names}

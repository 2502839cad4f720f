"""Plain data as YAML that the strict reader reads back to the same data."""

from collections.abc import Mapping
from typing import Any

import yaml

from dse.facts.reader import is_plain_text

_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, and quotes every text that could be read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value out each time it occurs."""
        return True


def text(data: Mapping[str, Any]) -> str:
    """YAML text of plain data, keys in their order.

    >>> print(text({"name": "on", "power": "700 W"}), end="")
    name: "on"
    power: 700 W
    """
    return str(yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True))


def _quoted_where_doubtful(dumper: yaml.SafeDumper, written: str) -> yaml.ScalarNode:
    style = None if is_plain_text(written) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", written, style=style)


_Dumper.add_representer(str, _quoted_where_doubtful)

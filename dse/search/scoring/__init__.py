"""From a block of designs to the metrics of every mapping: the only place where facts meet physics."""

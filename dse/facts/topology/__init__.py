"""Networks of devices: written as YAML, held as graphs, reduced to what the physics needs."""

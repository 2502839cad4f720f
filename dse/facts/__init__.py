"""What is the case: units, validated input, catalog, topologies, traces."""

"""What it means: explanation, tables, verdicts."""

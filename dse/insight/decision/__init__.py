"""From a front to a decision: what survives, what differs, what to bring to a review."""

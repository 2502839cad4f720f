"""What a change of a number does: to a design, to the front, to a choice."""

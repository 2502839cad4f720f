"""What follows from the facts: equations on arrays."""

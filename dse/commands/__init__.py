"""The commands: a thin skin over the rings below."""

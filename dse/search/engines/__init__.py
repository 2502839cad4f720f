"""Proposers behind one small contract, and the choice among them."""

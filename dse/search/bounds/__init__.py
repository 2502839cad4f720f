"""Lower bounds on everything that a part of a space can reach: the same model with its couplings relaxed."""

"""What to choose: the space, its evaluation, the study, the Pareto set."""

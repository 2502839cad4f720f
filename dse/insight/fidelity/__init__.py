"""How far to trust the model: errors against measurements, blind folds, bands."""

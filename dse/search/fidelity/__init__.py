"""From measurements to constants: prediction of measured points, and the fits."""

"""Case studies: published results of the field, each a study file and the relations it must show."""

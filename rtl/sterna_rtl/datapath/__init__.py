"""Token in, token out: the units in the order of the data path."""

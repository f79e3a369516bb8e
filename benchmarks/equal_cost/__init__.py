"""Minimum-norm attacks at equal cost: so many passes of the network for each image, no more."""

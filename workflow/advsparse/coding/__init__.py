"""Sparse coders: the maps from codes to signals, solvers, and networks that learn to code."""

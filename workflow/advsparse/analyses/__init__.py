"""Analyses: what coders make of signals and of attacked images, as numbers that figures show."""

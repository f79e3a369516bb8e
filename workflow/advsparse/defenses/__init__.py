"""Defences: one module per defence."""

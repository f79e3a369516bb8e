"""Classifiers: one module per architecture."""

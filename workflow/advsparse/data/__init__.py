"""Datasets: one module per source; each reads or makes images and labels."""

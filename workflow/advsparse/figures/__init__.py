"""Figures and tables: one style, colours that stay with their method, files in every format."""

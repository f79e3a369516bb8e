"""The generated pages of docs/: ``python -m advsparse.documentation`` writes them."""

"""The stages of the pipeline, one module each. No job imports this package."""

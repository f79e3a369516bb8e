"""Adversarial attacks and sparse representations: the library behind the pipeline.

Importing this package, its configuration and every plugin module imports no torch: the Snakefile
reads the configuration in each of its processes. See :mod:`advsparse.lazy`.
"""

__version__ = "0.1.0"

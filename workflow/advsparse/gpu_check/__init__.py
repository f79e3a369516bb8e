"""What a person runs first on a machine with a GPU: ``make gpu-check``.

The tests' GPU variants; whether each stage comes to the same on the GPU as on the CPU
(:mod:`.agreement`); how fast each heavy kind of work of the preset ``paper`` is, and how much
memory it takes (:mod:`.throughput`). Written are a page, a JSON that ``python -m
advsparse.estimate`` reads, and requests for a cluster. On ``--device cpu`` all of it
runs, small, so that it can be tested. No job imports this package.
"""

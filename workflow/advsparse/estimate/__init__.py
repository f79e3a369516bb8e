"""What a preset's jobs cost before they run: ``python -m advsparse.estimate paper``.

The *work* of each job is counted from its settings (:mod:`.work`), in *kinds of work*
(:mod:`.kinds`): images that a network is trained on, forward and backward passes, images that a
defence transforms. What one of each takes is measured on the machine that is to run them
(``make gpu-check``). The product is an estimate. No job imports this package.
"""

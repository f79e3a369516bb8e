"""Certificates: one module per certificate; ``python -m advsparse.certify check`` replays them."""

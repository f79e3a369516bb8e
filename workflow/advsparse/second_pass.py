"""``python -m advsparse.second_pass <snakemake's arguments>``: run Snakemake, forcing nothing.

What the user wants to be rebuilt in any case has been, in the first pass (:mod:`failures`). However
it was asked for, on the command line (-kF is -k and -F) or in a profile: Snakemake's own parser
tells.
"""

from __future__ import annotations

import sys

from snakemake.cli import args_to_api, parse_args
from snakemake.exceptions import print_exception


def main(arguments: list[str]) -> int:
    try:
        parser, asked = parse_args(arguments)
        asked.force = asked.forceall = False
        asked.forcerun = frozenset()
        asked.nolock = True  # the lock is that of the first pass, which waits
        return 0 if args_to_api(asked, parser) else 1
    except Exception as error:  # as Snakemake's own main does
        print_exception(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

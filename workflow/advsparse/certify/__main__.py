"""``python -m advsparse.certify check FILE [--classifier FILE]``: replay the certificates of a
file, without a solver and with rounding outwards.

With ``--classifier``, the network in the file must be that of this classifier's artifact. The exit
status is 1 if anything does not hold, 2 if a file can't be read.
"""

from __future__ import annotations

import argparse
import sys

from advsparse.artifacts import read_arrays
from advsparse.certify._file import check
from advsparse.certify._network import ReluNetwork
from advsparse.errors import UserError


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m advsparse.certify", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="check")
    checking = commands.add_parser("check", help="replay the certificates of a file")
    checking.add_argument("file", help="an artifact of the stage certificates")
    checking.add_argument("--classifier", help="the artifact of the classifier that it is about")
    given = parser.parse_args(words)
    try:
        return _check(given.file, given.classifier)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def _check(path: str, classifier: str | None) -> int:
    arrays, metadata = read_arrays(path, stage="certificate")
    method = metadata.params["method"]
    target = method.get("target")
    classes = f"classes: {method['targets']}" if target is None else f"class {target}"
    print(f"{path}: {method['norm']}, confidence {method['confidence']:g}, {classes}")
    digest = ReluNetwork.of_arrays(arrays).digest
    print(f"network {digest[:16]}")
    failed = 0
    if digest != metadata.extra["network_digest"]:
        print("WRONG: the network is not the one that the certificates were made for")
        failed = 1
    if classifier is not None and not _same_network(arrays, classifier):
        print(f"WRONG: the network is not that of {classifier}")
        failed = 1
    for found in check(arrays, method):
        failed += bool(found.wrong)
        said = f"image {found.index:6}: {found.lower:.6g} to {found.upper:.6g}"
        print(f"{said}, {found.rests_on}" + "".join(f"; WRONG: {word}" for word in found.wrong))
    print("not all of it holds" if failed else "all of it holds")
    return 1 if failed else 0


def _same_network(arrays, classifier: str) -> bool:
    """Whether the stored network is that of a classifier's artifact."""
    from advsparse.certify._extract import relu_network
    from advsparse.models._io import load_classifier, network_of

    model, metadata = load_classifier(classifier)
    own = relu_network(model, tuple(network_of(metadata)["shape"]))
    return own.digest == ReluNetwork.of_arrays(arrays).digest


if __name__ == "__main__":
    sys.exit(main())

"""Putting the files of published datasets where the sources look for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from advsparse.data._download import Patience, download
from advsparse.data._files import check_sha256
from advsparse.data._published import located_file
from advsparse.data._registry import registered

logger = logging.getLogger(__name__)


def fetch(
    kind: str,
    name: str,
    directory: Path,
    mirrors: Sequence[str] = (),
    patience: Patience | None = None,
) -> Path:
    """Where the file ``name`` of a dataset is, after it was downloaded if it was not there.

    ``mirrors`` are addresses of copies of the data directory, tried before the registry's. A file
    that is there is never replaced: DataError if it is not the published one.
    """
    dataset = registered()[kind]
    file = dataset.file(name)
    path, sha256 = located_file(directory / kind, file)
    if not path.exists():
        logger.info("%s, %s; licence: %s", dataset.title, dataset.version, dataset.licence)
        urls = [f"{mirror.rstrip('/')}/{kind}/{name}" for mirror in mirrors]
        urls += [f"{address}{name}" for address in dataset.addresses]
        download(path, urls, file, patience)
    check_sha256(path, sha256, "move it away to have it downloaded anew")
    logger.info("%s is there, as published", path)
    return path

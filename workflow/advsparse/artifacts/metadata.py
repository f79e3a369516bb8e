"""The record that travels with every artifact, its serialisation and its checks."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advsparse.errors import ArtifactError

FORMAT_VERSION = 1
"""Of the artifacts written now. Raise it when old artifacts can no longer be read."""

_PACKAGES = ("numpy", "torch", "torchvision", "scikit-learn", "scikit-image", "scipy")


@dataclass(frozen=True)
class Metadata:
    """How an artifact was made. ``params`` and ``extra`` are stored as JSON would return them."""

    format_version: int
    stage: str
    params: dict[str, Any]
    code: str
    seed: int
    versions: dict[str, str]
    device: str
    wall_seconds: float
    payload_sha256: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("params", "extra", "versions"):
            value = json.loads(json.dumps(getattr(self, name), allow_nan=False))
            object.__setattr__(self, name, value)


def make_metadata(
    stage: str,
    *,
    params: Mapping[str, Any],
    code: str,
    seed: int,
    device: str = "cpu",
    wall_seconds: float = 0.0,
    extra: Mapping[str, Any] | None = None,
) -> Metadata:
    """Metadata of an artifact made by the current format and the installed packages."""
    return Metadata(
        format_version=FORMAT_VERSION,
        stage=stage,
        params=dict(params),
        code=code,
        seed=int(seed),
        versions=dict(_versions()),
        device=str(device),
        wall_seconds=float(wall_seconds),
        extra=dict(extra or {}),
    )


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append((package, importlib.metadata.version(package)))
    return tuple(found)


def payload_digest(entries: Iterable[tuple[str, str, tuple[int, ...], memoryview | bytes]]) -> str:
    """SHA-256 over (name, dtype, shape, C-order bytes) of every entry, in the order of names."""
    digest = hashlib.sha256()
    for name, dtype, shape, data in sorted(entries, key=lambda entry: entry[0]):
        head = json.dumps([name, dtype, list(shape)]).encode()
        # The length first, so that no two payloads run into the same stream of bytes.
        digest.update(len(head).to_bytes(8, "little"))
        digest.update(head)
        digest.update(data)
    return digest.hexdigest()


def to_json(metadata: Metadata, **more: Any) -> str:
    """Canonical JSON of the metadata and of ``more``, with a checksum of its own."""
    record = {"metadata": dataclasses.asdict(metadata), **more}
    text = _canonical(record)
    if problem := _problem(json.loads(text)["metadata"]):
        raise ValueError(f"cannot write an artifact: its metadata {problem}")
    return _canonical({**record, "sha256": hashlib.sha256(text.encode()).hexdigest()})


def from_json(path: Path, text: str | bytes, stage: str | None) -> tuple[Metadata, dict[str, Any]]:
    """The metadata and the other entries of :func:`to_json`, checked; ``path`` is for messages."""
    try:
        record = json.loads(text)
    except ValueError as error:
        raise damaged(path, f"its metadata is no JSON ({error})") from error
    content = record.get("metadata") if isinstance(record, dict) else None
    if not isinstance(content, dict) or "format_version" not in content:
        raise damaged(path, "its metadata is not that of an advsparse artifact")
    # The version before all else: another format may store the rest in another way.
    if content["format_version"] == FORMAT_VERSION:
        checksum = record.pop("sha256", None)
        if checksum != hashlib.sha256(_canonical(record, allow_nan=True).encode()).hexdigest():
            raise damaged(path, "its metadata does not match its checksum")
    if problem := _problem(content):
        raise damaged(path, f"its metadata {problem}")
    del record["metadata"]
    metadata = Metadata(**content)
    if stage is not None and metadata.stage != stage:
        raise damaged(path, f"it was written by stage {metadata.stage!r}, not {stage!r}")
    return metadata, record


_TYPES = {
    "format_version": (int,),
    "stage": (str,),
    "params": (dict,),
    "code": (str,),
    "seed": (int,),
    "versions": (dict,),
    "device": (str,),
    "wall_seconds": (float, int),
    "payload_sha256": (str,),
    "extra": (dict,),
}


def _problem(content: dict[str, Any]) -> str | None:
    """What is wrong with the stored fields of a Metadata, or None."""
    version = content["format_version"]
    if type(version) is not int or version != FORMAT_VERSION:
        return f"has format version {version!r}, not {FORMAT_VERSION}"
    if missing := sorted(_TYPES.keys() - content.keys()):
        return f"lacks {', '.join(missing)}"
    if unknown := sorted(content.keys() - _TYPES.keys()):
        return f"has unknown {', '.join(unknown)}"
    for name, types in _TYPES.items():
        if type(content[name]) not in types:
            return f"has a {name} of type {type(content[name]).__name__}"
    if not all(isinstance(value, str) for value in content["versions"].values()):
        return "has a version that is no text"
    return None


def _canonical(record: Any, allow_nan: bool = False) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=allow_nan)


def damaged(path: Path, problem: str) -> ArtifactError:
    """The error for an artifact that cannot be used, with the command that rebuilds it."""
    target = Path(os.path.abspath(path))  # noqa: PTH100 - a symlink keeps the name the rules know
    with contextlib.suppress(ValueError):
        target = target.relative_to(Path.cwd())
    command = f"snakemake --cores all --force {shlex.quote(str(target))}"
    if target.parts[0] == "results" and len(target.parts) > 2:
        command += f" --config preset={shlex.quote(target.parts[1])}"
    return ArtifactError(f"{path}: {problem}. Rebuild it with: {command}")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes into an ArtifactError about ``path``."""
    try:
        yield
    except (ArtifactError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise damaged(path, "it does not exist") from error
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error})") from error
    except Exception as error:
        # The decoders raise a dozen types here, tokenize.TokenError and struct.error among them.
        raise damaged(path, f"it is damaged ({type(error).__name__}: {error})") from error


def check_payload(path: Path, metadata: Metadata, digest: str) -> None:
    """Raise unless ``digest`` is the one that the metadata promises."""
    if digest != metadata.payload_sha256:
        raise damaged(path, "its payload does not match the digest in its metadata")

"""Configurations and files with something wrong in them, each from a seed."""

from __future__ import annotations

import copy
import functools
import random

import yaml

from advsparse.config.loading import WORKFLOW
from advsparse.config.sources import Tree, read_yaml

ODD = [
    *(None, True, False, 0, -1, 3, 10**30, 1.5, -0.0, float("nan"), float("inf"), 1e-320),
    *("", "x", "scada", "é\u2028", "0.1", [], [1], [[]], [None], ["scada", "scada"]),
    *({}, {"kind": "pgd"}, {"kind": None}, {"a": {"b": [1, {"c": None}]}}, {"kind": {"kind": 1}}),
]

# The one written in C, where PyYAML has it, takes a tenth of the time.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def containers(values) -> list:
    inner = values.values() if isinstance(values, dict) else values
    found = [
        part for value in inner if isinstance(value, dict | list) for part in containers(value)
    ]
    return [values, *found] if values else found


def mutate(values, rng: random.Random) -> None:
    """Break ``values`` in one random way, in place."""
    if rng.random() < 0.4:
        return mutate_number(values, rng)
    place = rng.choice(containers(values))
    key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    names = ["kind", "eps", "lambda1", "scada", "frecon2021", "x y", "1", "", "é"]
    match rng.choice(["drop", "rename", "retype", "nest", "unnest", "swap", "add"]):
        case "drop":
            del place[key]
        case "rename" if isinstance(place, dict):
            old = str(key)
            name = rng.choice([old + "s", old[:-1], old.upper(), old[1:] + old[:1], *names])
            place[name] = place.pop(key)
        case "nest":
            place[key] = rng.choice([[place[key]], {str(key): place[key]}, {"kind": place[key]}])
        case "unnest" if isinstance(place[key], dict | list) and place[key]:
            inner = place[key]
            place[key] = rng.choice(list(inner.values() if isinstance(inner, dict) else inner))
        case "swap":
            other = rng.choice(containers(values))
            if other is not place:
                place[key] = copy.deepcopy(other)
        case "add" if isinstance(place, dict):
            place[rng.choice(names)] = copy.deepcopy(rng.choice(ODD))
        case _:
            place[key] = copy.deepcopy(rng.choice(ODD))


def mutate_number(values, rng: random.Random) -> None:
    """Give a number another size, or have it change places with another of its type."""
    leaves = [
        (place, key)
        for place in containers(values)
        for key, value in (place.items() if isinstance(place, dict) else enumerate(place))
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if not leaves:
        return
    place, key = rng.choice(leaves)
    old = place[key]
    if rng.random() < 0.5:
        other, there = rng.choice([(p, k) for p, k in leaves if type(p[k]) is type(old)])
        place[key], other[there] = other[there], old
    else:
        place[key] = type(old)(old * rng.choice([0, -1, 2, 0.5, 10, 1e6, 1e300]))


def shipped(preset: str) -> dict:
    """What is loaded for the shipped config.yaml and a preset, as one mapping to change."""
    return copy.deepcopy(_shipped(preset))


@functools.cache
def _shipped(preset: str) -> dict:
    tree = Tree()
    for path in sorted((WORKFLOW / "papers").glob("*/paper.yaml")):
        tree = tree.overlay(read_yaml(path).below(("settings", path.parent.name)))
    for path in (WORKFLOW / "presets" / f"{preset}.yaml", WORKFLOW.parent / "config.yaml"):
        tree = tree.overlay(read_yaml(path))
    return tree.values | {"preset": preset}


def mutated_configuration(seed: int, preset: str) -> bytes:
    """The shipped configuration with one to three mistakes, every fifth time in its text."""
    rng = random.Random(seed)
    values = shipped(preset)
    wounds = rng.choice([1, 1, 1, 2, 3])
    in_text = seed % 5 == 0
    for _ in range(0 if in_text else wounds):
        if values:
            mutate(values, rng)
    data = yaml.dump(values, Dumper=_DUMPER, allow_unicode=True, sort_keys=False).encode()
    for _ in range(wounds if in_text else 0):
        data = damaged_text(data, rng)
    return data


def damaged_text(data: bytes, rng: random.Random) -> bytes:
    """Text in which something is cut out, put in, indented otherwise, or given twice."""
    lines = data.splitlines(keepends=True)
    line, at = rng.randrange(len(lines)), rng.randrange(len(data))
    match rng.choice(["cut", "put", "end", "indent", "repeat", "join"]):
        case "cut":
            return data[:at] + data[at + rng.randint(1, 20) :]
        case "put":
            odd = [b"\t", b"\0", b"\xff", b": ", b"- ", b"[", b"{", b"'", b"&a ", b"*a ", b"!!map "]
            return data[:at] + rng.choice(odd) + data[at:]
        case "end":
            return data[:at]
        case "indent":
            lines[line] = b" " * rng.randint(1, 4) + lines[line]
        case "repeat":
            lines.insert(line, lines[line])
        case _:
            lines[line] = lines[line].rstrip(b"\n")
    return b"".join(lines)


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """A file in which bits are flipped, a part is missing, repeated or another, or more follows."""
    at, length = rng.randrange(len(data)), rng.randint(1, 64)
    match rng.choice(["flip", "header", "cut", "end", "repeat", "zero", "more"]):
        case "flip":
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case "header":  # the first and the last bytes say where everything is
            at = rng.choice([at % 64, len(data) - 1 - at % 64]) % len(data)
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case "cut":
            return data[:at] + data[at + length :]
        case "end":
            return data[:at]
        case "repeat":
            return data[:at] + data[at : at + length] + data[at:]
        case "zero":
            return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
        case _:
            return data + rng.randbytes(length)

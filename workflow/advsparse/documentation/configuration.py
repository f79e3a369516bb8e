"""The page on the configuration, generated from the JSON schema."""

from __future__ import annotations

from typing import Any

from advsparse.documentation._markdown import COMMAND, DOCS
from advsparse.documentation._settings import (
    group_of,
    resolved,
    sections,
    settings_table,
    summary,
    title_of,
)

PAGE = DOCS / "configuration.md"

_INTRODUCTION = f"""\
<!-- Generated from the typed configuration by: {COMMAND} -->

# Configuration

A run is decided by one configuration, merged from several files. Each later one is laid over the
earlier ones:

1. `workflow/papers/<paper>/paper.yaml`: a paper's method, as `settings.<paper>`
2. `workflow/presets/<preset>.yaml`: the data and the scale
3. `config.yaml`: yours
4. the files of `--configfile`, in their order
5. `--config` on the command line

A preset is chosen by the key `preset` of any of the last three.

- Mappings are merged: what you don't name stays as it is.
- Everything else replaces what was there; a list replaces the whole list.
- A `kind` other than before replaces the whole mapping it stands in, whose other keys belonged to
  the former kind.
- `null` removes a mapping or a list, such as one attack, figure or experiment of a paper.

```yaml
preset: demo
settings:
  frecon2021:
    models:
      lenet: {{training: {{epochs: 5}}}}       # the other keys of training stay
    attacks:
      scada: {{grid: {{lambda1: [0.01, 0.1]}}}} # instead of the paper's four values
```

```console
$ snakemake --cores all --configfile mine.yaml
$ snakemake --cores all --config preset=test seed=1
```

The merged configuration is validated before anything runs: a key that is unknown here, a value of
another type and a name that leads nowhere are errors, reported with file, line and the nearest
known key. Keys that are *required* must be there after merging; papers and presets give most of
them. All files are read alike: numbers may be written as `1e-3`, truth values only as `true` and
`false`, and times and dates such as `12:30:00` and `2024-05-01` are text. A number with leading
zeros such as `010` is refused, as some read it as octal: write `10`, or `'010'` for text. At the
top level of `--config`, Snakemake itself reads it as 10. A *name* begins with a letter and has
letters, digits, `_` and `-` only.

Editors that know JSON schemas complete and check these files with
`workflow/schemas/config.schema.json`, which holds what this page says.
"""


def configuration_page() -> str:
    """The page as docs/configuration.md holds it."""
    parts = [_INTRODUCTION]
    groups: dict[str, tuple[list[str], list[dict[str, Any]]]] = {}
    for path, schema in sections():
        group = group_of(schema)
        if group:
            groups.setdefault(group, ([], schema["oneOf"]))[0].append(path)
        else:
            heading = f"`{path}`" if path else "Top level"
            parts += [f"## {heading}\n", f"{summary(schema)}\n", settings_table(schema)]
    for group, (paths, variants) in groups.items():
        where = ", ".join(f"`{path}`" for path in paths)
        parts += [f"## {title_of(group)}\n", f"The kinds that {where} may have.\n"]
        for variant in map(resolved, variants):
            kind = variant["properties"]["kind"]["const"]
            parts += [f"### `kind: {kind}`\n", f"{summary(variant)}\n", settings_table(variant)]
    return "\n".join(parts)

"""Writes the generated pages, and the JSON schema that editors read."""

from __future__ import annotations

import argparse

from advsparse.config.schema import schema_text
from advsparse.documentation import (
    attacks,
    certificates,
    coders,
    configuration,
    data,
    defenses,
    stages,
)
from advsparse.documentation._markdown import ROOT

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"

GENERATED = {
    configuration.PAGE: configuration.configuration_page,
    attacks.PAGE: attacks.attacks_page,
    certificates.PAGE: certificates.certificates_page,
    coders.PAGE: coders.coders_page,
    data.PAGE: data.data_page,
    defenses.PAGE: defenses.defenses_page,
    stages.PAGE: stages.stages_picture,
    SCHEMA: schema_text,
}
"""What makes the text of each generated file."""


def main() -> None:
    """Write all files."""
    argparse.ArgumentParser(
        prog="python -m advsparse.documentation", description=__doc__
    ).parse_args()
    for path, text in GENERATED.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()

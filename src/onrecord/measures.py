# SPDX-License-Identifier: Apache-2.0
"""Durations and sizes as people write them in settings: a number above 0, and a unit."""

import re
from collections.abc import Mapping

from onrecord.errors import ConfigError

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def measure(text: str, units: Mapping[str, float], where: str) -> float:
    """Return what `text` measures, by the worth of its unit in `units`. Raises ConfigError, which says `where`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    if match is None or match[2] not in units or not float(match[1]):
        raise ConfigError(f"{where} is {text!r}; give a number above 0 and a unit: {', '.join(units)}")
    return float(match[1]) * units[match[2]]

# SPDX-License-Identifier: Apache-2.0
"""How much of a call may be written down, by its tier and its classification.

    class      keys of arguments   values                    pointers to what was withheld
    low        yes                 all, cut                  each
    medium     yes                 those that are declared   each
    high       yes                 none                      each
    critical   no                  none                      only that there was something

Tier 0 writes none of these whatever its class, and where a tool's schema is not known no value is
written, because nobody can say what it marks. Ids, keyed digests and labels of what was found are
written for every class; they show no value.
"""

from dataclasses import dataclass, replace
from typing import Literal

from onrecord.rules import pointer
from onrecord.rules.classify import Treatment
from onrecord.rules.inspection import Inspection

MOST_POINTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What may stand on the record."""

    keys: bool
    values: Literal["all", "declared", "none"]
    pointers: Literal["each", "root", "none"]


NOTHING = Disclosure(keys=False, values="none", pointers="none")
_CRITICAL = Disclosure(keys=False, values="none", pointers="root")
_KEYS = Disclosure(keys=True, values="none", pointers="each")
_DECLARED = Disclosure(keys=True, values="declared", pointers="each")
_ALL = Disclosure(keys=True, values="all", pointers="each")


def disclosed(treatment: Treatment, *, schema_known: bool) -> Disclosure:
    """Return what of a call may be written."""
    if treatment.tier == 0:
        return NOTHING
    if treatment.classification == "critical":
        return _CRITICAL
    if treatment.classification == "high" or not schema_known:
        return _KEYS
    return _DECLARED if treatment.classification == "medium" else _ALL


def names_places(treatment: Treatment) -> bool:
    """Say whether places in the arguments may be named."""
    return disclosed(treatment, schema_known=True).pointers == "each"


def without_values(shown: Disclosure, *, keys: bool) -> Disclosure:
    """Return the same without values, and without keys too unless `keys`."""
    return replace(shown, values="none", keys=shown.keys and keys)


def places_withheld(inspection: Inspection, shown: Disclosure) -> tuple[str, ...]:
    """Return what may be said of where values are withheld; of too many places, the whole and the first."""
    if shown.pointers == "none" or not inspection.fields:
        return ()
    roots = tuple(dict.fromkeys(pointer.written(path[:1]) for path in inspection.fields))
    if shown.pointers == "root" or not inspection.secrets.complete:
        return roots
    named = tuple(dict.fromkeys(inspection.pointers(MOST_POINTERS)))
    return (*roots, *named) if len(inspection.fields) > MOST_POINTERS else named

# SPDX-License-Identifier: Apache-2.0
"""An interpreter in which packages are not installed, as far as what it imports can tell."""

from pathlib import Path

_FEWER = """
import sys
from importlib.machinery import PathFinder
class Fewer(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {names!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Fewer if one is PathFinder else one for one in sys.meta_path]
"""


def without(folder: Path, *names: str) -> dict[str, str]:
    """Return the environment of an interpreter that finds no package of these names; `folder` is to be made."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_FEWER.format(names=names))
    return {"PYTHONPATH": str(folder)}

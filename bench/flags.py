# SPDX-License-Identifier: Apache-2.0
"""What the output flags find and what they flag for nothing: `python bench/flags.py DATA.jsonl [FOLDER…]`.

A row of DATA has `text`, `label` (1 attack, 0 benign) and `kind`. Each text file in a FOLDER counts as
benign; the share that is flagged is printed per thousand documents.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

from onrecord.rules.detection.flagging import flags

SUFFIXES = frozenset((".md", ".rst", ".txt", ".py", ".json", ".html", ".toml", ".yaml", ".js", ".ts", ""))
MOST_BYTES = 100_000


def main() -> None:
    """Print attack recall by family, and false alarms."""
    total: Counter[tuple[int, str]] = Counter()
    found: Counter[tuple[int, str]] = Counter()
    verbose = "-v" in sys.argv
    data, *folders = [word for word in sys.argv[1:] if word != "-v"]
    for line in Path(data).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        about = row["label"], row["kind"] if row["label"] else row["kind"].partition(":")[0] + ":all"
        hits = flags(row["text"])
        for key in (about, (row["label"], "all"), (row["label"], row["kind"].partition(":")[0])):
            total[key] += 1
            found[key] += bool(hits)
        if verbose and bool(hits) != bool(row["label"]):
            print("miss" if row["label"] else f"FP {hits[0].rule_id}", row["kind"], ascii(row["text"][:160]))
    for key in sorted(total):
        print(f"{'attack' if key[0] else 'benign'} {key[1]:45} {found[key]:4} of {total[key]:4}")
    for folder in folders:
        _folder(Path(folder), verbose=verbose)


def _folder(folder: Path, *, verbose: bool) -> None:
    count = hits = size = 0
    rules: Counter[str] = Counter()
    started = time.perf_counter()
    for file in sorted(folder.rglob("*")):
        if file.suffix not in SUFFIXES or not file.is_file() or file.stat().st_size > MOST_BYTES:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        count, size = count + 1, size + len(text)
        found = flags(text)
        hits += bool(found)
        rules.update({flag.rule_id for flag in found})
        if verbose and found:
            first = found[0]
            print(file, first.rule_id, ascii(text[first.start : first.end][:120]))
    seconds = time.perf_counter() - started
    share, speed = 1000 * hits / max(1, count), size / seconds / 1e6
    print(f"{folder}: {hits} of {count} documents, {share:.2f} per 1,000, {speed:.1f} MB/s")
    print("  ", rules.most_common(12))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What it costs to look for signals: CPU an event, of a log that `generate.py` made, from its beginning.

    python bench/signals.py HOME

Nothing is written to the logs. Reading and decoding the lines is in it, and is also told by itself.
"""

import argparse
import tempfile
import time
from pathlib import Path

from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.signal_settings import SignalSettings
from onrecord.views.signals.evaluation import Evaluation

RUNS = 3


def main() -> None:
    """Measure, and print the best of some runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    calls = Home(parser.parse_args().home.absolute()).log()
    rules = SignalSettings().in_force(Path())
    reading, looking = [], []
    events, found = 0, list[Event]()
    for _ in range(RUNS):
        began = time.process_time()
        events = sum(1 for line in lines_from(calls) if read_event(line.data))
        reading.append(time.process_time() - began)
        found.clear()
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder))
            home.log().path.parent.mkdir(parents=True)
            home.log().path.symlink_to(calls.path)
            began = time.process_time()
            with Evaluation(home, rules, found.extend) as evaluation:
                for _ in evaluation.run(0):
                    pass
            looking.append(time.process_time() - began)
    print(f"{events} events, {len(rules)} rules, {len(found)} findings")
    print(f"reading {min(reading) / events * 1e6:.1f} us an event, all of it {min(looking) / events * 1e6:.1f} us")


if __name__ == "__main__":
    main()

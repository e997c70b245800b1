# SPDX-License-Identifier: Apache-2.0
"""What of the record somebody should look at: rules over the stream of events, what they find, and who looked at it.

A rule is data (`rules.toml`, `rule.py`); `detector.py` holds events against the rules, without a clock or a file.
`evaluation.py` reads the logs from where it stopped, records what is found and moves on, so that nothing is missed or
doubled. `queue.py` works out from the log `security` which findings are open. There is no table of findings.
"""

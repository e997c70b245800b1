# SPDX-License-Identifier: Apache-2.0
"""Where calls come in. A door makes a `Call`, supplies the way onward, and renders the answer."""

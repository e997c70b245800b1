# SPDX-License-Identifier: Apache-2.0
"""FastMCP's own proxy, in FastMCP's environment: python bench/fastmcp_proxy.py URL PORT."""

import sys

from fastmcp.server import create_proxy

if __name__ == "__main__":
    create_proxy(sys.argv[1]).run("http", host="127.0.0.1", port=int(sys.argv[2]), path="/mcp", show_banner=False)

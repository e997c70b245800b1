# SPDX-License-Identifier: Apache-2.0
"""The store in ClickHouse's engine, in this process: does what it is told on standard input, as pickles."""

import os
import pickle
import sys
from typing import Any

import clickhouse_connect

from onrecord.errors import OnRecordError
from onrecord.views.stores.address import Address
from onrecord.views.stores.clickhouse import ClickHouse


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the engine may print
    client: Any = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
    store = ClickHouse(client, Address(kind="clickhouse", host="in-process", port=1, database="", user="", tls=False))
    while True:
        try:
            name, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = getattr(store, name)(*arguments)
            if name == "ask":
                answer = list(answer)
        except OnRecordError as e:
            answer = e
        pickle.dump(answer, out)
        out.flush()


main()

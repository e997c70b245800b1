# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC lines made of parts that are JSON already, for doors that get messages in another form than as lines."""

import json

from onrecord.event.call import RequestId


def request_line(request_id: RequestId, method: str, params: bytes | None) -> bytes:
    """Return a request; `params` is JSON, None for none."""
    return _asking(b'"id":%b,' % json.dumps(request_id).encode(), method, params)


def notice_line(method: str, params: bytes | None) -> bytes:
    """Return a notification."""
    return _asking(b"", method, params)


def answer_line(request_id: RequestId, body: bytes, *, error: bool = False) -> bytes:
    """Return an answer, whose `body` is JSON."""
    kind = b"error" if error else b"result"
    return b'{"jsonrpc":"2.0","id":%b,"%b":%b}\n' % (json.dumps(request_id).encode(), kind, body)


def _asking(head: bytes, method: str, params: bytes | None) -> bytes:
    rest = b"" if params is None else b',"params":%b' % params
    return b'{"jsonrpc":"2.0",%b"method":%b%b}\n' % (head, json.dumps(method).encode(), rest)

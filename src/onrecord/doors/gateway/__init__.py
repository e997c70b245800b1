# SPDX-License-Identifier: Apache-2.0
"""`onrecord gateway`: Streamable HTTP servers behind one ASGI app, every message on the record.

    app.py         paths, health, how many at once; each request to the one that takes its method
    intake.py      one request read: within a limit of size and time, of the type that it must be
    room.py        how much is open at once, and how much of it one caller's
    agreement.py   do headers and body say the same? (pure)
    exchange.py    one POST from its message to its last byte
    listening.py   a GET, which a server speaks to its client over; a DELETE
    reply.py       what one client hears: JSON, or a stream of events
    inbox.py       what threads hand to a coroutine, in order
    upstream.py    one server: requests to it, what it answers, and how that can fail
    reach.py       whether it can be reached, told when that changes
    connections.py the connections to it
    sessions.py    relays by session, up to 2025-11-25
    bounded.py     uvicorn's HTTP, with limits
    talk.py        one relay, reached from the event loop, and the threads for that
    telling.py     what a server says, through that relay
    served.py      one server: the way to it, who calls it, the relays at work
    serving.py     uvicorn, signals, the sweep, and the end

An exchange of a request:

    read ─▶ judged (in the pool) ─┬─ refused, denied, asked back ──────────────────────────────▶ replied
                                  ├─ held for an approval: a stream with pings; then as below ─▶
                                  └─ forwarded ─▶ answered, event by event, each judged ───────▶ replied
                                           ├─ the server fails: one error, closed as unknown ──▶ replied
                                           └─ the client goes: 2026-07-28, cancelled, aborted; before, read to its end

What a message means, and what happens to it, is in `doors/relay.py`; who may come in, in `doors/http_access.py`; which
header fields go on, either way, in `doors/http_fields.py`; what is recorded of who was turned away, in
`doors/http_telling.py`.
"""

# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a unix socket, by the kernel's word and not by their own."""

import socket
import struct
import sys
from typing import NamedTuple

_LINUX = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 0x001, 0x002  # macOS <sys/un.h>
_XUCRED = struct.Struct("2I")  # the head of struct xucred: version, uid
_XUCRED_BYTES = 76


class Peer(NamedTuple):
    """The account and the process that made the connection; None where this platform does not say."""

    uid: int | None
    pid: int | None


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected. Raises OSError."""
    if sys.platform == "linux":
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _LINUX.size)
        pid, uid, _ = _LINUX.unpack(data)
        return Peer(uid, pid or None)  # 0 where the process lives outside of our namespace
    if sys.platform == "darwin":
        data = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
        _, uid = _XUCRED.unpack_from(data)
        return Peer(uid, connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID))
    return Peer(None, None)


def may_act_as(door: int | None, service: int | None) -> bool:
    """Say whether a process of the account `door` can do all that one of `service` can, or nobody knows."""
    return door is None or service is None or door in (service, 0)

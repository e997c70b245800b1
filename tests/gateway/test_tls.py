# SPDX-License-Identifier: Apache-2.0
"""A server behind the gateway that is reached by TLS."""

import ssl
from contextlib import suppress

from tests.doors.self_signed import self_signed
from tests.gateway.running import Gateway, called, exchanged, modern
from tests.gateway.scripted import Scripted, echoing


class Secure(Scripted):
    """A server that shows a certificate."""

    def __init__(self, script, certificate):
        super().__init__(script)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate)

    def __enter__(self):
        super().__enter__()
        self.url = self.url.replace("http:", "https:")
        return self

    def _serve(self, connection):
        with suppress(OSError):
            super()._serve(self.context.wrap_socket(connection, server_side=True))


def test_calls_reach_a_server_whose_certificate_holds_and_no_other(tmp_path):
    certificate = self_signed(tmp_path)
    (home := tmp_path / "trusting").mkdir()
    with Secure(echoing, certificate) as server:
        with Gateway(home, {"s": server.url}, env={"SSL_CERT_FILE": str(certificate)}) as gateway:
            heard = exchanged(gateway, modern("/s", called(text="x" * 1_000_000)))
            assert b"result" in heard.text
        (reached,) = server.reached
        assert len(reached.message["params"]["arguments"]["text"]) == 1_000_000

        (other := tmp_path / "doubting").mkdir()
        with Gateway(other, {"s": server.url}) as gateway:
            heard = exchanged(gateway, modern("/s", called()))
            assert (heard.status, b"not run: the server cannot be reached" in heard.text) == (502, True)
            gateway.await_said("its certificate does not hold: self-signed certificate; if its authority is your own")
        assert len(server.reached) == 1

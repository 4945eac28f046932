"""A mail server of the aiosmtpd package, for tests/mail.rs.

Prints its port, then one JSON line per mail. Arguments: plain | starttls | tls, then certificate and key files.
The only user is "skein" with password "right".
"""

import asyncio
import json
import logging
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult

# It warns of what the tests do on purpose.
warnings.simplefilter("ignore")
logging.getLogger("mail.log").setLevel(logging.CRITICAL)

mode, *files = sys.argv[1:]
context = None
if files:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)

connections = 0
most = 0
attempts = 0


class Sink:
    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(0.05)
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("ascii"),
            "user": session.auth_data,
            "encrypted": session.ssl is not None or mode == "tls",
            "most_connections": most,
            "attempts": attempts,
        }), flush=True)
        return "250 OK"


class CountingSMTP(SMTP):
    def connection_made(self, transport):
        global connections, most
        if self.transport is None:
            connections += 1
            most = max(most, connections)
        super().connection_made(transport)

    def connection_lost(self, error):
        global connections
        connections -= 1
        super().connection_lost(error)


def authenticate(server, session, envelope, mechanism, data):
    global attempts
    attempts += 1
    is_right = data.login == b"skein" and data.password == b"right"
    return AuthResult(success=is_right, handled=False, auth_data=data.login.decode())


def protocol():
    return CountingSMTP(
        Sink(),
        hostname="sink.test",
        tls_context=context if mode == "starttls" else None,
        require_starttls=mode == "starttls",
        auth_required=True,
        auth_require_tls=mode == "starttls",
        authenticator=authenticate,
    )


async def serve():
    tls = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())

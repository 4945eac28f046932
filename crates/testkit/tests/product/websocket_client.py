"""WebSocket connections of the `websockets` package, for tests/product.

One JSON order a line on standard input, one JSON answer a line on standard output:
connect (url, headers) | send (text) | receive | close, each "on" a connection by name.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SECONDS_MAX = 15

sockets = {}


async def obey(order):
    name = order["on"]
    match order["do"]:
        case "connect":
            # Its own pings are off, so that only what the test does is life.
            sockets[name] = await connect(
                order["url"], additional_headers=order["headers"], ping_interval=None, max_size=None, proxy=None
            )
            return {"open": True}
        case "send":
            await sockets[name].send(order["text"])
            return {"sent": True}
        case "receive":
            try:
                async with asyncio.timeout(SECONDS_MAX):
                    message = await sockets[name].recv()
            except ConnectionClosed as closed:
                received = closed.rcvd
                return {"closed": received.code, "reason": received.reason} if received else {"lost": True}
            return {"text": message} if isinstance(message, str) else {"bytes": message.hex()}
        case "close":
            await sockets.pop(name).close()
            return {"closed": True}


async def main():
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = await obey(json.loads(line))
        except Exception as error:
            answer = {"failed": repr(error)}
        print(json.dumps(answer), flush=True)


asyncio.run(main())

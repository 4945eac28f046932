"""An account that listens to a live room, with nothing but the package `websockets`.

In an empty folder:  python3 -m venv . && bin/pip install websockets && bin/python client.py

    client.py [http://127.0.0.1:8080] [e-mail] [password] [room]

The password may come from the variable SKEIN_PASSWORD instead.
"""

import asyncio
import json
import os
import sys
import urllib.request

import websockets

SERVER, EMAIL, PASSWORD, ROOM = (sys.argv[1:] + [None] * 4)[:4]
SERVER = SERVER or "http://127.0.0.1:8080"
PASSWORD = PASSWORD or os.environ.get("SKEIN_PASSWORD", "")
ROOM = ROOM or "live://1000"


def log_in():
    body = {"email": EMAIL, "password": PASSWORD, "device_class": "cli", "client": "client.py"}
    request = urllib.request.Request(
        f"{SERVER}/api/v1/login", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["token"]


async def main(token):
    async with websockets.connect(SERVER.replace("http", "ws", 1) + "/ws") as socket:

        async def say(kind, seq, payload):
            await socket.send(json.dumps({"type": kind, "seq": seq, "payload": payload}))

        await say("auth", 1, {"token": token, "major": 1, "client": "client.py"})
        await say("acceptOperations", 2, {"operations": [1000, 1001]})
        await say("joinLive", 3, {"room": ROOM})
        async for text in socket:
            heard = json.loads(text)
            payload = heard.get("payload", {})
            if heard["type"] == "liveRoom":
                print("joined", payload["room"], flush=True)
            elif heard["type"] == "push":
                for message in payload["messages"]:
                    # `body` is Base64, for what is no text.
                    print(message["operation"], message.get("text", message.get("body")), flush=True)
            elif heard["type"] == "error":
                sys.exit(payload["message"])


if __name__ == "__main__":
    asyncio.run(main(log_in()))

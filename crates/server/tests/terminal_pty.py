"""Drives `skein chat` in a pseudo-terminal: writes to the group, waits for its ack, ends it with SIGTERM."""

import os
import pty
import re
import select
import signal
import sys
import termios
import time

DEADLINE = time.monotonic() + 25


def read_until(terminal, wanted, seen=""):
    while wanted not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen):
        if time.monotonic() > DEADLINE:
            sys.exit(f"{wanted!r} did not show in time: {seen[-3000:]!r}")
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


process, terminal = pty.fork()
if process == 0:
    os.environ["TERM"] = "xterm-256color"
    os.execv(sys.argv[1], sys.argv[1:])
before = termios.tcgetattr(terminal)
termios.tcsetwinsize(terminal, (30, 100))
seen = read_until(terminal, "online")
os.write(terminal, f"/open {os.environ['SKEIN_TEST_GROUP']}\r".encode())
time.sleep(0.3)
os.write(terminal, "从终端来 hello\r".encode())
seen = read_until(terminal, "✓")
os.kill(process, signal.SIGTERM)
seen = ""
status = None
while status is None and time.monotonic() < DEADLINE:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            seen += os.read(terminal, 65536).decode(errors="replace")
        except OSError:
            pass
    ended, code = os.waitpid(process, os.WNOHANG)
    status = code if ended else None
if status != 0:
    sys.exit(f"ended with {status}")
if "\x1b[?1049l" not in seen or "\x1b[?2004l" not in seen:
    sys.exit(f"the terminal was not given back: {seen!r}")
if termios.tcgetattr(terminal)[:4] != before[:4]:
    sys.exit("the terminal's modes are not as before")

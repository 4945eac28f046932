"""Drives `skein chat` in a pseudo-terminal: terminal_pty.py write|register|offline|panic <program> <arguments…>

write: writes to the group and waits for the ack. register: opens an account with the code of the development mailbox.
offline: looks at what is stored. All end it with SIGTERM and look whether the terminal was given back. panic: a program
that panics while it has the terminal, which must be given back before a word of the panic is printed.
"""

import os
import pty
import re
import select
import signal
import sys
import termios
import time
import urllib.request

DEADLINE = time.monotonic() + 25


def read_until(terminal, wanted, seen=""):
    while wanted not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen):
        if time.monotonic() > DEADLINE:
            sys.exit(f"{wanted!r} did not show in time: {seen[-3000:]!r}")
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def write(terminal, text):
    os.write(terminal, text.encode())


def code_of_mailbox():
    request = urllib.request.Request(os.environ["SKEIN_TEST_MAILBOX"], headers={"accept": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return re.findall(r"\b\d{6}\b", answer.read().decode())[0]


mode, program = sys.argv[1], sys.argv[2:]
process, terminal = pty.fork()
if process == 0:
    os.environ["TERM"] = "xterm-256color"
    os.execv(program[0], program)
before = termios.tcgetattr(terminal)
termios.tcsetwinsize(terminal, (30, 100))
if mode == "register":
    read_until(terminal, "Code: ")
    write(terminal, code_of_mailbox() + "\r")
    read_until(terminal, "Nickname: ")
    write(terminal, "新来的\r")
    read_until(terminal, "online")
elif mode == "panic":
    before_words = read_until(terminal, "on purpose").split("on purpose")[0]
    if "\x1b[?1049h" not in before_words or "\x1b[?1049l" not in before_words:
        sys.exit(f"the panic was told on the screen that goes away: {before_words!r}")
elif mode == "offline":
    read_until(terminal, "从终端来", read_until(terminal, "offline, retry in"))
else:
    read_until(terminal, "online")
    write(terminal, f"/open {os.environ['SKEIN_TEST_GROUP']}\r")
    # The heading tells how many members the open group has.
    read_until(terminal, "(2)")
    write(terminal, "从终端来 hello\r")
    read_until(terminal, "✓")
if mode != "panic":
    os.kill(process, signal.SIGTERM)
seen = before_words if mode == "panic" else ""
status = None
while status is None and time.monotonic() < DEADLINE:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            seen += os.read(terminal, 65536).decode(errors="replace")
        except OSError:
            pass
    ended, code = os.waitpid(process, os.WNOHANG)
    status = code if ended else None
if (status == 0) == (mode == "panic"):
    sys.exit(f"ended with {status}")
if "\x1b[?1049l" not in seen or "\x1b[?2004l" not in seen:
    sys.exit(f"the terminal was not given back: {seen!r}")
if termios.tcgetattr(terminal)[:4] != before[:4]:
    sys.exit("the terminal's modes are not as before")

"""What a newcomer does, as the README tells it: first_message.py <program> <folder> <serve arguments…>

Starts the server on an empty folder, asks for two accounts, types the two lines that `demo` prints into two terminals,
and writes from one to the other. Prints the seconds until the message is seen, from the first command on.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

DEADLINE = time.monotonic() + 60
GROUP = "Skein demo 演示"
SAID = "你好，第一条消息"


def left():
    return DEADLINE - time.monotonic()


class Terminal:
    def __init__(self, line):
        self.line, self.seen = line, ""
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="xterm-256color", SHELL="/bin/sh")
            os.execv("/bin/sh", ["/bin/sh", "-c", line])
        termios.tcsetwinsize(self.master, (30, 100))

    def text(self):
        # Without what moves the cursor. Where it jumps over a space, there is none.
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def until(self, wanted):
        while wanted not in self.text():
            if left() < 0:
                sys.exit(f"{wanted!r} did not show in {self.line!r}: {self.seen[-3000:]!r}")
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        os.kill(self.process, signal.SIGTERM)
        os.waitpid(self.process, 0)


program, folder, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
os.environ["HOME"] = folder
os.environ.pop("SKEIN_PASSWORD", None)
data = os.path.join(folder, "data")
began = time.monotonic()
server = subprocess.Popen([program, "serve", "--data", data, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
try:
    while "demo --data" not in server.stdout.readline():
        if server.poll() is not None or left() < 0:
            sys.exit("the server does not say what to try")
    started = time.monotonic()
    demo = subprocess.run([program, "demo", "--data", data], capture_output=True, text=True, timeout=left(), check=True).stdout
    lines = [line.strip() for line in demo.splitlines() if line.strip().startswith("SKEIN_PASSWORD=")]
    if len(lines) != 2:
        sys.exit(f"demo prints {len(lines)} lines to chat with: {demo}")
    ready = time.monotonic()
    ann, bo = (Terminal(line) for line in lines)
    for terminal in (ann, bo):
        terminal.until("online")
        terminal.type(f"/open {GROUP}\r")
        terminal.until("(2)")
    ann.type(f"{SAID}\r")
    bo.until(SAID)
    seen = time.monotonic()
    for terminal in (ann, bo):
        terminal.end()
finally:
    server.terminate()
    server.wait(10)
print(f"serve {started - began:.3f} s, demo {ready - started:.3f} s, terminals and message {seen - ready:.3f} s")
print(f"{seen - began:.3f}")

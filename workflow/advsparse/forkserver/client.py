"""``client.py ADDRESS SCRIPT``: has the fork server run a script, and ends as that does.

A file for a Python without its site, that imports little, as it runs once for each job.
"""

import array
import json
import os
import signal
import socket
import sys
import time

# What the server says: that a job has begun, and then its exit status as subprocess has it, on a
# line; or at once, that the job is not for it.
BEGUN, REFUSED = b"+", b"-"


def main() -> None:
    address, script = sys.argv[1:]
    asked = time.clock_gettime(time.CLOCK_BOOTTIME)
    # An interruption ends the job, which is of the same process group, and this one with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = ask(address, {"script": script, "asked": asked, "environment": dict(os.environ)})
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if status is None:
        os.execv(sys.executable, [sys.executable, script])
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def ask(address, job):
    """The exit status of a job, that of subprocess; None where no server takes it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(address)
            terminal = array.array("i", [0, 1, 2])
            server.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, terminal)])
            server.sendall(json.dumps(job).encode() + b"\n")
            begun = server.recv(1) == BEGUN
        except OSError:
            begun = False
        if not begun:
            return None
        status = server.recv(16)
    if not status:
        sys.exit("the process that started this job has ended: was it killed?")
    return int(status)


if __name__ == "__main__":
    main()

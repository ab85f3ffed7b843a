"""Processes that are killed while they work."""

import os
import signal
import subprocess
import sys
import time


def killed_children(script, *arguments, pauses):
    """After each pause, a child of the script has been killed; yields once for each.

    The script prints "ready" when its imports are behind it; then, for each line of its input, it forks a child that does the
    work, prints the child's process id, waits for its end and prints a line.
    """
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for pause in pauses:
            print(file=process.stdin, flush=True)
            child = int(process.stdout.readline())
            time.sleep(pause)
            os.kill(child, signal.SIGKILL)
            process.stdout.readline()
            yield

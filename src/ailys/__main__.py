"""The program: ``python -m ailys``, and the command ``ailys``."""

import os
import signal
import sys


def main() -> None:
    """Run the command line; an interrupt, whenever it comes, is one line and exit code 130."""
    try:
        from .cli import main as run

        run()
    except KeyboardInterrupt:  # before or after the command itself, which has a sentence of its own
        print("ailys: stopped", file=sys.stderr)
        _leave()
    except SystemExit as end:
        if end.code == 130:
            _leave()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: nothing is left to be stopped


def _leave() -> None:
    """End now with code 130: the interpreter may have noted the interrupt, and would end by the signal once more."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(130)


if __name__ == "__main__":
    main()

"""The program: ``python -m ailys``, and the command ``ailys``."""

import signal
import sys


def main() -> None:
    """Run the command line; an interrupt, whenever it comes, is one line and exit code 130."""
    try:
        from .cli import main as run

        run()
    except KeyboardInterrupt:  # before or after the command itself, which has a sentence of its own
        print("ailys: stopped", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: nothing is left to be stopped


if __name__ == "__main__":
    main()

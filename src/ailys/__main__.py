"""``python -m ailys``: the same as the command ``ailys``."""

from .cli import main

if __name__ == "__main__":
    main()

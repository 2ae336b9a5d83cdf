"""``python -m dlplug``."""

import sys

from dlplug.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m respool` is the command `respool`."""

import sys

from respool.command import main

if __name__ == "__main__":
    sys.exit(main())

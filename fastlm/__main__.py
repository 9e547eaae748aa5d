"""`python -m fastlm`: the command line."""

import sys

from fastlm.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m kedja` is the command `kedja`, also where scripts are not on the path."""

import sys

from kedja.cli import main

if __name__ == "__main__":
    sys.exit(main())

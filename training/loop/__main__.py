"""`python -m training.loop COMMAND`: from a believable drift to a better model, or to none.

  run      what drifted -> its labels -> a model trained anew -> the comparison -> a deployment, or a stop at the first doubt
  deploy   put a model live
  undo     put the one before it live again; closes the loop's way to deployments until `reset`
  reset    open that way again
  history  what was live when, by whom and why
  trace    from a logged prediction back to its model, the data and settings behind it, and who put it live
  replay   compute a logged prediction again, and compare its bits

COMMAND --help lists its settings. Exit status: 0 done; 1 something was found (the command says what); 2 a setting or a
file is wrong, or it can't be done; 130 ended by SIGINT or SIGTERM, where a command does not say otherwise.
"""

import os
import signal
import sys
from collections.abc import Mapping

from training.loop.settings import PROGRAM


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run one command; gives the exit status."""
    return PROGRAM.run(argv, environ, __doc__)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a command that ends in its own way has its own handler
    sys.exit(main(sys.argv[1:], os.environ))

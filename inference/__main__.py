"""`python -m inference`: serves the model at POST /predict, set up by variables that begin with OCCUPANCY_.

Exit status: 0 after SIGTERM or SIGINT; 2 a setting is wrong.
"""

import os
import sys
from pathlib import Path

import msgspec
from gunicorn.app.wsgiapp import run

from inference.settings import PREFIX, read
from occupancy.errors import InputError


def main(argv: list[str]) -> int:
    """Check the settings, then hand over to gunicorn with our configuration file."""
    try:
        chosen = read(argv, os.environ, __doc__ or "")
    except InputError as error:
        print(f"inference: {error}", file=sys.stderr)
        return 2
    # gunicorn's configuration file and its worker read them there
    os.environ.update({f"{PREFIX}{name.upper()}": str(value) for name, value in msgspec.structs.asdict(chosen).items()})
    # one reading is no work for several threads; waking them costs 90 times it
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.argv = ["gunicorn", "--config", str(Path(__file__).parent / "gunicorn.conf.py")]
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

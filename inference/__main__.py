"""`python -m inference`: serves the model at POST /predict, set up by variables that begin with OCCUPANCY_.

Exit status: 0 after SIGTERM or SIGINT; 2 a setting is wrong.
"""

import os
import sys
from pathlib import Path

import msgspec
from gunicorn.app.wsgiapp import run

from inference.settings import PREFIX, Settings
from occupancy import settings
from occupancy.errors import InputError


def main(argv: list[str]) -> int:
    """Check the settings, then hand over to gunicorn with our configuration file."""
    try:
        chosen = settings.read(
            Settings, prog="inference", argv=argv, environ=os.environ, prefix=PREFIX, about=__doc__ or ""
        )
    except InputError as error:
        print(f"inference: {error}", file=sys.stderr)
        return 2
    for name, value in msgspec.structs.asdict(
        chosen
    ).items():  # gunicorn's configuration file and worker read them there
        os.environ[f"{PREFIX}{name.upper()}"] = str(value)
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # one reading is no work for several threads; waking them costs 90 times it
    sys.argv = ["gunicorn", "--config", str(Path(__file__).parent / "gunicorn.conf.py")]
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

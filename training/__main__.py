"""`python -m training`: trains a model and saves it with its companions.

Exit status: 0 saved; 2 something given is wrong; 3 the gate refused the model; 130 ended by SIGINT, 143 by SIGTERM.
"""

import os
import signal
import sys
from types import FrameType

from occupancy import settings
from occupancy.errors import InputError
from training import trackers
from training.gate import GateRefused
from training.pipeline import train
from training.settings import Settings

BAD_INPUT, REFUSED, INTERRUPTED, TERMINATED = 2, 3, 128 + signal.SIGINT, 128 + signal.SIGTERM


class Terminated(BaseException):
    """SIGTERM came."""


def main(argv: list[str]) -> int:
    """Read the settings, train, and say in one line how it went."""
    signal.signal(signal.SIGTERM, _terminate)
    told = trackers.Trackers({})
    status = "failed"
    try:
        chosen = settings.read(Settings, prog="training", argv=argv, environ=os.environ, about=__doc__ or "")
        told = trackers.load(chosen.trackers, chosen.save_path)
        saved, simulated = train(chosen, told)
        status = "finished"
    except GateRefused as error:
        status = "refused"
        return _fail(error, REFUSED)
    except InputError as error:
        return _fail(error, BAD_INPUT)
    except (Terminated, KeyboardInterrupt) as signalled:
        status = "terminated"
        why = "ended by a signal; the current set in SAVE_PATH is whole"
        return _fail(why, TERMINATED if isinstance(signalled, Terminated) else INTERRUPTED)
    finally:
        told.end(status)
    print(f"training: saved {saved} (the newest is also {chosen.save_path}/model.ubj, report.html, ...)")
    if simulated:
        print("training: SIMULATED DATA: this model says nothing about a real room; `make data` fetches real data")
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def _fail(why: object, status: int) -> int:
    print(f"training: {why}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

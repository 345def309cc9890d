"""The page to try it with: a file, and in it what the code knows of sensors and scenes."""

from pathlib import Path

import msgspec

from inference.scenes import SCENES
from occupancy.reading import DERIVED, FEATURES, NAMES, typical

PAGE = Path(__file__).with_name("page.html")
_MARK = b"__KNOWN__"
_SCENES = SCENES | {"lamp on, fresh air": typical(Temperature=22.0, Humidity=25.8, Light=420, CO2=470)}


def html() -> bytes:
    """Fill the page; the model that answers tells the rest at GET /model."""
    known = {
        "LOOKS": {f.name: {"label": f.label, "step": f.step, "usual": f.usual} for f in FEATURES},
        "SCENES": {scene: {n: r[n] for n in NAMES if n in r} for scene, r in _SCENES.items()},
        "DERIVED": DERIVED,
    }
    return PAGE.read_bytes().replace(_MARK, msgspec.json.encode(known))

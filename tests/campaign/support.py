"""The tests' own helpers, which lie beside this folder, whether pytest or `python -m tests.campaign` runs it."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from image_files import float_predicted, png_bytes, tags, tiff_bytes  # noqa: E402
from page_support import blobs, save_networks  # noqa: E402

__all__ = ["ROOT", "blobs", "float_predicted", "png_bytes", "save_networks", "tags", "tiff_bytes"]

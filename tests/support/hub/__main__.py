"""The test Hub by hand: `python -m tests.support.hub 8931 FOLDER` serves a folder as the model org/<its name>."""

import sys
from pathlib import Path

from . import HubServer

hub = HubServer(int(sys.argv[1]))
hub.add(f"org/{Path(sys.argv[2]).resolve().name}", sys.argv[2])
print(f"HF_ENDPOINT={hub.endpoint}", flush=True)
hub.serve()

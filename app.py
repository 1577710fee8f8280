"""The page, as `python app.py` and as a Hugging Face Space.

The networks are those in `weights/`; `UNET_MODEL`, `UNETPP_MODEL` and `UNET_SMALL_MODEL` name others (a folder, or
"owner/name@revision").
`--device` says where they run: cpu, cuda, cuda:1 or mps; by default on a GPU if there is one.
`GRADIO_SERVER_NAME` and `GRADIO_SERVER_PORT` say where it listens; by default http://127.0.0.1:7860.
"""

import argparse
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps; default: auto")
    networks = Networks(device=parser.parse_args().device)
    print(f"The networks run on {networks['unet'].device}.", flush=True)
    launch(build(networks))

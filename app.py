"""The page, as `python app.py` and as a Hugging Face Space.

The networks are those in `weights/`; `UNET_MODEL` and `UNETPP_MODEL` name others (a folder, or "owner/name@revision").
`GRADIO_SERVER_NAME` and `GRADIO_SERVER_PORT` say where it listens; by default http://127.0.0.1:7860.
"""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks

if __name__ == "__main__":
    launch(build(Networks()))

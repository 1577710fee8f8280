"""`nuclei page`: the page in this computer's browser, or served to others."""

import os

from . import console
from .console import complain, say


def serve(host: str | None, port: int | None, browser: bool, device: str | None = None) -> int:
    """Serve the page until Ctrl-C. -> exit code."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio  # noqa: F401 - first, so that the remedy fits what is missing
    except ImportError as error:
        complain(f'Error: The page needs more packages ({error}): pip install "nuclei-models[app]".')
        return console.WRONG_USAGE
    from nuclei_models.model.repository import HubError
    from nuclei_models.page.layout import build, launch
    from nuclei_models.page.networks import Networks

    try:
        say("Loading the networks ..")
        networks = Networks(device=device)
        say(f"They run on {networks['unet'].device}.")
        launch(build(networks), server_name=host, server_port=port, inbrowser=browser)
    except (HubError, OSError, ValueError) as error:  # a model that UNET_MODEL names, a port that is taken, a device
        complain(f"Error: {error}")
        return console.WRONG_USAGE
    except KeyboardInterrupt:
        pass
    return console.OK

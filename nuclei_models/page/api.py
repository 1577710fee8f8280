"""The page's one public endpoint: an image and settings in, labels and figures out, nothing remembered."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from ..images.reader import read
from ..inference.bundled import DEFAULT_KEY
from ..inference.segmentation import median_diameter
from ..inference.settings import RunSettings
from ..inference.stains import stain_note
from ..output.export import label_tiff
from ..version import __version__
from .inputs import told, written
from .limits import MAX_PIXELS
from .networks import Cancelled, Networks

Watch = Callable[[gr.Request | None], AbstractContextManager[Callable[[], None]]]


class Api:
    """The endpoint, with the networks that it runs, and what watches over a caller's run (`Visitors.call`)."""

    def __init__(self, networks: Networks, watch: Watch):
        self.networks, self.watch = networks, watch

    def segment(
        self,
        image: str,
        network: str = DEFAULT_KEY,
        threshold: float | None = None,
        separation: float | None = None,
        min_area: float | None = None,
        diameter: float | None = None,
        tta: bool = False,
        z: int | None = None,
        t: int | None = None,
        channel: int | None = None,
        series: int | None = None,
        least_confidence: float | None = None,
        request: gr.Request | None = None,
    ) -> tuple[str, dict]:
        """Find every nucleus of an image.

        Args:
            image: TIFF, PNG, JPEG, BMP or WebP, a slide, or a microscope's own file.
            network: "unet", "unetpp" or, where it is there, "unet-small".
            threshold: Probability above which a pixel is nucleus; empty takes the fitted one, as below.
            separation: Higher cuts touching nuclei apart more.
            min_area: Smaller nuclei are dropped, pixels.
            diameter: Typical nuclear diameter, pixels; empty is automatic.
            tta: Test-time augmentation, at 8 times the cost.
            z: Z plane, from 0; empty takes the middle one.
            t: Time point, from 0; empty takes the first.
            channel: From 0; empty takes the one named for a nuclear stain, or if no name tells the one in which the
                network is surest. Of a colour image 0 is red, 1 green and 2 blue, and empty takes all three.
            series: Which of several images in the file, from 0; empty takes the first.
            least_confidence: Less sure nuclei are left out, 0 to 1; 0 keeps all, empty takes the fitted one.

        Returns:
            The label image as TIFF, and a dictionary: the count, the settings as they were applied, the model, and what
            was noted about the file.
        """
        if network not in self.networks.by_key:
            known = " or ".join(repr(key) for key in self.networks.by_key)
            raise gr.Error(f"network is {escape(repr(network))}, expected {known}.", print_exception=False)
        if not image:
            raise gr.Error("No image was given.", print_exception=False)
        with told():
            chosen = {"z": _whole(z), "t": _whole(t), "channel": _whole(channel), "series": _whole(series)}
            read_image = read(image, max_pixels=MAX_PIXELS, **chosen)
        used, taken = self.networks[network], ""
        try:
            least = used.processor.least_applied(least_confidence)  # refused before the work
            with self.watch(request) as check:
                if chosen["channel"] is None:
                    place = chosen["z"], chosen["t"], chosen["series"]
                    chosen["channel"], taken = self.networks.find_channel(network, image, *place, check)
                    read_image = read(image, max_pixels=MAX_PIXELS, **chosen) if taken else read_image
                settings = RunSettings(diameter, bool(tta))
                size = read_image.pixel_size
                maps = self.networks.predict(network, read_image.pixels, settings, check=check, pixel_size=size)
            applied = used.processor.cut_values(maps.pixel_area, threshold, separation, min_area)
            labels: np.ndarray = used.processor.instances(maps, *applied, least)
        except Cancelled:
            raise gr.Error("Cancelled: the caller has gone.", print_exception=False) from None
        except ValueError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error

        facts = {
            "nuclei": int(labels.max(initial=0)),
            "network": network,
            "model": used.source,
            "revision": used.revision or None,
            "weights_sha256": used.sha256,
            "nuclei_models": __version__,
            "threshold": applied[0],
            "separation": applied[1],
            "min_area": applied[2],
            "least_confidence": least,
            "diameter": maps.diameter.facts()["diameter_assumed_px"],
            "diameter_given": diameter,
            "diameter_trust": round(maps.diameter.trust, 3),
            "doubt": maps.diameter.doubt(median_diameter(labels)),
            "tta": bool(tta),
            "plane": read_image.plane,
            "channels": list(read_image.channels),
            "pixel_size_um": read_image.pixel_size,
            "stain": maps.stain,
            "notes": [*read_image.notes, *filter(None, [taken, stain_note(maps.stain)])],
        }
        name = f"{Path(read_image.name).stem}_{network}_labels.tif"
        return written(name, label_tiff(labels, read_image.pixel_size), request), facts


def _whole(number: float | None) -> int | None:
    """JSON knows no whole numbers."""
    return None if number is None else int(number)

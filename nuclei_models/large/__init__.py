"""Images larger than memory: read by window, segmented block by block, nuclei joined without seams, written by block.

    from nuclei_models.jobs.settings import settings_for
    from nuclei_models.large import segment_large

    segment_large("slide.ome.tif", "results", settings_for("weights/unetpp-nuclei"))

The result does not depend on how the image is cut into blocks, nor on who works on them; docs/large.md tells how.
"""

from .segmentation import Large, segment_large

__all__ = ["Large", "segment_large"]

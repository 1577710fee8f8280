"""Every limit of the page, in one place, and what visitors are told of them."""

import os

MAX_FILE_BYTES = 100 * 2**20  # of an upload
MAX_PIXELS = 4096 * 4096  # of the plane that is segmented; larger images are for the library
MAX_WORK = 2 * MAX_PIXELS  # pixels as a network sees them, rescaled to nuclei it knows, times the views of augmentation
SLOW_PIXELS = 2048 * 2048  # above it the page says beforehand that it will take a while
SHOWN_SIDE = 2048  # longer side of the whole image as sent to the browser, pixels
TILE_SIDE = 1024  # of a part of it that is sent when one looks closely, pixels
THUMBNAIL_SIDE = 160  # of an example, pixels

ON_SPACE = bool(os.environ.get("SPACE_ID"))  # Hugging Face sets it; there many share one machine
SET_IMAGES = 20 if ON_SPACE else 100  # of several images at once
SET_PIXELS = (1 if ON_SPACE else 3) * MAX_PIXELS  # of their planes together; what networks say of them stays in memory
SET_BYTES = (100 if ON_SPACE else 400) * 2**20  # of their files together, unpacked
ZIP_ENTRIES = 10_000  # files in a zip that are looked at

QUEUE = 20  # waiting visitors; one more is told to come back
CUTS = 2  # visitors whose maps are cut into nuclei anew at once, as they move a slider
SESSIONS = 50  # visitors whose state is held at once
STATE_SECONDS = 30 * 60  # after which an idle visitor's image is forgotten
STATE_BYTES = 2 * 2**30  # all visitors' images and maps; beyond it the oldest are forgotten
MAX_REQUEST_BYTES = 2**20  # of a request that is no upload
MAX_VISITOR_BYTES = 2**30  # of files that one visitor has on the disk at once, uploaded and made
MAX_DISK_BYTES = 16 * 2**30  # of files that all visitors have there at once
MIN_FREE_BYTES = 2 * 2**30 if ON_SPACE else 200 * 2**20  # of the disk; with less, uploads are refused
CACHE_SECONDS = (600, 3600)  # how often uploaded and made files are looked at, and how old they get
SWEEP_SECONDS = 60  # age of the empty files and folders that are left when those are deleted

TABLE_ROWS = 500  # drawn in the table at once; sorting is over all rows, and the CSV has them all
SEGMENT_SECONDS = 120  # asked of a shared GPU for one run
RUN_SECONDS = 600  # of one network on one image, after which the run is ended

COMMAND = "nuclei segment FILE --out DIR"  # for what is beyond the page


def beyond() -> str:
    """What to do with a file too large for the page, as HTML."""
    return (
        f"Up to {MAX_FILE_BYTES / 2**20:.0f} MB and {MAX_PIXELS / 1e6:.0f} megapixels a plane; several images or a "
        f"zip: up to {SET_IMAGES}, {SET_PIXELS / 1e6:.0f} megapixels in all. For more there is the command line: "
        f"<code>{COMMAND}</code>"
    )


def told() -> str:
    """The limits that a visitor may meet, as Markdown."""
    minutes = (STATE_SECONDS // 60, sum(CACHE_SECONDS) // 60, RUN_SECONDS // 60)
    return (
        f"**Limits.** Files up to {MAX_FILE_BYTES / 2**20:.0f} MB and {MAX_PIXELS / 1e6:.0f} megapixels a plane. "
        f"Several at once: up to {SET_IMAGES} images, {SET_PIXELS / 1e6:.0f} megapixels and {SET_BYTES / 2**20:.0f} MB "
        f"in all, unpacked. One image is worked on at a time, for up to {minutes[2]} minutes a network; up to {QUEUE} "
        f"wait, and you see your place in the queue. You can have {MAX_VISITOR_BYTES / 2**20:,.0f} MB of files on this "
        f"server at once. "
        f"Your image is forgotten after {minutes[0]} minutes, earlier if many visitors are here; "
        f"files you uploaded or made are deleted from the disk within {minutes[1]} minutes."
    )

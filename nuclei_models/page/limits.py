"""Every limit of the page, in one place."""

MAX_FILE_BYTES = 100 * 2**20  # of an upload
MAX_PIXELS = 4096 * 4096  # of the plane that is segmented; larger images are for the library
SLOW_PIXELS = 2048 * 2048  # above it the page says beforehand that it will take a while
SHOWN_SIDE = 1024  # longer side of the pictures as sent to the browser, pixels
THUMBNAIL_SIDE = 160  # of an example, pixels

QUEUE = 20  # waiting visitors; one more is told to come back
SESSIONS = 50  # visitors whose state is held at once
STATE_SECONDS = 30 * 60  # after which an idle visitor's image is forgotten
STATE_BYTES = 2 * 2**30  # all visitors' images and maps; beyond it the oldest are forgotten
CACHE_SECONDS = (600, 3600)  # how often uploaded and made files are looked at, and how old they get

TABLE_ROWS = 500  # drawn in the table at once; sorting is over all rows, and the CSV has them all
SEGMENT_SECONDS = 120  # asked of a shared GPU for one run

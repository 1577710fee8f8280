"""What an image file is: its first bytes show it, whatever its extension is."""

from typing import BinaryIO

from .series import ImageError
from .vendor import EXTENSIONS, KINDS

SUPPORTED_EXTENSIONS: tuple[str, ...] = (
    ".tif",
    ".tiff",
    ".btf",
    ".tf8",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".webp",
    ".gif",
)
SUPPORTED_EXTENSIONS += (".svs", ".ndpi", ".scn", ".qptiff", ".lsm", ".stk", *EXTENSIONS)

FORMATS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
} | KINDS
_CONVERT = "Open it in Fiji (File > Import > Bio-Formats) and save it as TIFF or OME-TIFF."
# where, first bytes, what it is, what to do
_REFUSED = [
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 or old Nikon ND2 file", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 file", _CONVERT),
    (0, b"\xd0\xcf\x11\xe0", "an Olympus OIB, Zeiss ZVI or Office file", _CONVERT),
    (0, b"\x89HDF", "an HDF5 or Imaris file", _CONVERT),
    (128, b"DICM", "a DICOM file", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", "Save it with tifffile.imwrite as TIFF."),
    (0, b"%PDF", "a PDF", "Export the image from the program it was made with as TIFF or PNG."),
    (0, b"%!PS", "a PostScript file", "Export the image from the program it was made with as TIFF or PNG."),
    (0, b"PK\x03\x04", "a zip archive or Office document", "Unpack it and give one of the images in it."),
    (0, b"\x1f\x8b", "a gzip archive", "Unpack it and give one of the images in it."),
    (0, b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it and give one of the images in it."),
    (0, b"Rar!", "a RAR archive", "Unpack it and give one of the images in it."),
    (4, b"ftyp", "a HEIC, AVIF or video file", "Save it as JPEG, PNG or TIFF."),
    (0, b"<", "a web page, SVG or other text", "Save the image itself, as TIFF, PNG or JPEG."),
]
_KNOWN = "expected TIFF, OME-TIFF, PNG, JPEG, BMP, WebP or GIF"


def recognised(file: BinaryIO, size: int) -> str:
    """The format of a file of a known size: a value of `FORMATS`, or "WebP". Raises an ImageError for anything else,
    naming what it is."""
    if size == 0:
        raise ImageError(f"It is empty (0 bytes), {_KNOWN}. Copy or download it again.")
    head = file.read(140)
    for magic, format in FORMATS.items():
        if head.startswith(magic):
            return format
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    for offset, magic, what, advice in _REFUSED:
        if head[offset:].startswith(magic):
            raise ImageError(f"It is {what}, {_KNOWN}. {advice}")
    raise ImageError(f"It is no image that is known here, {_KNOWN}. If it is a microscope's own format: {_CONVERT}")

"""OME-XML, the description in an OME-TIFF -> axes, planes, channel names and pixel size (schema 2016-06 and before)."""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

MAX_XML = 32_000_000  # characters

MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4}
MICROMETRES |= {"in": 25400.0, "inch": 25400.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0}
_PLAUSIBLE = (1e-4, 1e3)  # micrometres


@dataclass(frozen=True)
class Planes:
    """A run of planes on pages that follow each other: `count` from page `page` on (`None`: all that there are)."""

    page: int
    count: int | None
    first: dict[str, int]


@dataclass(frozen=True)
class OmeImage:
    """One image.

    Attributes:
        axes: "T", "Z" and "C", slowest first.
        sizes: Planes along each; colours count as channels.
        planes: Those in this file.
        pixel_size: (y, x) in micrometres.
        notes: Sentences for the user.
    """

    name: str
    axes: str
    sizes: dict[str, int]
    planes: list[Planes]
    channel_names: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    notes: tuple[str, ...]


def read_ome(xml: str, file_name: str) -> list[OmeImage]:
    """The images of an OME-XML document.

    Args:
        file_name: Of the file that holds it: a set of OME-TIFFs shares one document, and other files aren't opened.

    Raises:
        ValueError, KeyError, ElementTree.ParseError: It isn't OME-XML as the schema says.
    """
    if len(xml) > MAX_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ValueError(f"OME-XML of {len(xml)} characters or with a document type: not read")
    root = ElementTree.fromstring(xml.encode())
    own_uuid = root.get("UUID")
    files = {uuid.get("FileName") for uuid in root.iter() if _name(uuid) == "UUID"}
    images = []
    for image in _children(root, "Image"):
        for pixels in _children(image, "Pixels"):
            own = []
            for data in _children(pixels, "TiffData"):
                uuid = next(_children(data, "UUID"), None)
                renamed = len(files) == 1  # a set of one file, whatever it is called by now
                if uuid is None or renamed or uuid.text == own_uuid or uuid.get("FileName") == file_name:
                    own.append(_planes(data))
            axes = pixels.attrib["DimensionOrder"][:1:-1]
            channels = [c.get("Name") or "" for c in _children(pixels, "Channel")]
            size, notes = _pixel_size(pixels)
            images.append(
                OmeImage(
                    name=image.get("Name") or "",
                    axes=axes,
                    sizes={axis: int(pixels.attrib[f"Size{axis}"]) for axis in axes},
                    planes=own,
                    channel_names=tuple(channels),
                    pixel_size=size,
                    notes=notes,
                )
            )
    return images


def plausible(y: float, x: float) -> tuple[float, float] | None:
    """A pixel size in micrometres, if it may be one; `None` for 0, NaN, or one that no microscope has."""
    low, high = _PLAUSIBLE
    return (y, x) if low <= y <= high and low <= x <= high else None


def _planes(data: ElementTree.Element) -> Planes:
    count = data.get("PlaneCount", data.get("NumPlanes"))
    if count is None and "IFD" in data.attrib:
        count = "1"
    return Planes(
        page=int(data.get("IFD", 0)),
        count=None if count is None else int(count),
        first={axis: int(data.get(f"First{axis}", 0)) for axis in "TZC"},
    )


def _pixel_size(pixels: ElementTree.Element) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """(y, x), and what is to be said of it."""
    sizes = {}
    for axis in "YX":
        unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        stated = pixels.get(f"PhysicalSize{axis}")
        if unit is not None and stated is not None:
            sizes[axis] = float(stated) * unit
    if len(sizes) == 1:
        (axis, size), other = next(iter(sizes.items())), "Y" if "X" in sizes else "X"
        note = f"It says how large a pixel is along {axis} ({size:g} µm) and not along {other}: taken for square."
        return (found, (note,)) if (found := plausible(size, size)) else (None, ())
    return (plausible(*sizes.values()) if sizes else None), ()


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if _name(child) == name)


def _name(element: ElementTree.Element) -> str:
    """Without the namespace, which holds the schema's version."""
    return element.tag.rpartition("}")[2]

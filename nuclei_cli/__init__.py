"""The command `nuclei`: what can be said on the command line. Each command's work is a module of its name.

It is a package of its own, beside `nuclei_models`, so that help and mistakes are answered at once: the networks and
torch are imported when a command has something for them to do.
"""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="nuclei",
    help="Find every cell nucleus in microscopy images.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

NETWORK, PLANE, KEPT, NUMBERS, RUN = "Network", "Plane of the file", "Nuclei that are kept", "Numbers", "Run"
HELD_OUT, TRUTH = "What is measured on", "Truth"
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="unet-nuclei, unetpp-nuclei, unet-small-nuclei, a folder, or owner/name@revision on the Hub. "
        "Default: unet-nuclei.",
        rich_help_panel=NETWORK,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:1 or mps. Default: a GPU if there is one.",
        rich_help_panel=NETWORK,
    ),
]


def _option(help: str, panel: str | None = None, metavar: str | None = None, flags: tuple[str, ...] = (), **more):
    return typer.Option(*flags, help=help, rich_help_panel=panel, metavar=metavar, **{"show_default": False} | more)


@app.command()
def segment(
    images: Annotated[list[str], typer.Argument(metavar="IN...", help="Images, folders, or globs in quotes.")],
    out: Annotated[Path, _option("Folder of the results.", metavar="DIR", show_default=True)] = Path("results"),
    recursive: Annotated[bool, _option("Folders within folders, too.", flags=("--recursive", "-r"))] = False,
    save: Annotated[
        str, _option("What to write: labels, csv, roi, geojson, overlay, coloured.", metavar="KINDS", show_default=True)
    ] = "labels,csv,overlay",
    model: Model = None,
    threshold: Annotated[
        float | None, _option("Probability above which a pixel is nucleus. Default: as fitted.", NETWORK, "0..1")
    ] = None,
    separation: Annotated[
        float | None, _option("Higher cuts touching nuclei apart more. Default: as fitted.", NETWORK, "0..1")
    ] = None,
    min_area: Annotated[
        float | None, _option("Drop nuclei of fewer pixels. Default: as fitted, by nuclear size.", NETWORK, "PIXELS")
    ] = None,
    diameter: Annotated[
        float | None, _option("Typical nuclear diameter. Default: estimated from each image.", NETWORK, "PIXELS")
    ] = None,
    level: Annotated[
        int | None, _option("Prune a U-Net++; 1 is the fastest. Default: the whole network.", NETWORK, "LEVEL")
    ] = None,
    tta: Annotated[bool, _option("Mean over 8 turns and flips: 8 times slower.", NETWORK, flags=("--tta",))] = False,
    tile: Annotated[
        int | None,
        _option("Larger images go tile by tile. Default: as the memory here allows.", NETWORK, "PIXELS", min=64),
    ] = None,
    precision: Annotated[
        str, _option("auto, float32 or bfloat16. auto is the fastest here.", NETWORK, "KIND", show_default=True)
    ] = "auto",
    device: Device = None,
    series: Annotated[
        int | None, _option("Which image of a file with several, from 0. Default: the first.", PLANE, "N", min=0)
    ] = None,
    z: Annotated[
        str | None, _option("Z plane, from 0; all of them; or their maximum. Default: the middle.", PLANE, "N|all|max")
    ] = None,
    t: Annotated[str | None, _option("Time point, from 0, or all. Default: the first.", PLANE, "N|all")] = None,
    link_planes: Annotated[
        bool,
        _option("With --z all: nuclei that overlap in neighbouring planes are one.", PLANE, flags=("--link-planes",)),
    ] = False,
    track: Annotated[
        bool,
        _option(
            "With --t all: a nucleus has one number in all frames; divisions are noted.", PLANE, flags=("--track",)
        ),
    ] = False,
    max_step: Annotated[
        float | None,
        _option("With --track: how far a nucleus moves from frame to frame. Default: its diameter.", PLANE, "PIXELS"),
    ] = None,
    channel: Annotated[
        int | None,
        _option(
            "From 0; of a colour image 0 red, 1 green, 2 blue. Default: one named for a nuclear stain, or the surest; "
            "of a colour image all three, or of several stains merged in one picture the colour with the nuclei.",
            PLANE,
            "N",
            min=0,
        ),
    ] = None,
    pixel_size: Annotated[
        float | None, _option("Side of a pixel. Default: as the file says.", PLANE, "MICROMETRES", min=1e-4, max=1e3)
    ] = None,
    exclude_edge: Annotated[
        bool, _option("Leave out nuclei that touch the image's edge.", KEPT, flags=("--exclude-edge",))
    ] = False,
    smallest: Annotated[
        float | None, _option("Leave out smaller ones; µm² if the pixel size is known, else pixels.", KEPT, "AREA")
    ] = None,
    largest: Annotated[float | None, _option("Leave out larger ones.", KEPT, "AREA")] = None,
    min_roundness: Annotated[
        float | None, _option("Leave out less round ones; 1 is a disc, 4 pi area / perimeter².", KEPT, "0..1")
    ] = None,
    min_confidence: Annotated[float | None, _option("Leave out less sure ones; 0 keeps all.", KEPT, "0..1")] = None,
    ring: Annotated[
        float, _option("Measure a ring around each nucleus, too, this wide.", NUMBERS, "PIXELS", min=0)
    ] = 0,
    regions: Annotated[
        Path | None,
        _option(
            "Count in regions: ImageJ ROIs (.roi, .zip), GeoJSON, a mask or a label image; one file for all images, or "
            "a folder with files of the images' names.",
            NUMBERS,
            "PATH",
        ),
    ] = None,
    decimal_comma: Annotated[
        bool,
        _option("CSV files with decimal commas and semicolons between cells.", NUMBERS, flags=("--decimal-comma",)),
    ] = False,
    scheduler: Annotated[
        str | None,
        _option("Spread the work with Dask: tcp://host:port, or local:N for N processes here.", RUN, "ADDRESS"),
    ] = None,
    overwrite: Annotated[
        bool, _option("Do again what is done; replace other files in DIR.", RUN, flags=("--overwrite",))
    ] = False,
    quiet: Annotated[bool, _option("Say only what fails.", RUN, flags=("--quiet", "-q"))] = False,
) -> None:
    """Segment images: label image, measurements and overlay of each.

    Given again, the command goes on where it stopped: an image is skipped if it, the settings and the weights are as
    they were.

    Exit code: 0 all is done, 1 some images failed (failures.csv lists them), 2 wrong usage, 3 stopped before the end.
    """
    with _importing():
        from .segment import segment_images

    options: dict[str, Any] = {
        "threshold": threshold,
        "separation": separation,
        "min_area": min_area,
        "diameter": diameter,
    }
    options |= {"level": level, "tta": tta, "tile": tile, "precision": precision, "device": device}
    options |= {"series": series, "channel": channel, "linked": link_planes, "pixel_size": pixel_size}
    options |= {"tracked": track, "max_step": max_step}
    options |= {"z": _plane(z, "--z", ("all", "max")), "t": _plane(t, "--t", ("all",))}
    options["regions"] = None if regions is None else str(regions.expanduser().absolute())
    options |= {"ring": ring, "decimal": "," if decimal_comma else "."}
    kept = {"exclude_edge": exclude_edge, "smallest": smallest, "largest": largest}
    kept |= {"min_roundness": min_roundness, "min_confidence": min_confidence}
    options["save"] = tuple(dict.fromkeys(kind.strip() for kind in save.split(",") if kind.strip()))
    raise typer.Exit(segment_images(images, out, recursive, model, options, kept, scheduler, overwrite, quiet))


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Your images with their truth.")],
    out: Annotated[Path, _option("Folder of the new model.", metavar="DIR")],
    model: Annotated[
        str | None,
        _option("The network to begin with, as for segment. Default: unet-nuclei.", metavar="MODEL"),
    ] = None,
    minutes: Annotated[
        float, _option("Time for everything together; it is kept.", metavar="MINUTES", min=0.1, show_default=True)
    ] = 20.0,
    held_out: Annotated[
        Path | None, _option("Measure on these images; none of them is trained on.", HELD_OUT, "FOLDER")
    ] = None,
    group: Annotated[
        str | None,
        _option("What names of one patient or slide share; such images stay on one side.", HELD_OUT, "REGEX"),
    ] = None,
    binary_masks: Annotated[
        bool, _option("Take the connected parts of masks for nuclei.", TRUTH, flags=("--binary-masks",))
    ] = False,
    channel: Annotated[int | None, _option("As for segment.", PLANE, "N", min=0)] = None,
    seed: Annotated[int, _option("Of all that is drawn at random.", RUN, "N", show_default=True)] = 0,
    device: Annotated[
        str | None, _option("cpu: leave a GPU alone. Default: a GPU if there is one.", RUN, "cpu")
    ] = None,
    overwrite: Annotated[bool, _option("Begin anew; replace what is in DIR.", RUN, flags=("--overwrite",))] = False,
    quiet: Annotated[bool, _option("Say only what fails.", RUN, flags=("--quiet", "-q"))] = False,
) -> None:
    """Train a network on your own images, and keep it only if it is better than the one it began with.

    FOLDER holds images/ and labels/ or masks/, or x.tif beside x_labels.tif, x_masks.tif, x_seg.npy, x_rois.zip or
    x.geojson, or the Bowl's folders. All is checked first. A part of the images is held out, and what is better there,
    before or after training, becomes DIR: a model for segment --model DIR, with README.md and report.html.

    Ctrl-C keeps the best so far. Given again, the command goes on where it stopped.

    Exit code: 0 all is done, 2 wrong usage or images, 3 stopped before the end, 130 stopped by you.
    """
    with _importing():
        from .train import train_model

    options: dict[str, Any] = {"held_out": held_out, "group": group, "binary_masks": binary_masks, "channel": channel}
    options |= {"device": device, "overwrite": overwrite}
    raise typer.Exit(train_model(folder, out, model, minutes, seed, options, quiet))


@contextmanager
def _importing() -> Iterator[None]:
    """Modules are many objects that stay: Python is not to search them for garbage while they come, nor later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _plane(text: str | None, option: str, words: tuple[str, ...]) -> int | str | None:
    if text is None or text in words:
        return text
    if not text.isascii() or not text.isdigit():
        raise typer.BadParameter(f"{text!r}: expected a number from 0, or {' or '.join(words)}.", param_hint=option)
    return int(text)


@app.command()
def info(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|MODEL]", help="An image file, or a model as in --model.", show_default=False),
    ] = None,
    model: Model = None,
    series: Annotated[int | None, _option("Which image of a file with several, from 0.", metavar="N", min=0)] = None,
    as_json: Annotated[bool, _option("Print JSON.", flags=("--json",))] = False,
) -> None:
    """Tell what is in an image file or in a model; without one, what runs here: versions, and whether there is a GPU.

    An image's nuclear diameter is estimated by the --model that would segment it.
    """
    with _importing():
        from .info import tell

    raise typer.Exit(tell(what, model, as_json, series))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A label image, or a folder of them: the truth.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, as found.")],
    out: Annotated[Path | None, _option("Folder for comparison.csv: all figures of all images.", metavar="DIR")] = None,
    threshold: Annotated[
        float, _option("IoU from which two nuclei are the same.", metavar="0.5..1", min=0.5, max=1, show_default=True)
    ] = 0.5,
) -> None:
    """Compare two label images, or two folders of them, image by image.

    Images are paired by their names; "_labels" behind a name and its ending don't count.
    """
    with _importing():
        from .compare import compare_all

    raise typer.Exit(compare_all(Path(a), Path(b), out, threshold))


@app.command()
def export(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="As --model of segment.")] = None,
    onnx: Annotated[bool, _option("ONNX: any size, logits out.", flags=("--onnx",))] = False,
    torchscript: Annotated[bool, _option("TorchScript, likewise.", flags=("--torchscript",))] = False,
    bioimageio: Annotated[
        bool, _option("A package for bioimage.io: both of these, the weights, and a test.", flags=("--bioimageio",))
    ] = False,
    out: Annotated[Path, _option("Folder of the files.", metavar="DIR", show_default=True)] = Path("exported"),
) -> None:
    """Write a network for other programs.

    ONNX and bioimage.io need the extra [onnx].
    """
    with _importing():
        from .export import export as write

    chosen = {"onnx": onnx, "torchscript": torchscript, "bioimageio": bioimageio}
    raise typer.Exit(write(model, [kind for kind, wanted in chosen.items() if wanted], out))


@app.command()
def page(
    host: Annotated[
        str | None, _option("Where it listens. Default: 127.0.0.1, this computer alone.", metavar="ADDRESS")
    ] = None,
    port: Annotated[
        int | None, _option("Default: the first free one from 7860.", metavar="N", min=1, max=65535)
    ] = None,
    browser: Annotated[bool, _option("Open it in the browser.", flags=("--browser",))] = False,
    device: Device = None,
) -> None:
    """Open the page: both networks side by side on an image that you drop.

    It needs the extra [app]. UNET_MODEL and UNETPP_MODEL name other networks than the bundled ones.
    """
    with _importing():
        from .page import serve

    raise typer.Exit(serve(host, port, browser, device))


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how clusters end a job: as Ctrl-C does
    app()

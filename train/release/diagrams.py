"""Draw both networks, shapes read off the models themselves, as docs/unet.svg and docs/unetpp.svg.

python -m train.release.diagrams --out docs
"""

import argparse
from pathlib import Path

import torch

from nuclei_models import UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig

INK, DOWN, UP, SKIP, SUPERVISED = "#24292f", "#0072B2", "#009E73", "#8c959f", "#D55E00"
STYLE = f"""<style>
text {{ font: 13px system-ui, sans-serif; fill: {INK}; text-anchor: middle }}
.small {{ font-size: 11px }} .title {{ font-size: 15px; font-weight: 600 }}
rect {{ stroke: {INK}; stroke-width: 1; rx: 3 }}
line, path {{ stroke-width: 1.8; fill: none }}
</style>"""


class Canvas:
    """SVG elements, in drawing order."""

    def __init__(self, width: int, height: int):
        self.width, self.height, self.parts = width, height, [STYLE]
        for name, colour in (("down", DOWN), ("up", UP), ("skip", SKIP), ("head", SUPERVISED)):
            self.parts.append(
                f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" orient="auto">'
                f'<path d="M0 0L8 4L0 8z" style="fill: {colour}; stroke: none"/></marker>'
            )

    def box(self, x: float, y: float, w: float, h: float, fill: str) -> None:
        self.parts.append(
            f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{words}</text>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float, kind: str, bend: float = 0) -> None:
        colour = {"down": DOWN, "up": UP, "skip": SKIP, "head": SUPERVISED}[kind]
        middle = f"Q{(x1 + x2) / 2:.1f} {(y1 + y2) / 2 - bend:.1f}" if bend else "L"
        dash = ' stroke-dasharray="5 4"' if kind == "skip" else ""
        self.parts.append(
            f'<path d="M{x1:.1f} {y1:.1f}{middle} {x2:.1f} {y2:.1f}" stroke="{colour}"{dash} '
            f'marker-end="url(#{kind})"/>'
        )

    def svg(self, title: str) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img">'
            f"<title>{title}</title>"
            f'<rect width="{self.width}" height="{self.height}" style="fill: white; stroke: none; rx: 0"/>'
            + "\n".join(self.parts)
            + "</svg>\n"
        )


def shapes(model: torch.nn.Module, modules: dict[str, torch.nn.Module], size: int) -> dict[str, tuple[int, ...]]:
    """(C, H, W) that each module puts out for an input of size x size."""
    seen: dict[str, tuple[int, ...]] = {}
    hooks = [
        module.register_forward_hook(lambda m, i, out, name=name: seen.__setitem__(name, tuple(out.shape[1:])))
        for name, module in modules.items()
    ]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, model.config.num_channels, size, size))
    for hook in hooks:
        hook.remove()
    return seen


def draw_unet(size: int = 572) -> str:
    model = UNet(UNetConfig())
    depth = model.config.depth
    modules = {f"down{i}": block for i, block in enumerate(model.contracting)} | {"bottom": model.bottleneck}
    modules |= {f"up{depth - 1 - k}": block for k, block in enumerate(model.expansive)} | {"head": model.head}
    seen = shapes(model, modules, size)
    c = Canvas(900, 590)
    c.text(450, 26, f"U-Net, {sum(p.numel() for p in model.parameters()):,} parameters", "title")

    def place(name: str, x: float, y: float, fill: str) -> None:
        channels, height, width = seen[name]
        c.box(x, y, 26 + channels**0.5 * 1.6, 60, fill)
        c.text(x, y + 4, str(channels))
        c.text(x, y + 46, f"{height} x {width}", "small")

    def at(i: int, right: bool) -> tuple[float, float]:
        return (830 - 75 * i if right else 90 + 75 * i), 85 + 100 * i

    c.text(90, 36, f"3 x {size} x {size}", "small")
    for i in range(depth):
        (x, y), (rx, _) = at(i, False), at(i, True)
        place(f"down{i}", x, y, "#cfe3f3")
        place(f"up{i}", rx, y, "#cdebdf")
        c.arrow(x + 42, y, rx - 44, y, "skip")
        nx, ny = at(i + 1, False) if i + 1 < depth else (412, 85 + 100 * depth)
        c.arrow(x + 8, y + 52, nx - (40 if i + 1 < depth else 0), ny - 8, "down")
        px, py = at(i + 1, True) if i + 1 < depth else (498, 85 + 100 * depth)
        c.arrow(px + (40 if i + 1 < depth else 0), py - 8, rx - 8, y + 52, "up")
    place("bottom", 455, 85 + 100 * depth, "#e6e6e6")
    c.arrow(830, 56, 830, 41, "head")
    c.arrow(90, 41, 90, 56, "down")
    labels, height, width = seen["head"]
    c.text(830, 36, f"{labels} x {height} x {width}", "small")
    legend(c, 572, ("down", "max-pool 2x2"), ("up", "transposed convolution 2x2"), ("skip", "copy and crop"),
           ("head", "head: convolution 1x1"))  # fmt: skip
    return c.svg("U-Net")


def draw_unetpp(size: int = 96) -> str:
    model = UNetPlusPlus(UNetPlusPlusConfig(deep_supervision=True))
    depth = model.config.depth
    seen = shapes(model, {f"{i}{j}": node for i, row in enumerate(model.nodes) for j, node in enumerate(row)}, size)
    c = Canvas(900, 590)
    c.text(450, 26, f"U-Net++, {sum(p.numel() for p in model.parameters()):,} parameters, four heads", "title")

    def at(i: int, j: int) -> tuple[float, float]:
        return 90 + 92 * i + 184 * j, 130 + 98 * i

    for i in range(depth + 1):
        for j in range(depth - i + 1):
            x, y = at(i, j)
            for k in range(j):  # every earlier node of the row
                sx, _ = at(i, k)
                c.arrow(sx + 44, y - (0 if j - k == 1 else 16), x - 44, y - (0 if j - k == 1 else 16), "skip",
                        0 if j - k == 1 else 16 * (j - k))  # fmt: skip
            if j:
                bx, by = at(i + 1, j - 1)
                c.arrow(bx + 14, by - 24, x - 14, y + 26, "up")
            elif i:
                ax, ay = at(i - 1, 0)
                c.arrow(ax + 14, ay + 26, x - 14, y - 24, "down")
    for i in range(depth + 1):
        for j in range(depth - i + 1):
            x, y = at(i, j)
            c.box(x, y, 86, 44, "#cfe3f3" if j == 0 else "#cdebdf")
            c.text(x, y - 3, f"X[{i}][{j}]")
            c.text(x, y + 13, " x ".join(map(str, seen[f"{i}{j}"])), "small")
            if i == 0 and j:
                c.arrow(x + 24, y - 22, x + 24, y - 50, "head")
                c.text(x + 24, y - 56, f"L{j}", "small")
    legend(c, 572, ("down", "max-pool 2x2"), ("up", "transposed convolution 2x2"), ("skip", "concatenation"),
           ("head", "head: convolution 1x1"))  # fmt: skip
    return c.svg("U-Net++")


def legend(c: Canvas, y: float, *entries: tuple[str, str]) -> None:
    for k, (kind, words) in enumerate(entries):
        x = 60 + 215 * k
        c.arrow(x - 40, y, x - 8, y, kind)
        c.parts.append(f'<text x="{x}" y="{y + 4}" class="small" style="text-anchor: start">{words}</text>')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "unet.svg").write_text(draw_unet())
    (args.out / "unetpp.svg").write_text(draw_unetpp())


if __name__ == "__main__":
    main()

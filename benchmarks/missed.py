"""What is told of an aim that was missed: where the time goes, and what was tried."""

import textwrap
from collections.abc import Iterable

MISSED = {  # the aim begins so -> what is told of it, Markdown
    "U-Net++ level with": """\
**U-Net++ and segmentation_models_pytorch.** At one precision U-Net++ reaches a larger share of the processor's peak,
but it multiplies far oftener a pixel (see the table): the paper's dense skip connections are at full resolution,
where the other's encoder has none. L3 has about as many multiply-adds as the other.""",
    "L3 1.7 times": """\
**L3 against U-Net++.** It has 0.59 times the multiply-adds of the whole network, so that at one share of the peak it
is 1.70 times as fast. Both shares are about the same.""",
    "L2 3 times": """\
**L2 against U-Net++.** It has 0.30 times the multiply-adds of the whole network, and reaches a smaller share of the
peak, because a larger part of it is at full resolution, where layers have few channels.""",
    "watershed and tables": """\
**After the fastest networks.** Of 1,140 nuclei on 1024 x 1024 pixels, one core takes 32 ms for the maps (17 of them
smooth the distances, 9 bring them to the image's size), 42 for the watershed, 23 for the confidences and 35 for the
table (17 of them for convex hulls). The hulls took 590 ms before all nuclei's were found at once. Maps and where
pixels climb to use all cores. What is left are dozens of short passes over the pixels of all nuclei, each by one
thread.""",
    "a published variant faster": """\
**Faster than StarDist at grid 2, and better.** StarDist's network works at half resolution, with far fewer
multiply-adds than the U-Net's. Of ours the small U-Net and L1 have as few, and L1 is worse.""",
    "U-Net ahead of every": """\
**Ahead of every peer.** StarDist at grid 2 works at half resolution, which the U-Net doesn't. The small U-Net is
ahead of it, see the table of networks.""",
    "training waits": """\
**Waiting for crops.** The narrow U-Net's step is so short that drawing its crops weighs more. A crop of 160 x 160
takes 6 ms of one core: a third for the targets, most of it the exact distance to each nucleus's edge; a quarter for
cutting, turning and scaling; the rest for stain, contrast, blur and noise. Putting eight together takes 3 ms. What is
the same in all three channels of a grey image is computed once. Drawing in the background of a step was not tried:
both cores work on the step.""",
    "the same crops": """\
**Training in less time.** Drawing crops by all cores, one pass of AdamW, memory kept between steps and the gradients
of biases summed apart took away most of what stood beside the arithmetic. What is left is nearly all arithmetic; the
table tells at which share of the processor's peak. Compiling the step was tried, see below.""",
    "time grows": """\
**Growth.** An image of 2,048 pixels a side is one block. Larger ones are worked on block by block: blocks overlap,
their maps are written to the disk and read again, and nuclei that were cut are joined. The table below has every
point.""",
    "memory is flat": """\
**Memory beyond the largest block.** What is kept of every nucleus, for the tables, grows with the image; maps and
labels lie on the disk.""",
    "one image of": """\
**One image.** Most of it is Python's start: the table under [Small images](#small-images) has `import torch` alone.""",
    "a folder of": """\
**A folder of small images.** The table under [Small images](#small-images) tells what an image's time goes to.
Reading, measuring and writing overlap with the network, which takes most of it.""",
    "the page's slider": """\
**The page's slider.** Where pixels climb to is computed once a map and kept. Which nuclei are sure enough is settled
from bounds, and what takes long to measure is measured of the few that are left open. Outlines are drawn only where
there are some. What is left for each network are its cores and their growth (31 to 40 ms of one core), which nuclei are
sure enough (18 to 25 ms) and packing the outlines (5 ms); then 15 ms to send the outlines of both, and in the browser
10 ms to unpack and 16 ms for each network to paint. Drawing before the confidences are known was not built: nuclei
would flicker and get other numbers. Painting in threads of the browser (Web Workers) was not tried.""",
}


def bullets(aims: Iterable[str]) -> str:
    """What is told of these aims, which were missed; Markdown."""
    told = [text for aim in aims for begin, text in MISSED.items() if aim.startswith(begin)]
    if not told:
        return "Every aim that was measured was reached."
    fill = textwrap.TextWrapper(125, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False).fill
    return "\n".join(["Where an aim was missed:", "", *(fill(f"- {text}") for text in told)])

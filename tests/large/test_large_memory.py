"""How much memory large images take: blocks that follow it, and no more for a larger image."""

import math
import sys

import numpy as np
import pytest
import tifffile

from nuclei_models.jobs.settings import network_for
from nuclei_models.large.memory import available, block_size
from tests.support.large import blobs


def test_blocks_follow_memory(model):
    network, shape = network_for(str(model)).model, (20_000, 20_000)
    sides = [block_size(network, available() * n // 8, shape, 1.0, 2) for n in (0, 4, 8)]
    assert sides[0] == 128 and sides == sorted(sides)
    assert block_size(network, available(), shape, 1.0, 2, least=400) <= 1024
    assert block_size(network, available(), shape, 1.0, 2) > 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_does_not_grow_with_the_image(model, tmp_path, run_python):
    """A colour image of 108 MB takes as much as one of a quarter of it, of which as many pixels are sampled for the
    range of values, to half of its size; held whole, it takes more.

    The peak is VmHWM, of this program alone. ru_maxrss begins with what the process that started it, pytest, had.
    """
    tile = np.repeat(blobs((512, 512))[..., None], 3, axis=2).astype(np.float32)
    for side in (1500, 3000):
        tiles = (tile for _ in range(math.ceil(side / 512) ** 2))
        with tifffile.TiffWriter(tmp_path / f"{side}.tif") as writer:
            writer.write(tiles, shape=(side, side, 3), dtype=np.float32, tile=(512, 512), photometric="rgb")
    done = run_python(
        f"""
        from pathlib import Path
        from nuclei_models.jobs.settings import settings_for
        from nuclei_models.large import segment_large, statistics
        from nuclei_models.images.source import Source

        statistics.sample_step = lambda height, width: height // 1500  # of images so small, more would be sampled
        def tell(nuclei):
            print(nuclei, int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1000)

        settings = settings_for({str(model)!r}, diameter=24.0, save=("labels", "csv"))
        for side in (1500, 1500, 3000):  # twice, for what is loaded and set aside at first
            tell(segment_large(f"{tmp_path}/{{side}}.tif", "out", settings, block=512).nuclei)
        source = Source("{tmp_path}/3000.tif")
        whole = source.read(slice(0, 3000), slice(0, 3000))
        statistics.streamed_range(source, 1, 99.8)
        tell(0)
        """,
        hub=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    _, (few, small), (many, large), (_, whole) = np.array(done.stdout.split(), float).reshape(4, 2)
    assert many > 3 * few > 5000
    assert large - small < 54 < whole - large

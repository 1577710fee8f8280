"""Files on the disk, uploaded or made -> gone after the stated time.

Gradio has a task for it, which ends for good if a visitor adds a file while it goes through them (gradio 6.31,
`route_utils.delete_files_created_by_app`). So the page has one of its own, beside.
"""

import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR

import gradio as gr
from gradio.utils import get_upload_folder

from . import limits


def keep_clean(blocks: gr.Blocks) -> threading.Thread:
    """Clean every `CACHE_SECONDS[0]` for as long as the page exists, in a thread of its own."""
    page = weakref.ref(blocks)

    def work() -> None:
        while True:
            time.sleep(limits.CACHE_SECONDS[0])
            if (alive := page()) is None:
                return
            with suppress(OSError):  # a disk in trouble may be better the next time
                clean(alive, limits.CACHE_SECONDS[1])
            del alive

    thread = threading.Thread(target=work, name="cleaning", daemon=True)
    thread.start()
    return thread


def clean(blocks: gr.Blocks, age: float) -> None:
    """Remove the files of a page's visitors that are older than `age` seconds."""
    old = time.time() - age
    kept = {file for block in blocks.blocks.values() for file in getattr(block, "keep_in_cache", ())}
    for held in blocks.temp_file_sets:
        for file in held.copy() - kept:  # a copy is made at once; the set itself changes meanwhile
            with suppress(FileNotFoundError):
                if Path(file).lstat().st_ctime >= old:
                    continue
                Path(file).unlink()
            held.discard(file)
    sweep(Path(get_upload_folder()))


def sweep(cache: Path) -> None:
    """Remove the empty files and folders that are left when files are deleted."""
    old = time.time() - limits.SWEEP_SECONDS
    for entry in cache.iterdir():
        with suppress(OSError):  # not empty, or gone by now
            stat = entry.lstat()
            if stat.st_ctime < old and S_ISDIR(stat.st_mode):
                entry.rmdir()
            elif stat.st_ctime < old and not stat.st_size:
                entry.unlink()

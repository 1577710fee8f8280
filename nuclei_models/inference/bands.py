"""Layers run by bands of rows: the result of the whole image, and no pixel computed twice.

Each layer works on a band as soon as the rows that it reads are there, and rows that no layer needs any more are
forgotten: what is worked on stays small enough for the processor's caches, and memory grows with the image's width, not
its height. Layers work side by side, each on a band of its own, one a thread, so that no thread waits for the others at
the end of every operation.
"""

import threading
from collections.abc import Callable

import torch

_setting_threads = threading.Lock()


def set_own_threads(number: int) -> None:
    """Set how many threads torch uses for what this thread does, and leave other threads' number as it is.

    `torch.set_num_threads` also changes the number of threads that are started later, or first use torch later. With
    several runs in one process they would stay with the small number of one run. So a thread that begins now, which has
    the number of all later ones, puts it back. A thread that first uses torch just between keeps it.
    """
    noted, changed = threading.Event(), threading.Event()

    def put_back() -> None:
        later = torch.get_num_threads()
        noted.set()
        changed.wait()
        torch.set_num_threads(later)

    with _setting_threads:
        keeper = threading.Thread(target=put_back)
        keeper.start()
        noted.wait()
        try:
            torch.get_num_threads()  # takes up the number for later threads, once, so that it can't undo the next line
            torch.set_num_threads(number)
        finally:
            changed.set()
            keeper.join()


class Layer:
    """A layer, here one that changes nothing.

    Attributes:
        inputs: The maps that it reads: 0 is the image, n the output of the n-th layer.
        channels, dtype: Of its output.
        pad: Rows of zeros to be laid above and below its output.
    """

    def __init__(self, inputs: list[int], channels: int, dtype: torch.dtype, pad: int = 0):
        self.inputs, self.channels, self.dtype, self.pad = inputs, channels, dtype, pad

    def size(self, length: int) -> int:
        """Rows (or columns) of the output for an input of this many."""
        return length

    def band(self, rows: int) -> int:
        """Rows of the output to a band for an input of this many to a band."""
        return rows

    def lag(self, rows: int) -> int:
        """Rows by which the output is behind the image when its input is by this many."""
        return rows

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The rows of the input that rows start .. stop of the output need."""
        return start, stop

    def __call__(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """(1, C, h, W) of each input -> (1, channels, n, W')."""
        return parts[0]


class Rows:
    """The rows of a map that are still needed: one thread appends below while others read above.

    Args:
        size: Rows, columns and channels of the whole map.
        pad: Rows of zeros above the first and below the last.
        band, lag: After n bands of the image, its first n * band - lag rows can be there.
        room: Rows to make room for at the start.
    """

    def __init__(self, size: tuple[int, int, int], dtype: torch.dtype, pad: int, band: int, lag: int, room: int = 0):
        self.size, self.pad, self.band, self.lag = size, pad, band, lag
        self.end = self.needed = -pad  # row after the last, first row that will be read again
        self._stored = -pad, torch.empty(1, room, *size[1:], dtype=dtype)  # the first row stored; (1, rows, W, C)
        self._append(torch.zeros(1, pad, *size[1:], dtype=dtype))

    @classmethod
    def whole(cls, x: torch.Tensor, band: int) -> "Rows":
        """All rows of (1, C, H, W), not copied."""
        rows = cls((*x.shape[2:], x.shape[1]), x.dtype, pad=0, band=band, lag=0)
        rows._stored, rows.end = (0, x.permute(0, 2, 3, 1)), x.shape[2]
        return rows

    def append(self, rows: torch.Tensor) -> None:
        """Add (1, C, n, W)."""
        self._append(rows.permute(0, 2, 3, 1))
        if self.end == self.size[0]:
            self._append(torch.zeros_like(self._stored[1][:, : self.pad]))

    def view(self, start: int, stop: int) -> torch.Tensor:
        """(1, C, stop - start, W), channels_last, not copied."""
        first, store = self._stored
        return store[:, start - first : stop - first].permute(0, 3, 1, 2)

    def _append(self, rows: torch.Tensor) -> None:
        n = rows.shape[1]
        first, store = self._stored
        if self.end + n - first > store.shape[1]:  # a new store: others may be reading the old one
            live = store[:, self.needed - first : self.end - first]
            first, store = self.needed, live.new_empty(1, 2 * (live.shape[1] + n), *live.shape[2:])
            store[:, : live.shape[1]] = live
            self._stored = first, store
        store[:, self.end - first : self.end - first + n] = rows
        self.end += n


class Task:
    """A layer at work on an image, band after band from the top.

    Attributes:
        done: Rows of the output so far.
        busy: Whether a thread is making more.
    """

    def __init__(self, layer: Layer, inputs: list[Rows], keep: bool):
        self.layer, self.inputs = layer, inputs
        height, width = (min(rows.size[axis] for rows in inputs) for axis in (0, 1))
        self.offsets = [(rows.size[0] - height) // 2 for rows in inputs]  # as `center_crop` has it
        lag = max(rows.lag + offset for rows, offset in zip(inputs, self.offsets, strict=True))
        self.height = layer.size(height)
        size = self.height, layer.size(width), layer.channels
        band, lag, room = layer.band(inputs[0].band), layer.lag(lag), self.height if keep else 0
        self.output = Rows(size, layer.dtype, layer.pad, band, lag, room)
        self.done, self.busy = 0, False
        self._plan()

    def can_work(self) -> bool:
        """Whether a band is left to make, all that it needs is there, and no thread is at it."""
        if self.busy or self.done == self.height:
            return False
        return all(last <= rows.end for rows, _, last in self._wanted)

    def work(self) -> None:
        """Make the next band."""
        self.output.append(self.layer([rows.view(first, last) for rows, first, last in self._wanted]))

    def finish(self) -> None:
        """Count the band that `work` made."""
        self.done, self.busy = self._stop, False
        self._plan()

    def needs(self, rows: Rows) -> int:
        """The first row of an input that is still needed."""
        return next(first for wanted, first, _ in self._wanted if wanted is rows)

    def _plan(self) -> None:
        band, lag = self.output.band, self.output.lag
        self._stop = min(((self.done + lag) // band + 1) * band - lag, self.height)
        first, last = self.layer.span(self.done, self._stop)
        self._wanted = [(rows, first + o, last + o) for rows, o in zip(self.inputs, self.offsets, strict=True)]


class Work:
    """All layers at work on an image.

    Args:
        layers: Each after those whose maps it reads.
        x: (1, C, H, W), float, on the CPU.
        band: Rows of the image to a band; a multiple of what the layers pool to one.
    """

    def __init__(self, layers: list[Layer], x: torch.Tensor, band: int):
        maps = [Rows.whole(x, band)]
        self.tasks: list[Task] = []
        for layer in layers:
            self.tasks.append(Task(layer, [maps[i] for i in layer.inputs], keep=layer is layers[-1]))
            maps.append(self.tasks[-1].output)
        self._readers = {id(rows): [task for task in self.tasks if rows in task.inputs] for rows in maps}
        self._last = self.tasks[-1]
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def run(self, threads: int, report: Callable[[int, int], None] | None = None) -> torch.Tensor:
        """The last layer's map.

        Args:
            threads: How many work side by side.
            report: Called from the caller's thread with (rows done, rows in all). What it raises ends the work.

        Returns:
            (1, C', H', W').
        """
        self._threads, total = threads, torch.get_num_threads()
        share = max(total // threads, 1)
        others = [threading.Thread(target=self._work, args=(share,)) for _ in range(threads - 1)]
        try:
            for worker in others:
                worker.start()
            self._work(share if share != total else None, report)
        finally:
            for worker in others:
                worker.join()
            if share != total:
                set_own_threads(total)
        if self._failure is not None:
            raise self._failure
        if report:
            report(self._last.height, self._last.height)
        return self._last.output.view(0, self._last.height)

    def _work(self, threads: int | None, report: Callable[[int, int], None] | None = None) -> None:
        if threads is not None:  # else the thread has the number that it is to have
            set_own_threads(threads)
        try:
            with torch.inference_mode():
                while task := self._claim():
                    task.work()
                    self._finish(task)
                    if report:
                        report(self._last.done, self._last.height)
        except BaseException as error:
            self._fail(error)

    def _claim(self) -> Task | None:
        """A band's work, the deepest first so that little is stored; `None` when all is done."""
        with self._changed:
            while not self._over():
                for task in reversed(self.tasks[self._is_ahead() :]):
                    if task.can_work():
                        task.busy = True
                        return task
                self._changed.wait()
        return None

    def _finish(self, task: Task) -> None:
        with self._changed:
            task.finish()
            for rows in task.inputs:
                rows.needed = min(reader.needs(rows) for reader in self._readers[id(rows)])
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _is_ahead(self) -> bool:
        """Whether the first layer is so many bands before the last that it had better wait."""
        last = self._last.output
        return self.tasks[0].done - (self._last.done + last.lag) > self._threads * last.band

    def _over(self) -> bool:
        return self._failure is not None or self._last.done == self._last.height

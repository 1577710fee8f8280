"""The page on ZeroGPU Spaces, where a function that asks for a GPU runs in a forked process."""

import importlib.util
import pickle
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.page import networks as plain
from nuclei_models.page.handlers import Page
from nuclei_models.page.limits import SEGMENT_SECONDS
from nuclei_models.page.opened import Picture
from tests.support.page import blobs, make_networks, save_networks
from tests.support.space import errors


class Spaces(ModuleType):
    """Stands for the package `spaces` on ZeroGPU: arguments and results are pickled, as they cross processes there.

    Attributes:
        asked: Durations that functions were decorated with.
        calls: Arguments of every call.
    """

    def __init__(self) -> None:
        super().__init__("spaces")
        self.asked: list[int] = []
        self.calls: list[tuple] = []

    def GPU(self, duration: int) -> Callable[[Callable], Callable]:
        self.asked.append(duration)

        def decorate(function: Callable) -> Callable:
            def elsewhere(*arguments):
                arguments = pickle.loads(pickle.dumps(arguments))
                self.calls.append(arguments)
                return pickle.loads(pickle.dumps(function(*arguments)))

            return elsewhere

        return decorate


class NoGpu(Spaces):
    """Stands for the package elsewhere: its decorator gives the function back."""

    def GPU(self, duration: int) -> Callable[[Callable], Callable]:
        return lambda function: function


def load_with(spaces: Spaces, monkeypatch) -> ModuleType:
    """`page.networks` as it is where this package is installed."""
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    spec = importlib.util.spec_from_file_location("nuclei_models.page.networks_elsewhere", plain.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_network_runs_on_the_shared_gpu(monkeypatch, tmp_path):
    spaces = Spaces()
    networks = load_with(spaces, monkeypatch).Networks(save_networks(tmp_path))
    assert spaces.asked == [SEGMENT_SECONDS]
    here = make_networks(tmp_path)
    picture = Picture("cells", blobs())
    there = Page(networks, []).run(picture, RunSettings(level=1), lambda *said, **more: None, lambda: None)
    wanted = Page(here, []).run(picture, RunSettings(level=1), None, None)
    assert len(spaces.calls) == networks.runs == 2
    for key in ("unet", "unetpp"):
        assert wanted.labels(key, Cut()).max() > 10
        assert np.array_equal(there.labels(key, Cut()), wanted.labels(key, Cut()))


def test_where_there_is_no_shared_gpu_progress_is_told_and_cancel_works(monkeypatch, tmp_path):
    module = load_with(NoGpu(), monkeypatch)
    networks, told = module.Networks(save_networks(tmp_path)), []
    networks.predict("unet", blobs(), RunSettings(), lambda done, total: told.append((done, total)))
    assert told[0][0] == 0 and told[-1][0] == told[-1][1]

    def cancel() -> None:
        raise module.Cancelled

    with pytest.raises(module.Cancelled):
        networks.predict("unet", blobs(), RunSettings(), check=cancel)


def test_what_an_app_says_of_errors():
    ignored = (
        "Loading weights: 100%\nException ignored in: <function BaseEventLoop.__del__ at 0x7fd1>\n"
        'Traceback (most recent call last):\n  File "a.py", line 1, in __del__\n    self.close()\n'
        "ValueError: Invalid file descriptor: -1\n* Running on local URL\n"
    )
    raised = "Traceback (most recent call last):\n  File \"b.py\", line 2\nKeyError: 'x'\n"
    assert errors(ignored) == errors("All is well.\n") == ""
    assert (
        errors(ignored + raised + ignored)
        == raised + ignored[: ignored.index("Exception")] + "* Running on local URL\n"
    )

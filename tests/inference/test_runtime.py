"""Networks by bands of rows: the logits of the model itself, whatever the size, the bands, the threads."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch

from nuclei_models import UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.inference import bands, runtime, streaming
from nuclei_models.inference.runtime import Runtime, has_bfloat16
from nuclei_models.inference.tiling import predict_logits

CPU = torch.device("cpu")
KINDS = ["same", "mirror", "unetpp", "accurate", "plain"]
bfloat16_only = pytest.mark.skipif(not has_bfloat16(CPU), reason="this processor has no bfloat16 instructions")


def network(kind: str, **options):
    torch.manual_seed(0)
    options = {"channels": [4, 6, 8, 10], "num_labels": 4, "batch_norm": kind != "plain", **options}
    if kind in ("same", "mirror"):
        model = UNet(UNetConfig(**options, padding=kind))
    else:
        mode = "accurate" if kind == "accurate" else "fast"
        model = UNetPlusPlus(UNetPlusPlusConfig(**options, deep_supervision=True, inference_mode=mode))
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after training: something to fold
            for p in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(p, 0.5, 2)
            for p in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(p, 0, 0.3)
    return model.eval()


def image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape and a.dtype == b.dtype == torch.float32
    return float((a - b).abs().max() / b.abs().max())


@torch.inference_mode()
def by_itself(model, x: torch.Tensor) -> torch.Tensor:
    return model(x).logits


class TestTheModelsLogits:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("size", [(120, 72), (64, 64), (1, 1), (3, 200), (131, 17)])
    @pytest.mark.parametrize("pixels", [0, 2**16])  # by the smallest bands there are, or as one
    def test_of_every_network_and_size(self, kind, size, pixels, monkeypatch):
        monkeypatch.setattr(streaming, "BAND", pixels)
        model, x = network(kind), image(*size)
        assert difference(Runtime(model, "float32")(x), by_itself(model, x)) < 1e-5

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("pixels", [1, 2000, 10**9])
    @pytest.mark.parametrize("threads", [1, 3])
    def test_whatever_the_bands_and_threads(self, kind, pixels, threads, monkeypatch):
        monkeypatch.setattr(streaming, "BAND", pixels)
        torch.set_num_threads(threads)
        model, x = network(kind), image(150, 90)
        assert difference(Runtime(model, "float32")(x), by_itself(model, x)) < 1e-5

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=bfloat16_only)])
    def test_a_small_image_is_one_band_and_whatever_the_threads_the_same_to_the_bit(self, kind, dtype, monkeypatch):
        model, x, calls = network(kind), image(70, 50), []
        run = bands.Task.work
        monkeypatch.setattr(bands.Task, "work", lambda task: calls.append(task.layer) or run(task))
        torch.set_num_threads(1)
        alone = Runtime(model, dtype)(x)
        assert len(calls) == len(set(calls)) == len(runtime.stream(model, getattr(torch, dtype)).layers)
        torch.set_num_threads(3)
        assert torch.equal(Runtime(model, dtype)(x), alone)

    @pytest.mark.parametrize("level", [1, 2, 3])
    def test_of_a_pruned_network(self, level):
        model, x = network("unetpp").prune(level), image(100, 60)
        assert difference(Runtime(model, "float32")(x), by_itself(model, x)) < 1e-5

    @pytest.mark.parametrize("error", [AttributeError, RuntimeError])
    def test_without_torchs_private_operators(self, error, monkeypatch):
        def missing(*args):
            raise error("not in this version")

        monkeypatch.setattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", missing)
        model, x = network("unetpp"), image(100, 60)
        assert difference(Runtime(model, "float32")(x), by_itself(model, x)) < 1e-5

    @bfloat16_only
    @pytest.mark.parametrize("kind", KINDS)
    def test_in_bfloat16_to_its_precision(self, kind):
        model, x = network(kind), image(120, 72)
        logits = Runtime(model, "bfloat16")(x)
        assert torch.equal(logits, Runtime(model)(x)), '"auto" is another'
        assert 1e-5 < difference(logits, by_itself(model, x)) < 0.05

    def test_strips_of_a_wide_image(self, monkeypatch):
        monkeypatch.setattr("nuclei_models.inference.tiling.STRIP", 100)
        model, x = network("unetpp"), image(70, 333)
        logits = predict_logits(model, x[0].numpy(), precision="float32")
        assert difference(logits[None], by_itself(model, x)) < 1e-5


class TestTheModelItself:
    def test_is_not_changed(self):
        model = network("unetpp")
        before = {k: v.clone() for k, v in model.state_dict().items()}
        Runtime(model)(image(40, 40))
        assert model.state_dict().keys() == before.keys()
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    @pytest.mark.parametrize("change", ["load", "step", "data", "numpy", "buffer", "swap", "mode"])
    def test_what_is_kept_of_it_follows_its_changes(self, change):
        model, x = network("unetpp"), image(60, 60)
        before = Runtime(model, "float32")(x)
        if change == "load":
            model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()})
        elif change == "step":
            with torch.no_grad():
                next(model.parameters()).mul_(2)
        elif change == "data":
            model.nodes[0][0][0].weight.data.mul_(2)
        elif change == "numpy":
            model.nodes[0][0][0].weight.detach().numpy()[:] *= 2
        elif change == "swap":  # the same values elsewhere
            weight = model.nodes[0][0][0].weight.data
            weight.copy_(weight.flip(0, 2))
        elif change == "buffer":
            model.nodes[0][0][1].running_mean = torch.ones(4)
        else:
            model.config.inference_mode = "accurate"
        after = Runtime(model, "float32")(x)
        assert difference(after, before) > 1e-3
        assert difference(after, by_itself(model, x)) < 1e-5

    def test_is_prepared_once(self, monkeypatch):
        made = []
        monkeypatch.setattr(runtime, "StreamedNetwork", lambda *args: made.append(args) or (lambda x, report: x))
        model = network("same")
        for _ in range(3):
            Runtime(model, "float32")(image(16, 16))
        assert len(made) == 1

    def test_can_be_forgotten(self):
        model = network("same")
        Runtime(model)(image(16, 16))
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None


EXCHANGES = {
    "another activation": lambda m: setattr(m.contracting[0], "2", torch.nn.LeakyReLU(0.3)),
    "no activation": lambda m: setattr(m.contracting[0], "2", torch.nn.Identity()),
    "a wider convolution": lambda m: setattr(m.contracting[0], "0", torch.nn.Conv2d(3, 4, 5, padding=2)),
    "a dilated convolution": lambda m: setattr(m.bottleneck, "0", torch.nn.Conv2d(8, 10, 3, padding=2, dilation=2)),
    "mean pooling": lambda m: setattr(m, "pool", torch.nn.AvgPool2d(2)),
    "another normalisation": lambda m: setattr(m.contracting[0], "1", torch.nn.InstanceNorm2d(4)),
    "a layer more": lambda m: m.head.register_forward_hook(lambda module, inputs, out: -out),
    "weight_norm": lambda m: torch.nn.utils.parametrizations.weight_norm(m.bottleneck[0]),
    "old weight_norm": lambda m: torch.nn.utils.weight_norm(m.bottleneck[0]),
    "another head": lambda m: setattr(m, "head", torch.nn.Sequential(m.head, torch.nn.Tanh())),
    "a forward of its own": lambda m: setattr(m.pool, "forward", lambda x: x[..., ::2, ::2]),
}


class TestExchangedLayers:
    @pytest.mark.parametrize("exchange", EXCHANGES)
    def test_run_as_they_are(self, exchange):
        model, x = network("same").eval(), image(60, 44)
        Runtime(model, "float32")(x)
        EXCHANGES[exchange](model)
        model.eval()
        assert difference(Runtime(model, "float32")(x), by_itself(model, x)) < 1e-3  # laid out otherwise

    def test_a_network_as_it_was_made_goes_by_bands(self):
        for kind in KINDS:
            assert Runtime(network(kind)).streamed
        assert Runtime(network("unetpp").prune(2)).streamed


class TestTrainingMode:
    def test_is_left_as_it_was(self):
        model = network("unetpp", dropout=0.5).train()
        frozen = model.nodes[0][0][1].eval()
        before = {name: m.training for name, m in model.named_modules()}
        running = frozen.running_mean.clone(), model.nodes[1][0][1].running_mean.clone()
        x = image(60, 60)
        logits = predict_logits(model, x[0].numpy(), precision="float32")
        assert {name: m.training for name, m in model.named_modules()} == before
        assert torch.equal(frozen.running_mean, running[0])
        assert torch.equal(model.nodes[1][0][1].running_mean, running[1])
        assert difference(logits[None], by_itself(model.eval(), x)) < 1e-5

    def test_a_network_that_runs_as_it_is(self):
        model, x = network("same", dropout=0.5), image(60, 60)
        model.contracting[0][2] = torch.nn.LeakyReLU(0.3)
        expected = by_itself(model.eval(), x)
        assert difference(predict_logits(model.train(), x[0].numpy(), precision="float32")[None], expected) < 1e-5
        assert model.training and model.dropout.training


class TestWork:
    def test_memory_does_not_grow_with_the_height(self, monkeypatch):
        rows = []
        append = bands.Rows._append

        def watch(self, new):
            append(self, new)
            rows.append(self._stored[1].numel() if self.size[2] != 4 or self.pad else 0)  # not the logits

        monkeypatch.setattr(bands.Rows, "_append", watch)
        monkeypatch.setattr(streaming, "BAND", 16 * 64)
        model, largest = network("unetpp", channels=[5, 6, 8, 10]), []
        for height in (400, 1600):
            rows.clear()
            Runtime(model, "float32")(image(height, 64))
            largest.append(max(rows))
        assert largest[1] < 2 * largest[0]  # four times as high; how far threads run ahead of each other varies

    def test_reports_rows_and_ends_when_told(self):
        told = []
        Runtime(network("same"))(image(200, 30), lambda done, total: told.append((done, total)))
        assert told == sorted(told) and told[-1] == (200, 200)

        def cancel(done, total):
            raise InterruptedError("enough")

        before = threading.active_count()
        with pytest.raises(InterruptedError, match="enough"):
            Runtime(network("same"))(image(200, 30), cancel)
        assert threading.active_count() == before

    def test_a_failure_in_a_thread_is_raised_here(self, monkeypatch):
        def fail(self, parts):
            raise MemoryError("no room")

        monkeypatch.setattr(streaming.Pool, "__call__", fail)
        with pytest.raises(MemoryError, match="no room"):
            Runtime(network("same"))(image(64, 64))

    def test_the_number_of_threads_stays(self):
        before = torch.get_num_threads()
        Runtime(network("same"))(image(64, 64))
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert torch.get_num_threads() == seen[0] == before

    def test_the_number_of_threads_stays_though_several_run_at_once(self):
        """Also for a thread that first uses torch while others run: it would keep their number for good."""
        before, seen, go_on = torch.get_num_threads(), [], threading.Event()
        torch.set_num_threads(3)

        def run(report: threading.Event) -> None:
            def told(done: int, rows: int) -> None:
                report.set()
                go_on.wait(10)

            Runtime(network("same"))(image(64, 64), told)
            seen.append(torch.get_num_threads())

        try:
            runs, meanwhile = [], []
            for _ in range(2):
                begun = threading.Event()
                runs.append(threading.Thread(target=run, args=(begun,)))
                runs[-1].start()
                begun.wait(10)
            between = threading.Thread(target=lambda: meanwhile.append(torch.get_num_threads()))
            between.start()  # both are in the middle of their runs
            between.join()
            go_on.set()
            for thread in runs:
                thread.join()
            late = threading.Thread(target=lambda: meanwhile.append(torch.get_num_threads()))
            late.start()
            late.join()
            assert seen == [3, 3] and meanwhile == [3, 3] and torch.get_num_threads() == 3
        finally:
            torch.set_num_threads(before)


class TestPrecision:
    def test_unknown(self):
        with pytest.raises(ValueError, match=r"precision='half'.*float32"):
            Runtime(network("same"), "half")

    def test_not_to_be_had(self, monkeypatch):
        monkeypatch.setattr(runtime, "has_bfloat16", lambda device: False)
        with pytest.raises(ValueError, match=r"bfloat16.*cpu has no instructions"):
            Runtime(network("same"), "bfloat16")
        assert Runtime(network("same")).dtype == torch.float32

    def test_a_network_of_half_precision_weights(self):
        model, x = network("same"), image(60, 60)
        expected = by_itself(model, x)
        assert difference(Runtime(model.to(torch.bfloat16), "float32")(x), expected) < 0.05

    def test_another_network_runs_as_it_is(self):
        class Other(UNet):
            def forward(self, pixel_values, **kwargs):
                return super().forward(-pixel_values, **kwargs)

        model, x = Other(network("same").config).eval(), image(60, 60)
        assert not Runtime(model).streamed
        assert difference(Runtime(model, "float32")(x), by_itself(model, x)) < 1e-5
        logits = predict_logits(model, np.zeros((3, 50, 50), np.float32), precision="float32")
        assert logits.dtype == torch.float32


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_computes_bfloat16_where_its_capability_is_enough(capability, native, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    cuda = torch.device("cuda")
    assert has_bfloat16(cuda) is native
    assert runtime.choose("auto", cuda) == (torch.bfloat16 if native else torch.float32)
    assert runtime.choose("float32", cuda) == torch.float32

"""One body of tests for both networks; what only one of them has stands below it."""

import pytest
import torch

from nuclei_models import UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.model.losses import segmentation_loss

TINY = {"channels": [4, 6, 8]}
NETWORKS = [
    pytest.param(UNet, UNetConfig, {"padding": "same"}, id="unet-same"),
    pytest.param(UNet, UNetConfig, {"padding": "mirror"}, id="unet-mirror"),
    pytest.param(UNet, UNetConfig, {"padding": "mirror", "batch_norm": True, "dropout": 0.5}, id="unet-options"),
    pytest.param(UNetPlusPlus, UNetPlusPlusConfig, {}, id="unetpp"),
    pytest.param(UNetPlusPlus, UNetPlusPlusConfig, {"deep_supervision": True}, id="unetpp-deep"),
    pytest.param(
        UNetPlusPlus,
        UNetPlusPlusConfig,
        {"deep_supervision": True, "inference_mode": "fast", "batch_norm": True, "dropout": 0.5},
        id="unetpp-options",
    ),
]


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("model_class", "config_class", "options"), NETWORKS)
class TestBoth:
    @pytest.fixture
    def model(self, model_class, config_class, options):
        return model_class(config_class(**TINY, **options)).eval()

    @pytest.mark.parametrize("size", [(32, 32), (33, 47), (96, 96), (7, 61), (1, 1)])
    def test_logits_have_the_size_of_any_input(self, model, size):
        assert model(torch.randn(2, 3, *size)).logits.shape == (2, 1, *size)

    @pytest.mark.parametrize("num_labels", [1, 2, 4])
    def test_num_labels(self, model_class, config_class, options, num_labels):
        model = model_class(config_class(**TINY, **options, num_labels=num_labels)).eval()
        assert model(torch.randn(1, 3, 20, 20)).logits.shape[1] == num_labels

    def test_num_channels(self, model_class, config_class, options):
        model = model_class(config_class(**TINY, **options, num_channels=1)).eval()
        assert model(torch.randn(1, 1, 20, 20)).logits.shape == (1, 1, 20, 20)
        with pytest.raises(ValueError, match=r"\(1, 3, 20, 20\).*1, height"):
            model(torch.randn(1, 3, 20, 20))

    def test_save_and_load_give_equal_logits(self, model, model_class, tmp_path):
        model.save_pretrained(tmp_path)
        assert (tmp_path / "model.safetensors").is_file()
        again = model_class.from_pretrained(tmp_path).eval()
        x = torch.randn(1, 3, 40, 33)
        assert again.config.to_dict() == {**model.config.to_dict(), **_added_on_save(again.config)}
        assert torch.equal(model(x).logits, again(x).logits)

    def test_training_lowers_the_loss(self, model):
        model.train()
        x = torch.randn(2, 3, 32, 32)
        labels = (x.mean(1) > 0).long()
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        losses = []
        for _ in range(30):
            loss = model(x, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.8 * losses[0]

    def test_every_parameter_gets_a_gradient(self, model):
        model.train()
        x = torch.randn(4, 3, 32, 32)
        model(x, labels=(x.mean(1) > 0).long()).loss.backward()
        before_norm = {f"{name}.bias" for name, _ in model.named_modules()} if model.config.batch_norm else set()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert set(still) <= before_norm and not [name for name in still if name.startswith("head")]

    def test_labels_do_not_change_the_logits(self, model):
        x = torch.randn(1, 3, 32, 32)
        labelled = model(x, labels=torch.ones(1, 32, 32, dtype=torch.long))
        assert torch.equal(labelled.logits, model(x).logits)
        assert labelled.loss.ndim == 0

    def test_inference_output_is_only_logits(self, model):
        assert list(model(torch.randn(1, 3, 32, 32)).keys()) == ["logits"]  # tuples would break a batched pipeline

    def test_tuple(self, model):
        x = torch.randn(1, 3, 32, 32)
        assert torch.equal(model(x, return_dict=False)[0], model(x).logits)

    def test_table_of_layers(self, model, capsys):
        table = model.compile_and_summarize_model((48, 32, 3), compile=False)
        assert table.total_params == count(model)
        assert table.total_mult_adds > 0
        assert "Conv2d" in capsys.readouterr().out
        with pytest.raises(ValueError, match=r"\(48, 32, 4\)"):
            model.compile_and_summarize_model((48, 32, 4))

    def test_context_bounds_what_an_output_pixel_sees(self, model):
        model = model.double()
        for parameter in model.parameters():
            parameter.data.abs_()  # every ReLU passes everything on
        for y in range(60, 60 + model.stride):  # every place on the pooling grid
            x = torch.rand(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
            model(x).logits[0, 0, y, 64].backward()
            seen = x.grad.abs().sum((0, 1, 3)).nonzero()
            reach = max(y - seen.min(), seen.max() - y)
            assert model.context - model.stride < reach < model.context + model.stride

    def test_he_initialisation(self, model):
        weight = dict(model.named_parameters())
        name = "contracting.1.0.weight" if isinstance(model, UNet) else "nodes.1.0.0.weight"
        fan_in = weight[name][0].numel()
        assert weight[name].std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.15)


def _added_on_save(config) -> dict:
    """What saving writes into the config: where it came from and what it holds."""
    added = ("_name_or_path", "architectures", "dtype", "transformers_version", "weights_sha256")
    return {k: v for k, v in config.to_dict().items() if k in added}


def test_compiled_forward_gives_the_same_logits():
    model = UNet(UNetConfig(channels=[2, 4], padding="same")).eval()
    x = torch.randn(1, 3, 16, 16)
    expected = model(x).logits
    model.compile_and_summarize_model((16, 16, 3), verbose=False, backend="aot_eager")
    assert torch.allclose(model(x).logits, expected, atol=1e-5)


class TestUNet:
    def test_default_is_the_papers_network(self):
        with torch.device("meta"):  # shapes alone
            model = UNet(UNetConfig()).eval()
            assert count(model) == 31_031_745
            assert model(torch.zeros(1, 3, 572, 572)).logits.shape == (1, 1, 388, 388)
        assert model.context == 92
        assert model.config.depth == 4

    def test_valid_takes_odd_sizes_and_refuses_too_small_ones(self):
        model = UNet(UNetConfig(**TINY)).eval()
        lost = 2 * model.context
        assert model(torch.randn(1, 3, 75, 92)).logits.shape == (1, 1, 75 - lost, 92 - lost)
        with pytest.raises(ValueError, match=f"{lost} x 90.*{lost + 1} x {lost + 1}"):
            model(torch.randn(1, 3, lost, 90))

    def test_mirror_equals_valid_inside(self):
        valid = UNet(UNetConfig(**TINY)).eval()
        mirror = UNet(UNetConfig(**TINY, padding="mirror")).eval()
        mirror.load_state_dict(valid.state_dict())
        x = torch.randn(1, 3, 100, 108)
        c = valid.context
        # c is a multiple of the stride here, so both see the same pooling grid
        assert c % valid.stride == 0
        assert torch.allclose(mirror(x).logits[..., c:-c, c:-c], valid(x).logits, atol=1e-5)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"padding": "full"}, "padding='full'"),
            ({"channels": [64]}, "at least two"),
            ({"channels": [4, 7]}, "halved"),
            ({"dropout": 1.5}, "dropout=1.5"),
        ],
    )
    def test_bad_config(self, options, message):
        with pytest.raises(Exception, match=message):
            UNetConfig(**options)


class TestUNetPlusPlus:
    def test_default_is_the_papers_network(self):
        assert count(UNetPlusPlus(UNetPlusPlusConfig())) == 9_042_177
        model = UNetPlusPlus(UNetPlusPlusConfig(deep_supervision=True))
        assert count(model) == 9_042_276
        assert len(model.heads) == 4
        with torch.no_grad():
            assert model(torch.zeros(1, 3, 96, 96)).logits.shape == (1, 1, 96, 96)

    def test_accurate_is_the_mean_of_the_heads_and_fast_the_last(self):
        model = UNetPlusPlus(UNetPlusPlusConfig(**TINY, deep_supervision=True)).eval()
        x, labels = torch.randn(1, 3, 32, 32), torch.ones(1, 32, 32, dtype=torch.long)
        output = model(x, labels=labels)
        assert len(output.head_logits) == 2
        assert torch.allclose(output.logits, torch.stack(output.head_logits).mean(0))
        model.config.inference_mode = "fast"
        assert torch.equal(model(x).logits, output.head_logits[-1])

    def test_loss_is_the_mean_over_the_heads(self):
        model = UNetPlusPlus(UNetPlusPlusConfig(**TINY, deep_supervision=True)).eval()
        x, labels = torch.randn(1, 3, 32, 32), torch.randint(0, 2, (1, 32, 32))
        output = model(x, labels=labels)
        each = [segmentation_loss(h, labels, ["nucleus"]) for h in output.head_logits]
        assert output.loss.item() == pytest.approx(torch.stack(each).mean().item())

    @pytest.mark.parametrize("size", [(64, 64), (45, 83)])
    def test_pruned_network_equals_its_head(self, size):
        config = UNetPlusPlusConfig(channels=[4, 6, 8, 10, 12], deep_supervision=True, batch_norm=True)
        model = UNetPlusPlus(config).eval()
        x, labels = torch.randn(1, 3, *size), torch.ones(1, *size, dtype=torch.long)
        heads = model(x, labels=labels).head_logits
        sizes = []
        for level in (1, 2, 3, 4):
            small = model.prune(level)
            assert torch.equal(small(x).logits, heads[level - 1])
            sizes.append(count(small))
        assert sizes == sorted(sizes)
        assert sizes[-1] == count(model) - sum(p.numel() for h in list(model.heads)[:3] for p in h.parameters())

    def test_published_sizes_of_the_pruned_networks(self):
        model = UNetPlusPlus(UNetPlusPlusConfig(deep_supervision=True))
        # 0.1, 0.5, 2.2 and 9.0 million in the paper (TMI 2020, table 8)
        assert [round(count(model.prune(level)) / 1e6, 1) for level in (1, 2, 3, 4)] == [0.1, 0.5, 2.2, 9.0]

    def test_pruned_network_stands_alone(self, tmp_path):
        model = UNetPlusPlus(UNetPlusPlusConfig(**TINY, deep_supervision=True)).eval()
        model.prune(1).save_pretrained(tmp_path)
        x = torch.randn(1, 3, 18, 21)
        loaded = UNetPlusPlus.from_pretrained(tmp_path).eval()
        assert torch.equal(loaded(x).logits, model.prune(1)(x).logits)
        with torch.no_grad():
            loaded.heads[0].weight.zero_()
        assert model.heads[0].weight.abs().sum() > 0

    @pytest.mark.parametrize(("deep", "level"), [(True, 0), (True, 3), (False, 1)])
    def test_no_such_level(self, deep, level):
        with pytest.raises(ValueError, match=rf"prune\({level}\)"):
            UNetPlusPlus(UNetPlusPlusConfig(**TINY, deep_supervision=deep)).prune(level)

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"inference_mode": "slow"}, "slow"), ({"channels": []}, "at least two"), ({"size_divisor": 10}, "16")],
    )
    def test_bad_config(self, options, message):
        with pytest.raises(Exception, match=message):
            UNetPlusPlusConfig(**options)


class TestLoss:
    def test_right_logits_cost_nothing(self):
        labels = torch.randint(0, 2, (2, 8, 8))
        assert segmentation_loss((labels[:, None] * 2 - 1) * 50.0, labels, ["nucleus"]).item() == pytest.approx(
            0, abs=1e-3
        )

    def test_ignored_pixels_do_not_count(self):
        logits, labels = torch.randn(1, 1, 8, 8), torch.randint(0, 2, (1, 8, 8))
        labels[:, :4] = -1
        expected = segmentation_loss(logits, labels, ["nucleus"])
        logits[:, :, :4] = 99.0
        assert segmentation_loss(logits, labels, ["nucleus"]).item() == pytest.approx(expected.item())

    def test_targets_a_channel(self):
        names = ["background", "nucleus", "border", "distance"]
        classes = torch.nn.functional.one_hot(torch.randint(0, 3, (1, 8, 8)), 3).permute(0, 3, 1, 2).float()
        targets = torch.cat([classes, torch.full((1, 1, 8, 8), 0.5)], 1)
        right = torch.cat([classes * 50, torch.zeros(1, 1, 8, 8)], 1)
        assert segmentation_loss(right, targets, names).item() == pytest.approx(0, abs=1e-3)
        assert segmentation_loss(-right, targets, names).item() > 1

    def test_labels_that_fit_nothing(self):
        with pytest.raises(ValueError, match=r"\(1, 5, 5\).*8 x 8"):
            segmentation_loss(torch.zeros(1, 1, 8, 8), torch.zeros(1, 5, 5, dtype=torch.long), ["nucleus"])

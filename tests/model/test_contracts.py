"""What people who use the networks with transformers of their own may count on."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import Trainer, TrainingArguments

from nuclei_models import HubError, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.model.channels import check_names, standard_names
from nuclei_models.model.losses import loss_of, segmentation_loss

FOUR = {0: "background", 1: "nucleus", 2: "border", 3: "distance"}
KINDS = ("unet", "unetpp")


def network(kind: str = "unet", **options):
    torch.manual_seed(0)
    if kind == "unetpp":
        return UNetPlusPlus(UNetPlusPlusConfig(**{"channels": [2, 4], "deep_supervision": True, **options}))
    return UNet(UNetConfig(**{"channels": [2, 4], "padding": "same", **options}))


def images(n: int = 1, size: int = 16) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def masks(n: int = 1, size: int = 16) -> torch.Tensor:
    return (images(n, size)[:, 0] > 0).long()


names = st.sampled_from([None, {0: "LABEL_0", 1: "LABEL_1"}, {0: "nucleus", 1: "distance"}, FOUR]) | st.integers(1, 4)
shared = {
    "num_channels": st.integers(1, 4),
    "channels": st.lists(st.sampled_from([2, 4, 6]), min_size=2, max_size=4),
    "batch_norm": st.booleans(),
    "dropout": st.sampled_from([0, 0.0, 0.25]),
    "output_hidden_states": st.booleans(),
    "return_dict": st.booleans(),
}
unets = st.fixed_dictionaries({}, optional=shared | {"padding": st.sampled_from(["valid", "mirror", "same"])})
unetpps = st.fixed_dictionaries(
    {}, optional=shared | {"deep_supervision": st.booleans(), "inference_mode": st.sampled_from(["accurate", "fast"])}
)


class TestConfig:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.tuples(st.just(UNetConfig), unets) | st.tuples(st.just(UNetPlusPlusConfig), unetpps), names)
    def test_what_is_saved_loads_as_it_was(self, tmp_path, chosen, named):
        config_class, options = chosen
        naming = {"num_labels": named} if isinstance(named, int) else {"id2label": named} if named else {}
        config = config_class(**options, **naming)
        config.save_pretrained(tmp_path)
        again = config_class.from_pretrained(tmp_path)
        assert again.to_dict() == config.to_dict() and again.channels == config.channels
        assert again.id2label == config.id2label and again.label2id == config.label2id

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    def test_a_network_of_any_number_of_labels_loads_again(self, count, tmp_path):
        network(num_labels=count).save_pretrained(tmp_path)
        again = UNet.from_pretrained(tmp_path)
        assert again.num_labels == count and again.channel_names == standard_names(count)

    def test_two_labels_as_version_0_1_0_saved_them(self, tmp_path):
        network(num_labels=2).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        del config["id2label"], config["label2id"]
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert UNet.from_pretrained(tmp_path).channel_names == ["background", "nucleus"]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"num_labels": 5}, "num_labels=5: expected 1 to 4"),
            ({"id2label": {0: "background", 1: "tumour", 2: "stroma"}}, "tumour, stroma aren't known"),
            ({"id2label": {0: "distance", 1: "nucleus"}}, "distance, nucleus aren't known"),
            ({"id2label": {1: "nucleus"}}, r"ids \[1\]: expected 0 to 0"),
            ({"num_labels": 2, "id2label": FOUR}, "num_labels=2 disagrees with id2label, which names background"),
            ({"num_channels": 0}, "num_channels=0: expected at least 1"),
        ],
    )
    def test_what_the_config_refuses(self, options, sentence):
        with pytest.raises(Exception, match=sentence):
            UNetConfig(**options)

    @pytest.mark.parametrize("given", [{"num_labels": 2}, {"id2label": {0: "background", 1: "nucleus"}}])
    def test_another_number_of_labels_than_was_saved(self, given, tmp_path):
        network(id2label=FOUR).save_pretrained(tmp_path)
        with pytest.raises(HubError, match=r"head.bias has shape \(4,\) where \(2,\).*ignore_mismatched_sizes=True"):
            UNet.from_pretrained(tmp_path, **given)
        other = UNet.from_pretrained(tmp_path, **given, ignore_mismatched_sizes=True)
        assert other.head.out_channels == 2
        other.save_pretrained(tmp_path)
        assert UNet.from_pretrained(tmp_path).channel_names == ["background", "nucleus"]

    def test_channels_for_experiments(self):
        check_names(["background", "nucleus", "offset_y", "offset_x"])
        model = network(id2label={0: "nucleus", 1: "offset_y", 2: "offset_x"})
        with pytest.raises(ValueError, match="have no loss here"):
            model(images(), labels=masks())


@pytest.mark.parametrize("kind", KINDS)
class TestForward:
    def test_a_misspelt_argument(self, kind):
        with pytest.raises(TypeError, match="label"):
            network(kind)(images(), label=masks())

    def test_return_dict_of_the_config(self, kind):
        model = network(kind, return_dict=False).eval()
        (logits,) = model(images())
        loss, again = model(images(), labels=masks())
        assert torch.equal(logits, again) and loss.ndim == 0
        assert torch.equal(model(images(), return_dict=True).logits, logits)

    def test_transformers_loss_function(self, kind, caplog):
        assert network(kind).loss_function is loss_of and not caplog.records  # not a language model's, with a warning

    def test_hidden_states(self, kind):
        model = network(kind, channels=[2, 4, 6]).eval()
        output = model(images(), output_hidden_states=True)
        sizes = [tuple(x.shape[1:]) for x in output.hidden_states]
        whole, half, quarter = (2, 16, 16), (4, 8, 8), (6, 4, 4)
        unet = [whole, half, quarter, half, whole]
        assert sizes == (unet if kind == "unet" else [whole, whole, whole, half, half, quarter])
        head = model.head if kind == "unet" else model.heads[-1]
        last = output.hidden_states[-1 if kind == "unet" else 2]
        expected = output.logits if kind == "unet" else model(images(), labels=masks()).head_logits[-1]
        assert torch.equal(head(last), expected)
        assert model(images()).hidden_states is None
        model.config.output_hidden_states = True
        assert len(model(images()).hidden_states) == len(sizes)
        assert len(model(images(), return_dict=False)) == 2

    @pytest.mark.parametrize("size", [8, 12, 20])
    def test_labels_of_another_size(self, kind, size):
        with pytest.raises(ValueError, match=f"labels of {size} x {size} pixels for images of 16 x 16"):
            network(kind)(images(), labels=masks(size=size))


def test_an_unpadded_network_takes_labels_of_the_images_size_or_the_logits():
    model = network(padding="valid").eval()
    c, x, labels = model.context, images(size=32), masks(size=32)
    whole = model(x, labels=labels).loss
    assert torch.equal(whole, model(x, labels=labels[:, c:-c, c:-c]).loss)
    with pytest.raises(ValueError, match="labels of 30 x 30 pixels for images of 32 x 32"):
        model(x, labels=labels[:, 1:-1, 1:-1])


class TestLabels:
    @pytest.mark.parametrize("count", [1, 2, 4])
    @pytest.mark.parametrize(
        ("labels", "values"),
        [
            (lambda mask: mask * 255, "from 0 to 255"),  # not "255 is ignored"
            (lambda mask: (mask * 255).to(torch.uint8), "from 0 to 255"),
            (lambda mask: mask * torch.arange(16)[:, None], "from 0 to 15"),  # a label image
        ],
    )
    def test_masks_and_label_images_are_no_class_ids(self, count, labels, values):
        with pytest.raises(ValueError, match=f"{values}: expected the class ids 0 to .*segmentation_maps="):
            network(num_labels=count)(images(), labels=labels(masks()))

    @pytest.mark.parametrize("value", [255.0, 1.5, -0.5, float("nan")])
    def test_floats_beyond_0_and_1(self, value):
        targets = torch.zeros(1, 4, 16, 16)
        targets[0, 0, 3, 3] = value
        with pytest.raises(ValueError, match="expected 0 to 1, or -1"):
            network(id2label=FOUR)(images(), labels=targets)

    @pytest.mark.parametrize(
        ("labels", "sentence"),
        [
            (masks().float(), r"shape \(1, 16, 16\) and type torch.float32: expected integers"),
            (torch.zeros(1, 2, 16, 16), r"shape \(1, 2, 16, 16\) don't fit .*border, distance"),
            (torch.zeros(1, 4, 16, 16).long(), "torch.int64: expected floats"),
            (masks(2), r"\(2, 16, 16\) don't fit .* for 1 images"),
        ],
    )
    def test_other_forms(self, labels, sentence):
        with pytest.raises(ValueError, match=sentence):
            network(id2label=FOUR)(images(), labels=labels)

    def test_a_boolean_mask_is_a_mask(self):
        model = network().eval()
        assert torch.equal(model(images(), labels=masks() > 0).loss, model(images(), labels=masks()).loss)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.uint32])
    def test_integers_of_any_type(self, dtype):
        model = network().eval()
        assert torch.equal(model(images(), labels=masks().to(dtype)).loss, model(images(), labels=masks()).loss)

    def test_class_ids_leave_the_distance_alone(self):
        logits = torch.randn(1, 4, 8, 8, requires_grad=True)
        segmentation_loss(logits, torch.randint(0, 3, (1, 8, 8)), list(FOUR.values())).backward()
        assert logits.grad[:, 3].abs().max() == 0 < logits.grad[:, :3].abs().max()

    def test_a_perfect_answer_costs_nothing_whatever_the_distance(self):
        ids = torch.randint(0, 3, (1, 8, 8))
        logits = torch.nn.functional.one_hot(ids, 3).permute(0, 3, 1, 2) * 50.0
        logits = torch.cat([logits, torch.full((1, 1, 8, 8), 99.0)], 1)
        assert segmentation_loss(logits, ids, list(FOUR.values())).item() == pytest.approx(0, abs=1e-4)

    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_negative_pixels_are_left_out(self, count):
        names = standard_names(count)
        logits, ids = torch.randn(1, count, 8, 8), torch.randint(0, 2, (1, 8, 8))
        ids[:, :4] = -100
        expected = segmentation_loss(logits, ids, names)
        logits[:, :, :4] = 77.0
        assert segmentation_loss(logits, ids, names).item() == pytest.approx(expected.item())


def trained(folder, batch: int, accumulate: int) -> Trainer:
    """After a step from the same weights on four images, all alike because Dice is computed over a batch."""
    items = [{"pixel_values": images(size=64)[0], "labels": masks(size=64)[0]} for _ in range(4)]
    args = TrainingArguments(
        folder,
        max_steps=1,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulate,
        optim="sgd",
        learning_rate=0.1,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(network(), args, train_dataset=items)
    trainer.train()
    return trainer


class TestTrainer:
    def test_accumulated_gradients_are_those_of_the_plain_run(self, tmp_path):
        plain, accumulated = trained(tmp_path, 4, 1), trained(tmp_path, 1, 4)
        for figure in ("loss", "grad_norm"):
            a, b = (t.state.log_history[0][figure] for t in (plain, accumulated))
            assert b == pytest.approx(a, rel=1e-3)
        for a, b in zip(plain.model.parameters(), accumulated.model.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-5)

    def test_compute_metrics_gets_one_array(self, tmp_path):
        seen = []
        items = [{"pixel_values": images()[0], "labels": masks()[0]} for _ in range(2)]
        args = TrainingArguments(tmp_path, report_to="none", disable_tqdm=True, use_cpu=True)
        model = network("unetpp", output_hidden_states=True)
        Trainer(model, args, eval_dataset=items, compute_metrics=lambda p: seen.append(p) or {}).evaluate()
        [prediction] = seen
        assert isinstance(prediction.predictions, np.ndarray) and prediction.predictions.shape == (2, 1, 16, 16)
        assert prediction.label_ids.shape == (2, 16, 16)

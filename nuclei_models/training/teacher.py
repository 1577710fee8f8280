"""A network that is there teaches a smaller one: crops and their target maps -> target maps that hold what it says.

In the truth a pixel is border or it isn't. What a good network says of the pixel is softer, and tells where nobody can
know it (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015).
"""

import torch

from ..inference.runtime import Runtime
from ..model.channels import class_count
from ..model.layers import NucleiNetwork


class Teacher:
    """Target maps, in part what a network says.

    Args:
        model: It has the channels of the network that is taught, in their order.
        part: How much of a target is what it says, 0 to 1; the rest is the truth.

    Raises:
        ValueError: The part is not between 0 and 1.
    """

    def __init__(self, model: NucleiNetwork, part: float):
        if not 0 <= part <= 1:
            raise ValueError(f"teacher_part is {part}: expected 0 (the truth alone) to 1 (the teacher alone).")
        self.model, self.part = model, part
        self.names = [model.config.id2label[i] for i in range(model.config.num_labels)]

    def targets(self, pixel_values: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) and (B, C, H, W) in [0, 1], -1 where nobody knows -> (B, C, H, W), -1 in the same places.

        Raises:
            ValueError: The truth has other channels than the teacher.
        """
        if truth.ndim != 4 or truth.shape[1] != len(self.names):
            raise ValueError(
                f"labels of shape {tuple(truth.shape)}: the teacher has {len(self.names)} channels "
                f"({', '.join(self.names)}), and teaches networks with the same."
            )
        run = Runtime(self.model.to(pixel_values.device))
        parts = pixel_values.split(1 if run.streamed else len(pixel_values))
        said = torch.cat([run(part) for part in parts]).to(truth.device)
        n = class_count(self.names)
        said = torch.cat([said[:, :n].softmax(1) if n > 1 else said[:, :n].sigmoid(), said[:, n:].sigmoid()], 1)
        return torch.where(truth < 0, truth, truth.lerp(said, self.part))

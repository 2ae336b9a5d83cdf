"""What the proofs of the image architectures share: two models, one data set, equal training."""

from functools import cache

import torch
from torch import Tensor, nn

from dlplug.losses.cross_entropy import cross_entropy
from dlplug.optim import FusedAdamW, weight_decay_groups


@cache
def small_mnist() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """MNIST at 14 x 14 pixels: 2,000 images to train on, 1,000 others to judge by."""
    from dlplug.data.mnist import MNIST

    images, digits = MNIST().read()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:3000]
    images, digits = torch.nn.functional.avg_pool2d(images[order], 2), digits[order]
    return images[:2000], digits[:2000], images[2000:], digits[2000:]


def accuracy_after(make, epochs: int = 8, lr: float = 3e-3) -> float:
    """Accuracy on the images left out, after ``epochs`` over the others in batches of 64."""
    images, digits, test_images, test_digits = small_mnist()
    torch.manual_seed(0)
    model = make()
    optimizer = FusedAdamW(weight_decay_groups(model, 0.01), lr=lr)
    batches = epochs * (len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(images))[: len(images) // 64 * 64].split(64):
            optimizer.zero_grad()
            cross_entropy(model(images[rows]), digits[rows]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return float((model(test_images).argmax(1) == test_digits).float().mean())


@cache
def linear_accuracy(epochs: int = 8) -> float:
    """The same training of a linear model on the pixels, at the best of three rates."""

    def linear():
        return nn.Sequential(nn.Flatten(), nn.Linear(14 * 14, 10))

    return max(accuracy_after(linear, epochs, lr) for lr in (3e-3, 1e-2, 3e-2))

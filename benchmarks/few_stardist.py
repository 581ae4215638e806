"""StarDist from scratch on a few images, for few_images.py; in an environment of its own.

    python -m venv stardist
    stardist/bin/pip install stardist==0.9.2 csbdeep==0.8.2 tensorflow-cpu==2.21.0
    python benchmarks/few_images.py DATA --stardist stardist/bin/python

few_images.py starts it with arrays in a file, and reads the labels that it writes:

    stardist/bin/python benchmarks/few_stardist.py TASK.npz LABELS.npz --minutes 10

It follows the package's own example for 2-D: percentiles 1 and 99.8, 32 rays on a grid of
2 x 2, patches of 256 px, batches of 4, flips, quarter turns and intensities, 15 % of the
images for validation, the weights that were best on these, thresholds optimised on these.
Time is the budget, so the rate falls with time, from the package's own to 0 along a
cosine, in place of waiting for a plateau, which no short training meets. The clock starts
after the first step, which compiles.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D

RATE = 3e-4
EPOCHS = 10_000  # more than any budget holds
VALIDATION = 0.15
Arrays = Sequence[np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]


class TimeBudget(keras.callbacks.Callback):
    """Ends training when its time is used up; until then the rate falls as a cosine.

    Parameters
    ----------
    minutes
        The budget; validations count, the first step does not.
    rate
        At the beginning.
    """

    def __init__(self, minutes: float, rate: float) -> None:
        super().__init__()
        self.seconds, self.rate, self.steps = 60 * minutes, rate, 0
        self.began = math.inf

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Look at the clock."""
        self.steps += 1
        if self.steps == 1:
            self.began = time.perf_counter()
        used = min(1.0, (time.perf_counter() - self.began) / self.seconds)
        factor = 0.5 * (1 + math.cos(math.pi * used))
        self.model.optimizer.learning_rate.assign(self.rate * factor)
        self.model.stop_training = used >= 1


def augmenter(seed: int) -> Callable[[np.ndarray, np.ndarray], Pair]:
    """Return what varies a patch: the package's example, in few lines."""
    rng = np.random.default_rng(seed)

    def vary(image: np.ndarray, labels: np.ndarray) -> Pair:
        """Mirror and turn both; vary brightness and contrast; add a little noise."""
        turns, mirrored = rng.integers(4), rng.random() < 0.5
        image, labels = np.rot90(image, turns), np.rot90(labels, turns)
        if mirrored:
            image, labels = image[:, ::-1], labels[:, ::-1]
        image = image * rng.uniform(0.6, 2) + rng.uniform(-0.2, 0.2)
        noise = rng.normal(0, 0.02 * rng.uniform(), image.shape)
        return image + noise, labels

    return vary


def trained(
    images: Arrays, labels: Arrays, folder: str, arguments: argparse.Namespace
) -> tuple[StarDist2D, int]:
    """Train, and optimise the thresholds; return the model and the steps done."""
    order = np.random.default_rng(arguments.seed).permutation(len(images))
    n_kept = max(1, round(VALIDATION * len(images)))
    parts = (order[n_kept:], order[:n_kept])
    (x, y), kept = (
        ([images[i] for i in part], [labels[i] for i in part]) for part in parts
    )
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        train_learning_rate=arguments.rate,
        train_reduce_lr=None,
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="few", basedir=folder)
    model.prepare_for_training()
    budget = TimeBudget(arguments.minutes, arguments.rate)
    model.callbacks.append(budget)
    vary = augmenter(arguments.seed)
    model.train(x, y, validation_data=kept, augmenter=vary, epochs=EPOCHS)
    model.optimize_thresholds(*kept)
    return model, budget.steps


def main() -> None:
    """Train on the arrays of a file; write the labels of its test images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", help=".npz with image_N, labels_N and test_N")
    parser.add_argument("out", help=".npz for labels_N and steps")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(arguments.seed)
    with np.load(arguments.task) as task:
        numbers = range(sum(name.startswith("image_") for name in task))
        images = [normalize(task[f"image_{i}"], 1, 99.8) for i in numbers]
        labels = [fill_label_holes(task[f"labels_{i}"]) for i in numbers]
        n_test = sum(name.startswith("test_") for name in task)
        test = [normalize(task[f"test_{i}"], 1, 99.8) for i in range(n_test)]
    with tempfile.TemporaryDirectory() as folder:
        model, steps = trained(images, labels, folder, arguments)
    found = {
        f"labels_{i}": model.predict_instances(image)[0].astype(np.int32)
        for i, image in enumerate(test)
    }
    np.savez_compressed(arguments.out, steps=steps, **found)


if __name__ == "__main__":
    main()

"""Train a small network on the handwritten digits of scikit-learn, and survive whatever happens to this process.

The script of `respool demo`, and a model of one's own: what survives is what `restore` brings back, here the
weights, the momentum and the step. The minibatch of a step depends on the step alone, so that a resumed training
repeats the one that was killed, number for number.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import respool

Array = NDArray[np.float32]
BATCH, WIDTH, RATE, MOMENTUM, NOISE = 256, 512, 0.001, 0.9, 0.4
HELD_OUT = 360
CHECKPOINT = "checkpoint.npz"


class Network:
    """Two hidden layers, softmax, stochastic gradient descent with momentum: numpy and nothing else."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        sizes = [(64, WIDTH), (WIDTH, WIDTH), (WIDTH, 10)]
        self.weights = [
            (draw.standard_normal(size) * np.sqrt(2 / size[0])).astype(np.float32) for size in sizes
        ]
        self.weights += [np.zeros(size[1], np.float32) for size in sizes]
        self.speed = [np.zeros_like(weight) for weight in self.weights]

    def forward(self, x: Array) -> tuple[Array, Array, Array]:
        """Both hidden layers and the probabilities of the ten digits."""
        w1, w2, w3, b1, b2, b3 = self.weights
        first = np.maximum(x @ w1 + b1, 0)
        second = np.maximum(first @ w2 + b2, 0)
        scores = second @ w3 + b3
        grown = np.exp(scores - scores.max(axis=1, keepdims=True))
        return first, second, grown / grown.sum(axis=1, keepdims=True)

    def learn(self, x: Array, digits: NDArray[np.int64]) -> float:
        """One step of gradient descent; the loss before it."""
        first, second, chances = self.forward(x)
        right = np.arange(len(x)), digits
        loss = float(-np.log(chances[right] + 1e-9).mean())
        chances[right] -= 1
        back3 = chances / len(x)
        back2 = (back3 @ self.weights[2].T) * (second > 0)
        back1 = (back2 @ self.weights[1].T) * (first > 0)
        slopes = [x.T @ back1, first.T @ back2, second.T @ back3, back1.sum(0), back2.sum(0), back3.sum(0)]
        for at, slope in enumerate(slopes):
            self.speed[at] = MOMENTUM * self.speed[at] + slope
            self.weights[at] -= RATE * self.speed[at]
        return loss

    def accuracy(self, x: Array, digits: NDArray[np.int64]) -> float:
        return float((self.forward(x)[2].argmax(axis=1) == digits).mean())

    def save(self, path: str, step: int) -> None:
        """A whole checkpoint, or none: written beside, then renamed."""
        with open(f"{path}.new", "wb") as file:
            np.savez(file, *self.weights, *self.speed, step=step)
        os.replace(f"{path}.new", path)

    def load(self, file: Any) -> int:
        """Take over a checkpoint; the step after which it was made."""
        with np.load(file) as found:
            arrays = [found[f"arr_{at}"] for at in range(12)]
            self.weights, self.speed = arrays[:6], arrays[6:]
            return int(found["step"])


def main() -> None:
    """Train, from the beginning or from the last checkpoint."""
    options = parse()
    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels, digits = (pixels[order] / 16).astype(np.float32), digits[order]

    run = respool.init(project="digits", id="mlp", resume="allow", config={"batch": BATCH, "rate": RATE})
    network, start = Network(seed=1), 0
    if run.resumed:
        with respool.restore(CHECKPOINT) as file:
            start = network.load(file) + 1

    for step in range(start, options.steps):
        draw = np.random.default_rng((7, step))
        chosen = draw.integers(HELD_OUT, len(pixels), BATCH)
        noise = draw.normal(0, NOISE, (BATCH, 64)).astype(np.float32)
        loss = network.learn(pixels[chosen] + noise, digits[chosen])
        accuracy = network.accuracy(pixels[:HELD_OUT], digits[:HELD_OUT])
        run.log({"loss": loss, "accuracy": accuracy}, step=step)
        note(options.truth, step=step, loss=loss, accuracy=accuracy)
        if (step + 1) % options.every == 0:
            network.save(CHECKPOINT, step)
            run.save(CHECKPOINT)
    run.finish()


def note(descriptor: int, **row: float) -> None:
    """The demo's own record of what `log()` was given, made after it returned."""
    os.write(descriptor, json.dumps(row).encode() + b"\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--every", type=int, required=True, help="steps between two checkpoints")
    parser.add_argument("--truth", type=append, required=True, help="file that says what was logged")
    return parser.parse_args()


def append(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


if __name__ == "__main__":
    main()

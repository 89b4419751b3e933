#!/usr/bin/env python3
"""Exports ALBERT (Lan et al. 2019) in the size that the authors of AGR trained, freshly initialized: embeddings of 24, hidden 64,
feed-forward 256, six layers that share their weights, one head; for 64 letters at 16 positions, of which some are masked, and for 4,096 words,
a mark and padding at 15 positions, for the order of sentences. Linear layers begin with PyTorch's own weights.

    python3 experiments/export-albert.py [name ...]
"""
import math
import pathlib
import sys

import torch
from torch import nn

EMBEDDED, HIDDEN, INNER, LAYERS = 24, 64, 256, 6
LETTERS, POSITIONS, WORDS = 64, 16, 4096
PAIR, PADDING = 15, WORDS + 1


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.inner, self.outer = nn.Linear(HIDDEN, INNER), nn.Linear(INNER, HIDDEN)

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / math.sqrt(HIDDEN)
        x = self.norm1(x + self.out(torch.softmax(scores, -1) @ self.v(x)))
        return self.norm2(x + self.outer(nn.functional.gelu(self.inner(x))))


class Albert(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(LETTERS, EMBEDDED)
        self.positions = nn.Parameter(0.02 * torch.randn(1, POSITIONS, EMBEDDED))
        self.norm = nn.LayerNorm(EMBEDDED)
        self.widen = nn.Linear(EMBEDDED, HIDDEN)
        self.layer = Layer()
        self.narrow = nn.Linear(HIDDEN, EMBEDDED)
        self.last = nn.LayerNorm(EMBEDDED)
        self.scores = nn.Linear(EMBEDDED, LETTERS)
        nn.init.normal_(self.letters.weight, std=0.02)

    def forward(self, ids):
        x = self.widen(self.norm(self.letters(ids) + self.positions))
        for _ in range(LAYERS):
            x = self.layer(x)
        return self.scores(self.last(nn.functional.gelu(self.narrow(x))))


class Order(nn.Module):
    """Two scores for a pair of halves: their mean over what is no padding decides."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS + 2, EMBEDDED)
        self.positions = nn.Parameter(0.02 * torch.randn(1, PAIR, EMBEDDED))
        self.norm = nn.LayerNorm(EMBEDDED)
        self.widen = nn.Linear(EMBEDDED, HIDDEN)
        self.layer = Layer()
        self.pool = nn.Linear(HIDDEN, HIDDEN)
        self.scores = nn.Linear(HIDDEN, 2)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, ids):
        x = self.widen(self.norm(self.words(ids) + self.positions))
        for _ in range(LAYERS):
            x = self.layer(x)
        there = (ids != PADDING).to(x.dtype).unsqueeze(-1)
        return self.scores(torch.tanh(self.pool((x * there).sum(1) / there.sum(1))))


MODELS = {"albert": (Albert, POSITIONS), "order": (Order, PAIR)}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make, length = MODELS[name]
        torch.manual_seed(1)
        model = make()
        path = pathlib.Path(__file__).parent / name / "model.onnx"
        torch.onnx.export(
            model,
            (torch.zeros(2, length, dtype=torch.int64),),
            str(path),
            input_names=["input"],
            output_names=["scores"],
            dynamic_axes={"input": {0: "batch"}, "scores": {0: "batch"}},
            opset_version=17,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.TRAINING,
        )
        print(name, sum(p.numel() for p in model.parameters()), path.stat().st_size)

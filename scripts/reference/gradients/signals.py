"""Transforms of signals."""

import numpy as np
import torch
from case import case, real

parts = torch.view_as_real
pairs = lambda x: torch.view_as_complex(x.contiguous())
case("DFT", {"x": real(2, 5, 1)}, {"axis": 1}, lambda x: parts(torch.fft.fft(x[..., 0], dim=1)), title="real", static=["x"])
case("DFT", {"x": real(2, 5, 3, 2)}, {"axis": 1}, lambda x: parts(torch.fft.fft(pairs(x), dim=1)), title="complex", open=[0, 1, 2])
case("DFT", {"x": real(2, 3, 6, 2)}, {"axis": 2, "inverse": 1}, lambda x: parts(torch.fft.ifft(pairs(x), dim=2)), title="inverse", open=[0, 1, 2])
case("DFT", {"x": real(2, 6, 1)}, {"axis": 1, "onesided": 1}, lambda x: parts(torch.fft.rfft(x[..., 0], dim=1)), title="one side", open=[0, 1])
case("DFT", {"x": real(3, 4, 2, 1), "length": None, "axis": np.array(0)}, {"onesided": 1}, lambda x, n, a: parts(torch.fft.rfft(x[..., 0], dim=0)), opset=20, title="one side, the axis is an input", open=[0, 1, 2])


def frames(x, step, length):
    return torch.stack([x[:, at : at + length] for at in range(0, x.shape[1] - length + 1, step)], 1)


case("STFT", {"x": real(2, 10, 1), "step": np.array(3), "w": real(4)}, {}, lambda x, s, w: parts(torch.fft.rfft(frames(x[..., 0], 3, 4) * w)), title="one side, the window is trained", open=[0, 1], static=["w"])
case("STFT", {"x": real(1, 9, 1), "step": np.array(2), "w": None, "length": np.array(4)}, {"onesided": 0}, lambda x, s, w, n: parts(torch.fft.fft(frames(x[..., 0], 2, 4))), title="both sides, no window", open=[0, 1])

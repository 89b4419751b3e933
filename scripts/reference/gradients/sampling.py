"""Images read at points of a grid."""

import numpy as np
import torch.nn.functional as F
from case import NO_KERNEL, away, case, real, single

single(NO_KERNEL, "GridSample", but=["linear"])

for mode in ["bilinear", "nearest"]:
    for padding in ["zeros", "border"]:
        for align in [0, 1]:
            image, grid = real(2, 3, 4, 5), away(2, 3, 2, 2, kinks=(0.0,), low=-1.3, high=1.3)
            step = np.array([5, 4]) / 2 if not align else np.array([4, 3]) / 2
            offset = (np.array([4, 3]) / 2) if not align else np.array([4, 3]) / 2
            position = (grid * step + offset) * 2
            grid = np.where(np.abs(position - np.round(position)) < 0.1, grid + 0.12 / step, grid)
            attrs = {"mode": mode, "padding_mode": padding, "align_corners": align}
            sample = lambda x, g, m=mode, p=padding, a=align: F.grid_sample(x, g, mode=m, padding_mode=p, align_corners=bool(a))
            case("GridSample", {"x": image, "grid": grid}, attrs, sample, title=f"{mode}, {padding}, corners {align}", wrt=["x", "grid"] if mode == "bilinear" else ["x"])
case("GridSample", {"x": real(1, 2, 3, 3), "grid": away(1, 2, 2, 2, margin=0.1, low=-0.6, high=0.6)}, {"mode": "linear"}, lambda x, g: F.grid_sample(x, g, align_corners=False), opset=20, title="linear")

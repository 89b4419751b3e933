"""LSTM, GRU and RNN."""

import numpy as np
import torch
import torch.nn.functional as F
from case import case, int32s, real


def recurrent(op, gates, order, run, title, bidirectional=False, reverse=False, attrs=None):
    """`order`: ONNX's gates among PyTorch's."""
    T, N, I, H = 4, 2, 3, 2
    D = 2 if bidirectional else 1
    pick = lambda t: torch.cat([t[g * H : (g + 1) * H] for g in order])
    inputs = {"x": real(T, N, I), "w": real(D, gates * H, I), "r": real(D, gates * H, H), "b": real(D, 2 * gates * H), "lens": None, "h": real(D, N, H)}
    if op == "LSTM":
        inputs["c"] = real(D, N, H)

    def of(x, w, r, b, lens, h, c=None):
        back = np.argsort(order)
        unpick = lambda t: torch.cat([t[g * H : (g + 1) * H] for g in back])
        flat = []
        for d in range(D):
            flat += [unpick(w[d]), unpick(r[d]), unpick(b[d][: gates * H]), unpick(b[d][gates * H :])]
        given = x.flip(0) if reverse else x
        y, *last = run(given, (h, c) if op == "LSTM" else h, flat, True, 1, 0.0, False, bidirectional, False)
        y = y.flip(0) if reverse else y
        y = y.reshape(T, N, D, H).permute(0, 2, 1, 3)
        return (y, *last)

    direction = "bidirectional" if bidirectional else "reverse" if reverse else "forward"
    case(op, inputs, {"hidden_size": H, "direction": direction, **(attrs or {})}, of, title=title, outputs=3 if op == "LSTM" else 2, open=[0, 1], static=["w", "r", "b", "h", "c"], opset=17)


for title, more in [("", {}), ("backwards", {"reverse": True}), ("both ways", {"bidirectional": True})]:
    recurrent("LSTM", 4, [0, 3, 1, 2], torch._VF.lstm, title, **more)
    recurrent("GRU", 3, [1, 0, 2], torch._VF.gru, title, attrs={"linear_before_reset": 1}, **more)
    recurrent("RNN", 1, [0], torch._VF.rnn_tanh, title, **more)

for op, gates, order, run, names in [
    ("LSTM", 4, [0, 3, 1, 2], torch._VF.lstm, ["Sigmoid", "Tanh", "Tanh"]),
    ("GRU", 3, [1, 0, 2], torch._VF.gru, ["Sigmoid", "Tanh"]),
    ("RNN", 1, [0], torch._VF.rnn_tanh, ["Tanh"]),
]:
    recurrent(op, gates, order, run, "its activations said", attrs={"activations": names, **({"linear_before_reset": 1} if op == "GRU" else {})})

MAKERS = {"Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Relu": torch.relu, "HardSigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1), "Softsign": F.softsign, "Softplus": F.softplus}


def cell(op, x, h, c, w, r, b, p, acts, clip, coupled, linear):
    """One step of one direction, as ONNX has it."""
    H = h.shape[-1]
    act = lambda at, v: MAKERS[acts[at]](v.clamp(-clip, clip) if clip else v)
    wb, rb = b[: b.shape[0] // 2], b[b.shape[0] // 2 :]
    if op == "RNN":
        return act(0, x @ w.T + h @ r.T + wb + rb), None
    if op == "LSTM":
        i, o, f, g = (x @ w.T + h @ r.T + wb + rb).split(H, -1)
        pi, po, pf = p.split(H) if p is not None else (0, 0, 0)
        i = act(0, i + pi * c)
        f = 1 - i if coupled else act(0, f + pf * c)
        c = f * c + i * act(1, g)
        return act(0, o + po * c) * MAKERS[acts[2]](c), c
    (xz, xr, xh), (rz, rr, rh), (bz, br, bh) = (x @ w.T + wb).split(H, -1), r.split(H), rb.split(H)
    z, reset = act(0, xz + h @ rz.T + bz), act(0, xr + h @ rr.T + br)
    n = act(1, xh + (reset * (h @ rh.T + bh) if linear else (reset * h) @ rh.T + bh))
    return (1 - z) * n + z * h, None


def layer(op, title, lens=None, direction="forward", acts=None, clip=0, coupled=0, linear=0, peep=False, initial=True, open=(0, 1)):
    T, N, I, H, D = 4, 3, 2, 2, 2 if direction == "bidirectional" else 1
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    inputs = {"x": real(T, N, I), "w": real(D, gates * H, I), "r": real(D, gates * H, H), "b": real(D, 2 * gates * H), "lens": None if lens is None else int32s(*lens), "h": real(D, N, H) if initial else None}
    if op == "LSTM":
        inputs["c"] = real(D, N, H) if initial else None
        if peep:
            inputs["p"] = real(D, 3 * H)
    names = acts or {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[op] * D
    per = len(names) // D

    def of(x, w, r, b, n, h0=None, c0=None, p=None):
        every, lasts, cells = [], [], []
        for d in range(D):
            back = direction == "reverse" or d == 1
            ys, last, end = [[None] * N for _ in range(T)], [], []
            for k in range(N):
                count = T if n is None else int(n[k])
                h = h0[d, k] if h0 is not None else torch.zeros(H)
                c = c0[d, k] if c0 is not None else torch.zeros(H)
                for t in reversed(range(count)) if back else range(count):
                    h, c = cell(op, x[t, k], h, c, w[d], r[d], b[d], None if p is None else p[d], names[d * per : (d + 1) * per], clip, coupled, linear)
                    ys[t][k] = h
                for t in range(count, T):
                    ys[t][k] = torch.zeros(H)
                last.append(h)
                end.append(c)
            every.append(torch.stack([torch.stack(row) for row in ys]))
            lasts.append(torch.stack(last))
            cells.append(torch.stack(end) if op == "LSTM" else None)
        return (torch.stack(every, 1), torch.stack(lasts), *([torch.stack(cells)] if op == "LSTM" else []))

    attrs = {"hidden_size": H, "direction": direction}
    attrs |= {"activations": names} if acts else {}
    attrs |= {"clip": clip} if clip else {}
    attrs |= {"input_forget": 1} if coupled else {}
    attrs |= {"linear_before_reset": 1} if linear else {}
    case(op, inputs, attrs, of, title=title, outputs=3 if op == "LSTM" else 2, open=list(open), static=["w", "r", "b", "h", "c", "p"])


LENGTHS = (2, 4, 1)
for op in ["LSTM", "GRU", "RNN"]:
    layer(op, "lengths", lens=LENGTHS)
    layer(op, "lengths, backwards", lens=LENGTHS, direction="reverse")
    layer(op, "lengths, both ways, no initial states", lens=LENGTHS, direction="bidirectional", initial=False)
    layer(op, "clipped", clip=1.2)
layer("LSTM", "peepholes", peep=True)
layer("LSTM", "peepholes, lengths, both ways", peep=True, lens=LENGTHS, direction="bidirectional")
layer("LSTM", "coupled gates", coupled=1)
layer("LSTM", "other activations", acts=["HardSigmoid", "Softsign", "Softplus"])
layer("GRU", "other activations, linear before reset", acts=["HardSigmoid", "Softplus"], linear=1)
layer("RNN", "other activations, both ways", acts=["Relu", "Softsign"], direction="bidirectional")

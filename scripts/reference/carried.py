"""Makes tests/runtime/carried.json: a language model of one LSTM whose states go on from batch to batch, detached, in PyTorch.

    python3 scripts/reference/carried.py > tests/runtime/carried.json

Needs torch; the project and its tests do not. Weights are in ONNX's layout. The samples follow one another; a batch has the next of each run.
"""

import json

import torch
import torch.nn.functional as F

torch.manual_seed(20261127)
torch.set_default_dtype(torch.float64)
WORDS, WIDTH, HIDDEN, LENGTH, RUNS, BATCHES, RATE = 11, 6, 8, 5, 4, 10, 0.5


def windows(count):
    stream = torch.randint(0, WORDS, (count * LENGTH + 1,))
    for at in range(2, len(stream)):
        if at % 3:
            stream[at] = (stream[at - 1] + 2 * stream[at - 2] + 1) % WORDS
    return stream[:-1].reshape(count, LENGTH), stream[1:].reshape(count, LENGTH)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(WORDS, WIDTH)
        self.lstm = torch.nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, WORDS, bias=False)

    def forward(self, words, state):
        y, state = self.lstm(self.table(words), state)
        return self.head(y), tuple(each.detach() for each in state)


net = Net()
begin = {name: (3 * value).float().double() for name, value in net.state_dict().items()}


def gates(rows):
    """PyTorch has input, forget, cell, output; ONNX input, output, forget, cell."""
    i, f, c, o = rows.chunk(4, 0)
    return torch.cat([i, o, f, c], 0)[None]


def listed(value):
    return {"dims": list(value.shape), "data": [float(v) for v in value.reshape(-1)]}


def weights():
    s = net.state_dict()
    bias = torch.cat([gates(s["lstm.bias_ih_l0"]), gates(s["lstm.bias_hh_l0"])], 1)
    held = {"table": s["table.weight"], "W": gates(s["lstm.weight_ih_l0"]), "R": gates(s["lstm.weight_hh_l0"]), "B": bias, "head": s["head.weight"].T}
    return {name: listed(value) for name, value in held.items()}


def zeros():
    return (torch.zeros(1, RUNS, HIDDEN), torch.zeros(1, RUNS, HIDDEN))


def batches(words, labels):
    length = len(words) // RUNS
    for at in range(length):
        chosen = [run * length + at for run in range(RUNS)]
        yield words[chosen], labels[chosen]


def loss_of(words, labels, state):
    y, state = net(words, state)
    return F.cross_entropy(y.reshape(-1, WORDS), labels.reshape(-1)), state


def train(data, epochs, accumulate=1, carries=True):
    net.load_state_dict(begin)
    sgd = torch.optim.SGD(net.parameters(), lr=RATE)
    losses = []
    for _ in range(epochs):
        state = zeros()
        for at, (words, labels) in enumerate(batches(*data)):
            loss, state = loss_of(words, labels, state if carries else zeros())
            loss.backward()
            losses.append(loss.item())
            if (at + 1) % accumulate == 0:
                sgd.step()
                sgd.zero_grad()
    return losses


@torch.no_grad()
def evaluate(data):
    state, losses = zeros(), []
    for words, labels in batches(*data):
        loss, state = loss_of(words, labels, state)
        losses.append(loss.item())
    return sum(losses) / len(losses)


data, other = windows(RUNS * BATCHES), windows(RUNS * 3)
net.load_state_dict(begin)
result = {"runs": RUNS, "rate": RATE, "weights": weights()}
for name, (words, labels) in {"training": data, "other": other}.items():
    result[name] = {"words": words.tolist(), "labels": labels.tolist()}
result["losses"] = train(data, 2)
result["evaluation"] = evaluate(other)
train(data, 1, accumulate=2)
result["accumulated"] = weights()["head"]
result["alone"] = train(data, 2, carries=False)
print(json.dumps(result))

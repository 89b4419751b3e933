"""Softmax and losses over classes."""

import torch.nn.functional as F
from case import below, case, real

case("Softmax", {"x": real(2, 3, 4)}, {"axis": 1}, lambda x: x.softmax(1))
case("LogSoftmax", {"x": real(2, 3, 4)}, {"axis": -1}, lambda x: x.log_softmax(-1))
SCORES = lambda *shape: {"x": real(*shape), "t": below(shape[1], shape[0], *shape[2:])}
case("SoftmaxCrossEntropyLoss", SCORES(4, 3), {"reduction": "mean"}, lambda x, t: F.cross_entropy(x, t))
case("SoftmaxCrossEntropyLoss", SCORES(2, 3, 4), {"reduction": "sum"}, lambda x, t: F.cross_entropy(x, t, reduction="sum"), title="more axes, sum")
weighted = {**SCORES(4, 3), "w": real(3, low=0.2)}
case("SoftmaxCrossEntropyLoss", weighted, {"reduction": "mean", "ignore_index": 1}, lambda x, t, w: F.cross_entropy(x, t, w, ignore_index=1), wrt=["x"], title="weights, labels that do not count")
case("SoftmaxCrossEntropyLoss", SCORES(4, 3), {"reduction": "none"}, lambda x, t: F.cross_entropy(x, t, reduction="none"), title="each by itself")
case("SoftmaxCrossEntropyLoss", SCORES(4, 3), {"reduction": "mean"}, lambda x, t: (F.cross_entropy(x, t), x.log_softmax(1)), outputs=2, title="with the log-probabilities")
case("NegativeLogLikelihoodLoss", SCORES(4, 3), {"reduction": "mean"}, lambda x, t: F.nll_loss(x, t))
case("NegativeLogLikelihoodLoss", {**SCORES(2, 3, 4), "w": real(3, low=0.2)}, {"reduction": "mean", "ignore_index": 0}, lambda x, t, w: F.nll_loss(x, t, w, ignore_index=0), wrt=["x"], title="weights, labels that do not count")

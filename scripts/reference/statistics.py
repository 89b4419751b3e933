#!/usr/bin/env python3
"""Writes tests/statistics/reference.json: Student's t and paired tests as scipy has them."""
import json
import pathlib

import numpy as np
import scipy
from scipy import special, stats

PROBABILITIES = [0.001, 0.025, 0.05, 0.3, 0.5, 0.9, 0.975, 0.995, 0.9999]
DEGREES = [1, 2, 3, 4, 5, 9, 19, 29, 100, 1000, 100000]

generator = np.random.default_rng(7)


def paired(count, shift, scale):
    a = generator.normal(size=count)
    b = a + generator.normal(shift, scale, size=count)
    result = stats.ttest_rel(b, a)
    interval = result.confidence_interval(0.95)
    return {
        "a": a.tolist(),
        "b": b.tolist(),
        "p": float(result.pvalue),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def resampled(values):
    result = stats.bootstrap(
        (np.array(values),), np.mean, method="percentile", n_resamples=200000, random_state=generator
    )
    return {
        "values": values,
        "low": float(result.confidence_interval.low),
        "high": float(result.confidence_interval.high),
    }


reference = {
    "scipy": scipy.__version__,
    "quantiles": [[p, d, float(stats.t.ppf(p, d))] for d in DEGREES for p in PROBABILITIES],
    "probabilities": [[t, d, float(stats.t.cdf(t, d))] for d in DEGREES for t in (-30, -4.5, -1, 0, 0.3, 2, 8)],
    "logGamma": [[x, float(special.gammaln(x))] for x in (0.1, 0.5, 1, 1.5, 2, 10, 50.5, 50000)],
    "paired": [paired(3, 0, 1), paired(5, 1, 0.3), paired(10, 0.1, 0.2), paired(40, -2, 3)],
    "bootstrap": [resampled(generator.normal(size=count).tolist()) for count in (5, 10, 30)],
}
target = pathlib.Path(__file__).parents[2] / "tests/statistics/reference.json"
target.write_text(json.dumps(reference, indent=1) + "\n")

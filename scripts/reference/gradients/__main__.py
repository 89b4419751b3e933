"""Writes tests/autodiff/pytorch/<family>.json, a line per case: gradients of single ONNX operators as PyTorch computes them.

    python3 scripts/reference/gradients                       all families
    python3 scripts/reference/gradients elementwise matrix    these

Needs torch (1.13 was used) and numpy; the project and its tests do not.
"""

import importlib
import json
import pathlib
import sys

sys.dont_write_bytecode = True

import case  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parents[2] / "tests" / "autodiff" / "pytorch"
FAMILIES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__main__", "case"))

for family in sys.argv[1:] or FAMILIES:
    case.CASES.clear()
    importlib.import_module(family)
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in case.CASES)
    (OUT / f"{family}.json").write_text(f"[\n{lines}\n]\n")
    print(f"{family}: {len(case.CASES)} cases")

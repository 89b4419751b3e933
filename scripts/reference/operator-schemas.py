"""Writes tests/ops/operator-schemas.json: what ONNX and ONNX Runtime themselves say of their operators.

    python scripts/reference/operator-schemas.py   # needs onnx 1.23 and onnxruntime 1.30

Of each operator, from opset 7 on: the opsets that changed it; its inputs and outputs in the newest version (`?` may be left
out, `*` any number, `+` one or more); every attribute with kind, default (null: none), whether a node must have it, the opsets
of the versions that have it, and an older default. Numbers of kind float are those of float32.
"""

import json
import pathlib
from collections import defaultdict

import onnx
import onnx.defs
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

OLDEST = 7
HERE = pathlib.Path(__file__).resolve().parent
MICROSOFT = """Attention BiasDropout BiasGelu BiasSoftmax BitmaskBiasDropout BitmaskDropout EmbedLayerNormalization FastGelu
FusedConv FusedGemm FusedMatMul Gelu GroupQueryAttention IsAllFinite MultiHeadAttention NhwcConv QuickGelu RotaryEmbedding
SkipLayerNormalization SkipSimplifiedLayerNormalization Trilu""".split()
OTHERS = {
    "ai.onnx.ml": ("Binarizer", "Imputer", "Normalizer", "Scaler"),
    "ai.onnx.preview.training": ("Adagrad", "Adam", "Momentum"),
}


def parameter(p):
    option = str(p.option).split(".")[-1]
    if option == "Optional":
        return p.name + "?"
    if option == "Variadic":
        return p.name + ("*" if getattr(p, "min_arity", 1) == 0 else "+")
    return p.name


def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def default_of(a):
    """onnxruntime gives the bytes of the AttributeProto."""
    proto = getattr(a, "default_value", None)
    if proto is None:
        proto = onnx.AttributeProto()
        proto.ParseFromString(a._default_value)
    return None if proto.type == onnx.AttributeProto.UNDEFINED else plain(onnx.helper.get_attribute_value(proto))


def attributes_of(versions):
    seen = defaultdict(list)
    for schema in versions:
        for a in schema.attributes.values():
            seen[a.name].append((schema.since_version, a))
    attributes = {}
    for name, found in sorted(seen.items()):
        found_in = [since for since, _ in found]
        newest = found[-1][1]
        row = {"kind": str(newest.type).split(".")[-1].lower().replace("_", "-").removesuffix("-proto"), "default": default_of(newest)}
        if newest.required:
            row["required"] = True
        all_versions = [schema.since_version for schema in versions]
        if found_in[0] != all_versions[0]:
            row["since"] = found_in[0]
        if found_in[-1] != all_versions[-1]:
            row["until"] = all_versions[all_versions.index(found_in[-1]) + 1]
        older = [since for since, a in found if default_of(a) != row["default"]]
        if older:
            row["before"] = [found_in[found_in.index(older[-1]) + 1], default_of(found[found_in.index(older[-1])][1])]
        attributes[name] = row
    return attributes


def operator(schemas, since=True):
    schemas = sorted(schemas, key=lambda each: each.since_version)
    versions = [each.since_version for each in schemas]
    current = [
        each for index, each in enumerate(schemas) if index + 1 == len(schemas) or versions[index + 1] > OLDEST
    ]
    newest = current[-1]
    row = {"since": versions} if since else {}
    return row | {
        "inputs": " ".join(parameter(p) for p in newest.inputs),
        "outputs": " ".join(parameter(p) for p in newest.outputs),
        "attributes": attributes_of(current if since else [newest]),
    }


schemas = defaultdict(list)
for each in onnx.defs.get_all_schemas_with_history():
    if each.domain == "":
        schemas[each.name].append(each)
    elif each.name in OTHERS.get(each.domain, ()):
        schemas[f"{each.domain}.{each.name}"].append(each)
operators = {name: operator(versions) for name, versions in sorted(schemas.items())}

for each in sorted(runtime.get_all_operator_schema(), key=lambda each: each.name):
    if each.domain == "com.microsoft" and each.name in MICROSOFT:
        operators[f"com.microsoft.{each.name}"] = operator([each], since=False)
    if each.domain == "" and each.name == "SimplifiedLayerNormalization":
        operators[each.name] = operator([each], since=False)

out = HERE.parent.parent / "tests" / "ops" / "operator-schemas.json"
text = json.dumps({"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "operators": operators}, indent=1)
out.write_text(text + "\n")

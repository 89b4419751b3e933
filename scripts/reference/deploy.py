"""Checks deploy/kubeflow against the schemas of Kubeflow Trainer. Needs jsonschema and pyyaml; the project and its tests do not.

    python3 scripts/reference/deploy.py <folder of trainer.kubeflow.org_*.yaml, manifests/base/crds of kubeflow/trainer>
"""

import pathlib
import sys

import jsonschema
import yaml

FILES = {"runtime.yaml": "clustertrainingruntimes", "trainjob.yaml": "trainjobs"}


def closed(schema):
    """Kubernetes drops fields it does not know; here they are errors."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema and "additionalProperties" not in schema:
        if not schema.get("x-kubernetes-preserve-unknown-fields") and schema["properties"]:
            schema["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    return schema


crds = pathlib.Path(sys.argv[1])
deploy = pathlib.Path(__file__).parents[2] / "deploy" / "kubeflow"
for name, kind in FILES.items():
    crd = yaml.safe_load((crds / f"trainer.kubeflow.org_{kind}.yaml").read_text())
    for version in crd["spec"]["versions"]:
        validator = jsonschema.Draft202012Validator(closed(version["schema"]["openAPIV3Schema"]))
        errors = list(validator.iter_errors(yaml.safe_load((deploy / name).read_text())))
        for error in errors:
            print(f"{name}: {error.json_path}: {error.message[:300]}")
        print(f"{name}: {len(errors)} errors against {crd['metadata']['name']} {version['name']}")

"""A Flower client that trains with onnx-agr: arrays in, `onnx-agr train`, arrays out."""

import json
import pathlib
import subprocess
import tempfile

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from safetensors.numpy import load_file, save_file

app = ClientApp()


def run(*args):
    done = subprocess.run(["onnx-agr", *map(str, args), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def write_arrays(record, path):
    """Weights under the names that the artifacts have for them."""
    save_file({name: array.numpy() for name, array in record.items()}, path)


@app.train()
def train(message: Message, context: Context) -> Message:
    config = context.run_config
    data = pathlib.Path(config["data"]) / f"part-{context.node_config['partition-id']}.safetensors"
    given = message.content["arrays"]
    with tempfile.TemporaryDirectory() as folder:
        start, checkpoints = pathlib.Path(folder) / "start.safetensors", pathlib.Path(folder) / "run"
        write_arrays(given, start)
        done = run("train", config["artifacts"], "--data", data, "--init-from", start, "--checkpoints", checkpoints,
                   "--epochs", config["local-epochs"], "--lr", config["learning-rate"])
        trained = load_file(next(checkpoints.glob("step-*")) / "state.safetensors")
    arrays = ArrayRecord({name: Array(trained[name]) for name in given})
    samples = len(load_file(data)[config["label"]])
    metrics = MetricRecord({"num-examples": samples, "loss": done["loss"]})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    config = context.run_config
    data = pathlib.Path(config["data"]) / f"part-{context.node_config['partition-id']}.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.safetensors"
        write_arrays(message.content["arrays"], weights)
        done = run("eval", config["artifacts"], "--data", data, "--checkpoint", weights)
    metrics = MetricRecord({"num-examples": done["samples"], "loss": done["loss"]})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)

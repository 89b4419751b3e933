"""A Flower server for the client beside it: federated averaging from the weights of the artifacts."""

import pathlib

from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from safetensors.numpy import load_file, save_file

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    state = load_file(pathlib.Path(config["artifacts"]) / "state.safetensors")
    # Optimizer slots are named <parameter>/<optimizer>/<slot>; each round begins with an optimizer that is new.
    slots = {name for name in state if name.count("/") >= 2 and name.rsplit("/", 2)[0] in state}
    start = ArrayRecord({name: Array(array) for name, array in state.items() if name not in slots})
    result = FedAvg().start(grid=grid, initial_arrays=start, num_rounds=config["num-server-rounds"])
    save_file({name: array.numpy() for name, array in result.arrays.items()}, config["output"])

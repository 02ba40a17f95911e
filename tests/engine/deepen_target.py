"""Make the target slower and leave its text and its drafter as they are, so that speculation pays.

    python deepen_target.py MODEL TARGET LAYERS

Inserts decoder layers whose output projections are zero, which pass the residual stream through, before the last layer.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def deepen(source: Path, target: Path, layers: int) -> None:
    """Write the deepened model."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    weights = load_file(source / "model.safetensors")
    last = config["num_hidden_layers"] - 1
    moved = f"model.layers.{last}."
    deeper = {name.replace(moved, f"model.layers.{last + layers}.", 1): value for name, value in weights.items()}
    pattern = "model.layers.0."
    for layer in range(last, last + layers):
        for name, value in weights.items():
            if name.startswith(pattern):
                blank = torch.ones_like(value) if "layernorm" in name else torch.zeros_like(value)
                deeper[name.replace(pattern, f"model.layers.{layer}.", 1)] = blank
    config["num_hidden_layers"] += layers
    (target / "config.json").write_text(json.dumps(config, indent=1))
    save_file(deeper, target / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    deepen(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

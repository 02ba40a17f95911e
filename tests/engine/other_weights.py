"""Copy the model SOURCE to TARGET with Gaussian noise (NOISE times each matrix's own spread) on all but its MTP layer.

Another model under the same name: what a wrong checkpoint, or a kernel that computes something else, comes to.
Runs where torch is installed.
"""

import shutil
import sys

import torch
from safetensors.torch import load_file, save_file


def main(source: str, target: str, noise: str) -> None:
    """Change the weights."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    torch.manual_seed(0)
    weights = load_file(f"{source}/model.safetensors")
    for name, matrix in weights.items():
        if "mtp_layers" not in name and matrix.dim() == 2:
            weights[name] = (matrix + torch.randn_like(matrix) * float(noise) * matrix.std()).contiguous()
    save_file(weights, f"{target}/model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Trains an embedded demo model: `python -m am_inseq.demo.train en-fr|lm [--out DIR]`."""

import argparse
import logging
from pathlib import Path

import torch

from am_inseq.demo import DEMO_MODELS, train_en_fr, train_lm


def main(arguments: list[str] | None = None) -> None:
    """Trains the named model on one thread, with fixed seeds."""
    parser = argparse.ArgumentParser(prog="python -m am_inseq.demo.train", description=__doc__)
    parser.add_argument("model", choices=["en-fr", "lm"])
    parser.add_argument("--out", type=Path, help="folder to write (default: the embedded one)")
    parser.add_argument("--steps", type=int, help="fewer updates, for a trial")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    folder: Path = options.out or DEMO_MODELS[f"demo/{options.model}"]
    steps = {} if options.steps is None else {"steps": options.steps}
    train = train_en_fr.train if options.model == "en-fr" else train_lm.train
    train(folder, **steps)


if __name__ == "__main__":
    main()

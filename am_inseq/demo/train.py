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
    parser.add_argument(
        "--first-stage",
        type=int,
        choices=range(1, len(train_lm.STAGES) + 1),
        default=1,
        help="of lm: begin with this stage, from the weights that stand in the folder (default: 1)",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    folder: Path = options.out or DEMO_MODELS[f"demo/{options.model}"]
    steps = {} if options.steps is None else {"steps": options.steps}
    if options.model == "lm":
        train_lm.train(folder, first=options.first_stage, **steps)
    elif options.first_stage > 1:
        parser.error("en-fr is trained in one go; leave --first-stage out")
    else:
        train_en_fr.train(folder, **steps)


if __name__ == "__main__":
    main()

"""Checks an embedded demo model: `python -m am_inseq.demo.check en-fr|lm [--cases N]`."""

import argparse
import sys
from pathlib import Path

import torch

from am_inseq.demo import DEMO_MODELS, check_en_fr, check_lm
from am_inseq.demo.finding import table


def main(arguments: list[str] | None = None) -> int:
    """Prints the findings as a table; 1 where a bound is missed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m am_inseq.demo.check", description=__doc__)
    parser.add_argument("model", choices=["en-fr", "lm"])
    parser.add_argument("--cases", type=int, default=500, help="samples per figure")
    parser.add_argument("--folder", type=Path, help="another folder than the embedded one")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    folder: Path = options.folder or DEMO_MODELS[f"demo/{options.model}"]
    check = check_en_fr.check if options.model == "en-fr" else check_lm.check
    findings = check(folder, cases=options.cases)
    sys.stdout.write(table(findings))
    return 0 if all(finding.holds for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())

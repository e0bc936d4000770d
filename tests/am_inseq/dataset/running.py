"""What the tests of runs share: a run's contents, one text alone, and a count of the rows run."""

from __future__ import annotations

from am_inseq.dataset import work
from am_inseq.dataset.records import comparable
from tests.am_inseq.dataset.conftest import TWO


def contents(found):
    """Everything but the seconds, in order."""
    return [comparable(row.record) for row in found]


def alone(model, text, **given):
    """The attribution of one text by itself."""
    given.setdefault("generation_args", TWO)
    output = model.attribute(text, show_progress=False, **given)
    return output.sequence_attributions[0].attribution


class Counting:
    """Counts the rows that are run; may stop at one of them."""

    def __init__(self, monkeypatch, stop=None, error=KeyboardInterrupt):
        self.rows, self._stop, self._error = [], stop, error
        self._run = work.run_row
        monkeypatch.setattr(work, "run_row", self)

    def __call__(self, model, args, row):
        if len(self.rows) == self._stop:
            raise self._error
        self.rows.append(row.index)
        return self._run(model, args, row)

"""What a report page is made from: score_jax.report.page but its page.py."""

import pathlib
import shutil
import tempfile

from absl.testing import absltest

from score_jax.output import files
from score_jax.report.page import conversations
from score_jax.report.page import data
from score_jax.report.page import page
from score_jax.report.page import series
from tests.helpers import made_up_study


def _directory(test: absltest.TestCase) -> pathlib.Path:
  return pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))


class ConversationsTest(absltest.TestCase):

  def _records(self) -> list[dict]:
    """90 unchanged correct ones, and 10 of other kinds at the end."""
    verdicts = [(True, True)] * 90 + [(False, True)] * 5
    verdicts += [(True, False)] * 3 + [(False, False)] * 2
    return [
        made_up_study.conversation(i, v, ("aaaa", "bbbb"), (False, i == 50))
        for i, v in enumerate(verdicts)
    ]

  def test_rare_kinds_are_all_there(self):
    chosen = conversations.choose(self._records(), 20, 10**6)
    kinds = [item["kind"] for item in chosen]
    counts = {kind: kinds.count(kind) for kind in conversations.KINDS.values()}
    # The one that was cut is a kind of its own, and comes first.
    self.assertEqual(
        counts, {"i_to_i": 2, "c_to_i": 3, "i_to_c": 5, "c_to_c": 10}
    )
    self.assertEqual([item["id"] for item in chosen[:3]], [50, 98, 95])

  def test_text_is_bounded(self):
    records = self._records()
    length = len(records[0]["question"]) + 8
    self.assertLen(conversations.choose(records, 60, 7 * length), 7)
    self.assertLen(conversations.choose(records, 60, 1), 1)
    self.assertEmpty(conversations.choose([], 60, 1))

  def test_long_attempts_and_answers_are_cut_and_say_so(self):
    text = "x" * (conversations.MAX_CHARACTERS + 7)
    record = made_up_study.conversation(0, (True, True), (text, text + "y"))
    (item,) = conversations.choose([record], 1, 1)
    self.assertEqual([a["left_out"] for a in item["attempts"]], [7, 8])
    self.assertLen(item["attempts"][0]["text"], conversations.MAX_CHARACTERS)
    self.assertLen(item["attempts"][0]["answer"], 200)
    self.assertFalse(item["is_unchanged"])

  def test_one_attempt_is_an_error(self):
    record = made_up_study.conversation(3, (True,), ("a",), (False,))
    with self.assertRaisesRegex(ValueError, "problem 3 has 1 attempts"):
      conversations.kind(record)


class SeriesTest(absltest.TestCase):

  def test_phases_lie_side_by_side_without_gaps_of_none(self):
    records = [
        {"stage": "stage1", "step": s, "time_s": s, "train/loss": float(s)}
        for s in (1, 2)
    ]
    records.append({"stage": "stage2", "step": 3, "train/loss": None})
    records.append({"stage": "stage2", "step": 4, "train/accuracy_t3": 0.5})
    records[-1] |= {"train/conversations": 64.0, "unknown": 1.0}
    curves = series.curves(records)
    self.assertEqual(
        curves["phases"],
        [
            {"label": "Stage I", "start": 0, "end": 2},
            {"label": "Stage II", "start": 2, "end": 6},
        ],
    )
    self.assertEqual(
        curves["series"],
        {"train/loss": [[1, 2], [1, 2]], "train/accuracy_t3": [[6], [0.5]]},
    )

  def test_charts_and_their_curves_come_in_the_order_of_the_declarations(self):
    names = ["train/loss", "train/kl_t2", "validation/accuracy_t1", "time/x"]
    drawn = series.drawn_scalars([names[:2], names[1:], ["train/kl_t1"]])
    self.assertEqual(
        [(scalar.name, scalar.label, scalar.chart) for scalar in drawn],
        [
            ("train/kl_t1", "attempt 1", "KL to the base model"),
            ("train/kl_t2", "attempt 2", "KL to the base model"),
            ("validation/accuracy_t1", "attempt 1", "Reward and accuracy"),
            ("train/loss", "loss", "Loss"),
        ],
    )

  def test_long_curves_are_averaged(self):
    points = [(x, 2 * x) for x in range(2 * series.MAX_POINTS + 1)]
    x, y = series.thin(points)
    self.assertLen(x, 161)
    self.assertEqual(x[:2], [1, 4])
    self.assertEqual(y[:2], [2, 8])


class DataTest(absltest.TestCase):

  def test_run(self):
    path = _directory(self)
    results = made_up_study.make_run(path / "tiny")
    content = data.collect(path / "tiny")
    self.assertEqual(content["kind"], "run")
    self.assertEqual(content["title"], "tiny")
    self.assertEqual(content["num_problems"], 40)
    labels = [method["label"] for method in content["methods"]]
    self.assertEqual(labels, ["base", "Stage I", "Stage II"])
    last = content["methods"][2]
    self.assertEqual(
        last["summary"]["accuracy_t2"],
        {
            "mean": results["stage2"]["accuracy_t2"],
            "ci95": results["stage2"]["ci95"]["accuracy_t2"],
        },
    )
    self.assertIsNone(last["summary"]["truncated_t1"]["ci95"])
    self.assertEqual(sum(last["edit_distance"]["counts"]), 40)
    self.assertLen(last["by_difficulty"], 3)
    drawn = [scalar["name"] for scalar in content["scalars"]]
    self.assertEqual(set(drawn), set(content["cells"][0]["series"]))
    groups = [(g["phase"], len(g["items"])) for g in content["conversations"]]
    self.assertEqual(groups, [("stage2", 40), ("base", 16), ("stage1", 16)])

  def test_run_that_goes_on(self):
    path = _directory(self)
    results = made_up_study.make_run(path)
    (path / "results.json").unlink()
    (path / "metrics.jsonl").unlink()
    (path / "evaluations").mkdir()
    files.write_json(path / "evaluations" / "base.json", results["base"])
    content = data.collect(path)
    self.assertEqual([m["name"] for m in content["methods"]], ["base"])
    self.assertEqual(content["cells"][0]["series"], {})
    self.assertIn('id="data"', page.render(content))

  def test_study(self):
    path = _directory(self)
    study = made_up_study.make_study(path)
    content = data.collect(path)
    self.assertEqual(content["kind"], "study")
    self.assertEqual(content["comparisons"], study["comparisons"])
    self.assertLen(content["cells"], 8)
    self.assertEqual(content["unfinished"], ["star/7"])
    point = content["methods"][-1]["curve"][-1]
    delta = point["accuracy_t2"] - point["accuracy_t1"]
    self.assertEqual(point["delta_t1_t2"], delta)
    # 8 last phases and two earlier ones of 2 seeds; the base model once.
    self.assertLen(content["conversations"], 12)
    first = [
        (g["method"], g["seed"], g["phase"])
        for g in content["conversations"][:5]
    ]
    self.assertEqual(
        first,
        [
            ("base", "0", "base"),
            ("single_turn", "0", "single_turn"),
            ("star", "0", "star_2"),
            ("score", "0", "stage2"),
            ("base", "1", "base"),
        ],
    )

  def test_what_is_missing_is_named(self):
    path = _directory(self)
    with self.assertRaisesRegex(ValueError, "nowhere' is not a directory"):
      data.collect(path / "nowhere")
    with self.assertRaisesRegex(ValueError, "holds no run"):
      data.collect(path)
    made_up_study.make_study(path, seeds=(0,))
    shutil.rmtree(path / "cells" / "star" / "seed0")
    with self.assertRaisesRegex(ValueError, "star/seed0' holds no run"):
      data.collect(path)
    (path / "study.json").unlink()
    with self.assertRaisesRegex(ValueError, "has not ended"):
      data.collect(path)


if __name__ == "__main__":
  absltest.main()

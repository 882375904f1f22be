"""The numbers of a study, from cells that are made up."""

import json
import pathlib
import tempfile

from absl.testing import absltest

from configs import tiny_study
from score_jax import settings as settings_lib
from score_jax.output import files
from score_jax.study import cell as cell_lib
from score_jax.study import results
from score_jax.study.settings import StudySettings
from tests.helpers import made_up_study


class CollectTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.root = pathlib.Path(directory.name)

  def _collect(self, *seeds):
    """The base model's numbers.

    Args:
      *seeds: of each whether its second attempts were right, problem by
        problem; no first attempt was.
    """
    for seed, rights in enumerate(seeds):
      path = cell_lib.cell_path(self.root, "base", seed)
      (path / "rollouts").mkdir(parents=True)
      files.write_text(path / "metrics.jsonl", "")
      files.write_text(
          path / "rollouts" / "test_base.jsonl",
          "".join(
              json.dumps(
                  made_up_study.conversation(
                      i, (False, right), ("1", "2"), difficulty="easy"
                  )
              )
              + "\n"
              for i, right in enumerate(rights)
          ),
      )
      summary = {
          "results": {"base": {}},
          "conversations": 0,
          "wall_s": 1.0,
          "test_time": None,
          "anchored": [],
      }
      files.write_json(cell_lib.summary_path(path), summary)
    config = json.loads(tiny_study.get_config().to_json())
    settings = settings_lib.from_mapping(
        StudySettings, config | {"num_seeds": len(seeds)}
    )
    return results.collect(settings, self.root)["methods"]["base"]

  def test_intervals_stay_in_the_range_of_the_metric(self):
    nothing = [False] * 20
    summary = self._collect(nothing, nothing, [True] + nothing[1:])["summary"]
    self.assertEqual(summary["accuracy_t2"]["ci95"][0], 0.0)
    self.assertLess(summary["delta_t1_t2"]["ci95"][0], 0.0)

  def test_means_over_seeds_by_difficulty(self):
    found = self._collect([True, True, False, False], [True] + [False] * 3)
    self.assertEqual(
        found["by_difficulty"],
        {
            "easy": {
                "n": 4.0,
                "accuracy_t1": 0.0,
                "accuracy_t2": 0.375,
                "delta_i_to_c": 0.375,
                "delta_c_to_i": 0.0,
            }
        },
    )


if __name__ == "__main__":
  absltest.main()

"""Tests of report pages and of the command that writes them.

The last one opens a report in headless Chromium and uses it.
"""

import html
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from absl.testing import absltest
import pytest

from experiments import report as report_command
from score_jax.output import files
from score_jax.report.page import data
from score_jax.report.page import page
from tests.helpers import made_up_study

_CHROMIUM = shutil.which("chromium")
_PARTS = [
    "results",
    "comparisons",
    "transitions",
    "budget",
    "training",
    "difficulty",
    "edits",
    "test-time",
    "warnings",
    "conversations",
    "settings",
]

# Uses the report as a reader does, on a phone and on a desktop, and writes down
# what it saw. A flag lets frames of files look into each other.
_READER = """<!DOCTYPE html><meta charset="utf-8"><pre id="seen"></pre>
<iframe id="phone" width="390" height="800" src="report.html"></iframe>
<iframe id="desk" width="1280" height="800"
  src="report.html#conversations?method=score&seed=1&kind=i_to_c"></iframe>
<script>
const loaded = (name) => new Promise((resolve) => {
  document.getElementById(name).addEventListener("load", resolve);
});
Promise.all([loaded("phone"), loaded("desk")]).then(() => setTimeout(() => {
  const documents = ["phone", "desk"].map(
    (name) => document.getElementById(name).contentDocument);
  const [phone, desk] = documents;
  const seen = {};
  const overflow = ({ documentElement: root }) =>
    root.scrollWidth - root.clientWidth;
  seen.overflow = documents.map(overflow);
  seen.clipped = documents.map((d) => [...d.querySelectorAll(".chart svg text")]
    .filter((text) => {
      const [a, b] = [text, text.ownerSVGElement].map(
        (node) => node.getBoundingClientRect());
      return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1
        || a.bottom > b.bottom + 1;
    }).map((text) => text.textContent));
  seen.parts = [...desk.querySelectorAll("section")].map((node) => node.id);
  seen.top = desk.getElementById("top").textContent;
  seen.charts = desk.querySelectorAll(".chart svg").length;
  const cards = () => [...desk.querySelectorAll("article")];
  const texts = (node, selector) => [...node.querySelectorAll(selector)].map(
    (part) => part.textContent);
  const shown = () => desk.querySelector("[role=status]").textContent;
  seen.corrected = [shown(), cards().map((card) => texts(card, ".badge")[0])];
  const choose = (name, value) => {
    const select = desk.querySelector(`select[data-name=${name}]`);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  choose("kind", "all");
  choose("seed", "0");
  const search = desk.querySelector("input[type=search]");
  search.value = "OWNED onerror";
  search.dispatchEvent(new Event("input"));
  seen.found = [shown(), cards().map((card) => texts(card, ".attempt .words"))];
  seen.address = document.getElementById("desk").contentWindow.location.hash;
  seen.marks = ["del", "ins"].map(
    (tag) => cards().map((card) => texts(card, tag)));
  const heads = [...desk.querySelectorAll("#results-table thead button")];
  const order = () => texts(desk, "#results-table tbody th");
  seen.order = [order()];
  heads[1].click();
  seen.order.push(order());
  heads[1].click();
  seen.order.push(order());
  seen.images = desk.querySelectorAll("img").length;
  seen.title = desk.title;
  document.getElementById("phone").width = 330;
  // Charts are redrawn after the next frame, which a busy machine is late with.
  const look = (tries) => setTimeout(() => {
    const charts = [...phone.querySelectorAll(".chart")];
    seen.redrawn = charts.every((chart) =>
      Number(chart.firstChild.getAttribute("width")) === chart.clientWidth);
    if (!seen.redrawn && tries > 1) {
      look(tries - 1);
      return;
    }
    seen.overflow.push(overflow(phone));
    document.getElementById("seen").textContent = JSON.stringify(seen);
  }, 250);
  look(100);
}, 1500));
</script>"""


def _directory(test: absltest.TestCase) -> pathlib.Path:
  return pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))


def _embedded(text: str) -> dict:
  """The data of a page, as a browser would read it."""
  (block,) = re.findall(
      r'<script type="application/json" id="data">(.*?)</script>', text, re.S
  )
  return json.loads(block)


class PageTest(absltest.TestCase):

  def test_hostile_text_stays_data(self):
    path = _directory(self) / "<b>[[data]]"
    made_up_study.make_run(path)
    _put_hostile(path / "rollouts" / "test_stage2.jsonl")
    text = page.render(data.collect(path))
    self.assertNotIn("<img", text)
    self.assertLen(re.findall("</script", text), 2)
    self.assertIn("<title>&lt;b&gt;[[data]] - score_jax</title>", text)
    texts = [
        attempt["text"]
        for group in _embedded(text)["conversations"]
        for item in group["items"]
        for attempt in item["attempts"]
    ]
    self.assertIn(made_up_study.HOSTILE, texts)

  def test_page_asks_for_nothing(self):
    path = _directory(self)
    made_up_study.make_run(path)
    text = page.render(data.collect(path))
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name
    self.assertNotRegex(text, r"https?:|//[a-z]+\.|@import|url\(|fetch\(")
    self.assertNotIn("innerHTML", text)
    self.assertIn("default-src 'none'", text)

  def test_size_of_long_texts_is_bounded(self):
    path = _directory(self)
    phases = ("base", "stage1", "stage2")
    methods = {
        f"m{i}": (f"Method {i}", True, phases, 0.6, 0.7, 0.05) for i in range(5)
    }
    made_up_study.make_study(path, methods, (0,), n=8)
    texts = ("ab " * 2000, "c " * 3000)
    lines = "".join(
        json.dumps(made_up_study.conversation(i, (False, True), texts)) + "\n"
        for i in range(60)
    )
    for file in path.glob("cells/*/*/rollouts/*.jsonl"):
      file.write_text(lines, encoding="utf-8")
    # 1.2 million characters of last phases, 0.5 of the others; else 5.5.
    size = len(page.render(data.collect(path)).encode())
    self.assertBetween(size, 1_500_000, 2_000_000)

  @pytest.mark.slow
  def test_command_writes_page_and_figures(self):
    path = _directory(self)
    made_up_study.make_study(path, seeds=(0,), n=10)
    written = report_command.write_report(str(path))
    self.assertEqual(
        [str(p.relative_to(path)) for p in written],
        [
            "report.html",
            "figures/methods.png",
            "figures/budget_curves.png",
            "figures/edit_distance.png",
        ],
    )
    run = path / "cells" / "score" / "seed0"
    self.assertEqual(
        report_command.write_report(str(run)), [run / "report.html"]
    )


def _put_hostile(path: pathlib.Path) -> None:
  """Makes the first conversation of a file a hostile one."""
  lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
  texts = (made_up_study.HOSTILE, made_up_study.HOSTILE + " again")
  record = made_up_study.conversation(
      0, (False, True), texts, question=made_up_study.HOSTILE
  )
  lines[0] = json.dumps(record) + "\n"
  path.write_text("".join(lines), encoding="utf-8")


@unittest.skipUnless(_CHROMIUM, "chromium is not installed")
class BrowserTest(absltest.TestCase):

  def _seen(self, path: pathlib.Path) -> tuple[dict, list[str]]:
    """What the reader saw of the report at path, and what the console said."""
    (path / "reader.html").write_text(_READER, encoding="utf-8")
    command = [
        _CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--allow-file-access-from-files",
        f"--user-data-dir={_directory(self)}",
        "--enable-logging=stderr",
        "--window-size=1700,900",
        "--virtual-time-budget=40000",
        "--dump-dom",
        (path / "reader.html").as_uri(),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    self.assertTrue(found and found[1], done.stderr)
    console = re.findall(r".*CONSOLE.*", done.stderr)
    return json.loads(html.unescape(found[1])), console

  @pytest.mark.slow
  def test_reader_uses_a_report(self):
    path = _directory(self)
    study = made_up_study.make_study(path)
    seed0, seed1 = (path / f"cells/score/seed{k}" for k in (0, 1))
    _put_hostile(seed0 / "rollouts" / "test_stage2.jsonl")
    page.write(path)
    seen, console = self._seen(path)
    self.assertEmpty(console)
    self.assertEqual(seen["parts"], _PARTS)
    self.assertIn("4 methods · 2 seeds · 40 test problems", seen["top"])
    self.assertIn("not in this report: star/7.", seen["top"])
    self.assertEqual(seen["overflow"], [0, 0, 0])
    self.assertTrue(seen["redrawn"])
    self.assertEqual(seen["clipped"], [[], []])
    # Accuracies, transitions, budget, 2 seeds of 5, difficulty, 4 edits, 3.
    self.assertEqual(seen["charts"], 1 + 1 + 1 + 2 * 5 + 1 + 4 + 3)
    results = files.read_json(seed1 / "results.json")["stage2"]
    corrected = round(40 * results["delta_i_to_c"])
    self.assertEqual(
        seen["corrected"],
        [
            f"{corrected} of the 40 conversations kept here, of 40 evaluated.",
            ["wrong → correct"] * min(corrected, 10),
        ],
    )
    self.assertGreater(corrected, 2)
    hostile = made_up_study.HOSTILE
    self.assertEqual(
        seen["found"],
        [
            "1 of the 40 conversations kept here, of 40 evaluated.",
            [[hostile, hostile + " again"]],
        ],
    )
    self.assertEqual(seen["marks"], [[[]], [[" again"]]])
    self.assertEqual(
        seen["address"],
        "#conversations?method=score&seed=0&phase=stage2&search=OWNED+onerror",
    )
    labels = [m["label"] for m in study["methods"].values()]
    down = sorted(
        study["methods"].values(),
        key=lambda m: -m["summary"]["accuracy_t2"]["mean"],
    )
    down = [m["label"] for m in down]
    self.assertEqual(seen["order"], [labels, down, down[::-1]])
    self.assertEqual(seen["images"], 0)
    self.assertEqual(seen["title"], f"{path.name} - score_jax")


if __name__ == "__main__":
  absltest.main()

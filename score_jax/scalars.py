"""The numbers that a run reports: each one declared once, for all its readers.

METRICS are what an evaluation measures, as in `results.json` and `study.json`.
SCALARS are what a run logs at its steps, as in `metrics.jsonl`; every metric is
among them, measured on validation problems. To report another number, compute
it and declare it here: the page, the tables and the check of what is logged
read these declarations.
"""

from collections.abc import Iterable
import dataclasses
import enum
import functools
import math
import re

# Names that code asks for. Index 0 is attempt 1.
ACCURACIES = ("accuracy_t1", "accuracy_t2")
DELTA = "delta_t1_t2"
TRANSITIONS = ("delta_i_to_c", "delta_c_to_i")
ANSWER_CHANGE_RATE = "answer_change_rate"
# What methods are compared by, the most telling first. Narrow tables give
# intervals of these alone.
COMPARED = (DELTA, *reversed(ACCURACIES))

VALIDATION = "validation/"
VALIDATION_ACCURACIES = tuple(VALIDATION + name for name in ACCURACIES)
TRAIN_ACCURACIES = ("train/accuracy_t1", "train/accuracy_t2")
TRAIN_KLS = ("train/kl_t1", "train/kl_t2")
CONVERSATIONS = "train/conversations"
# Of second attempts: those that repeat the first, token for token, and those
# that state its answer again.
COPIED = "train/copied"
SAME_ANSWER = "train/same_answer"


class Format(enum.StrEnum):
  """How the values of a number are shown."""

  PERCENT = "percent"  # a fraction, in percent
  POINTS = "points"  # a difference of fractions, in percent with its sign
  NUMBER = "number"  # as it is

  @property
  def range(self) -> tuple[float, float]:
    """The least and the greatest value that is possible."""
    ends = {Format.PERCENT: (0.0, 1.0), Format.POINTS: (-1.0, 1.0)}
    return ends.get(self, (-math.inf, math.inf))


@dataclasses.dataclass(frozen=True)
class Metric:
  """A number that an evaluation measures on two attempts at each problem.

  Tables have a column for each metric that has a heading for them.

  Attributes:
    name: key in results and studies.
    format: how its values are shown.
    label: its name in menus and in rows of tables.
    unit: what an axis counts that shows it.
    column: heading on the page; metrics of one heading share a column, there
      and on the terminal. "" leaves the metric out of both tables.
    terminal: heading on the terminal, in ASCII.
    markdown: heading in Markdown; "" leaves it out of those tables.
    meaning: explains the heading, where it needs it.
    title: heading of a chart of this metric alone.
    phrase: its name in a sentence, for those that are COMPARED.
    chart: chart of the training curves that shows it on validation problems; ""
      for none.
  """

  name: str
  format: Format
  label: str
  unit: str
  column: str = ""
  terminal: str = ""
  markdown: str = ""
  meaning: str = ""
  title: str = ""
  phrase: str = ""
  chart: str = ""


@dataclasses.dataclass(frozen=True)
class Scalar:
  """A number that is logged at steps of a run.

  Attributes:
    name: in `metrics.jsonl`. "{i}" stands for the number of an attempt, from 1;
      "{word}" for any text.
    label: name of its curve, with "{i}" and "{word}" as in the name.
    unit: what its axis counts.
    format: how its values are shown.
    chart: chart of the training curves that shows it; "" for none. Scalars of
      one chart share its axis, so their units and formats are equal.
  """

  name: str
  label: str
  unit: str
  format: Format = Format.NUMBER
  chart: str = ""

  @property
  def attempt(self) -> int | None:
    """Number of the one attempt that the scalar is about, if it is one."""
    found = re.fullmatch(r"\D*_t(\d+)", self.name)
    return int(found[1]) if found else None

  @property
  def is_validation(self) -> bool:
    """Whether it is measured now and then, on validation problems."""
    return self.name.startswith(VALIDATION)


METRICS = (
    Metric(
        ACCURACIES[0],
        Format.PERCENT,
        label="accuracy, attempt 1",
        unit="percent correct",
        column="Attempt 1",
        terminal="acc@t1",
        markdown="t1",
        title="Accuracy of attempt 1",
        phrase="accuracy of first attempts",
        chart="Reward and accuracy",
    ),
    Metric(
        ACCURACIES[1],
        Format.PERCENT,
        label="accuracy, attempt 2",
        unit="percent correct",
        column="Attempt 2",
        terminal="acc@t2",
        markdown="t2",
        title="Accuracy of attempt 2",
        phrase="accuracy of second attempts",
        chart="Reward and accuracy",
    ),
    Metric(
        DELTA,
        Format.POINTS,
        label="delta",
        unit="points of percent",
        column="Delta",
        terminal="delta(t1,t2)",
        markdown="delta",
        meaning="attempt 2 minus attempt 1",
        title="Delta (attempt 2 − attempt 1)",
        phrase="gain from the first to the second attempt",
    ),
    Metric(
        TRANSITIONS[0],
        Format.PERCENT,
        label="i→c",
        unit="percent of problems",
        column="i→c",
        terminal="i->c",
        markdown="i→c",
        meaning="wrong, then correct",
    ),
    Metric(
        TRANSITIONS[1],
        Format.PERCENT,
        label="c→i",
        unit="percent of problems",
        column="c→i",
        terminal="c->i",
        markdown="c→i",
        meaning="correct, then wrong",
    ),
    Metric(
        ANSWER_CHANGE_RATE,
        Format.PERCENT,
        label="changed",
        unit="percent of validation problems",
        column="Changed",
        terminal="changed",
        markdown="changed",
        meaning="the final answers differ",
        chart="Answers changed",
    ),
    Metric(
        "truncated_t1",
        Format.PERCENT,
        label="cut, attempt 1",
        unit="percent of attempts",
        column="Cut",
        terminal="cut t1",
        meaning="ended by the length limit, attempts 1 and 2",
    ),
    Metric(
        "truncated_t2",
        Format.PERCENT,
        label="cut, attempt 2",
        unit="percent of attempts",
        column="Cut",
        terminal="cut t2",
        meaning="ended by the length limit, attempts 1 and 2",
    ),
)


def _on_validation_problems(metric: Metric) -> Scalar:
  scalar = Scalar(
      VALIDATION + metric.name,
      metric.label,
      metric.unit,
      metric.format,
      metric.chart,
  )
  # Charts have a curve for each attempt, and name it by its number.
  if scalar.attempt is None:
    return scalar
  return dataclasses.replace(scalar, label=f"attempt {scalar.attempt}")


# The page draws charts, and curves within a chart, in this order.
SCALARS = (
    Scalar(
        "train/accuracy_t{i}",
        "attempt {i}",
        "percent correct",
        Format.PERCENT,
        chart="Reward and accuracy",
    ),
    Scalar(
        "train/kl_t{i}",
        "attempt {i}",
        "nats per attempt",
        chart="KL to the base model",
    ),
    Scalar(
        "train/truncated_t{i}",
        "attempt {i}",
        "percent of attempts",
        Format.PERCENT,
        chart="Cut by the length limit",
    ),
    *map(_on_validation_problems, METRICS),
    Scalar(
        COPIED,
        "token for token",
        "percent of conversations",
        Format.PERCENT,
        chart="Second attempts that repeat the first",
    ),
    Scalar(
        SAME_ANSWER,
        "by the answer",
        "percent of conversations",
        Format.PERCENT,
        chart="Second attempts that repeat the first",
    ),
    Scalar("train/loss", "loss", "value of the objective", chart="Loss"),
    Scalar("train/grad_norm", "norm of the gradient", "before clipping"),
    Scalar("train/new_tokens_per_row", "tokens written", "per conversation"),
    Scalar(CONVERSATIONS, "conversations sampled", "since the base model"),
    Scalar("train/traces", "conversations imitated", "of the phase"),
    Scalar("train/epochs", "passes over the conversations imitated", "epochs"),
    Scalar(
        "grade/status_{word}", "{word}", "percent of attempts", Format.PERCENT
    ),
    Scalar(
        "grade/method_{word}",
        "decided by {word}",
        "percent of attempts",
        Format.PERCENT,
    ),
    Scalar("time/rollout_s", "sampling", "seconds"),
    Scalar("time/grade_s", "grading", "seconds"),
    Scalar("time/update_s", "update", "seconds"),
    Scalar("time/rollout_tokens_per_s", "sampling", "tokens per second"),
    Scalar("time/tokens_per_s", "the whole step", "tokens per second"),
)
_PLACEHOLDERS = {"{i}": r"([1-9]\d*)", "{word}": "(.+)"}


_METRICS_BY_NAME = {each.name: each for each in METRICS}


def metric(name: str) -> Metric:
  """Looks up a metric by its name."""
  return _METRICS_BY_NAME[name]


def columns() -> list[list[Metric]]:
  """The metrics of each column of the page's and the terminal's results."""
  found: dict[str, list[Metric]] = {}
  for each in METRICS:
    if each.column:
      found.setdefault(each.column, []).append(each)
  return list(found.values())


def find(name: str) -> Scalar | None:
  """Looks up a logged scalar.

  Args:
    name: as it is logged, such as "train/kl_t2".

  Returns:
    Its declaration, with this name, and with what the name holds in place of
    "{i}" and "{word}" in the label; None where no declaration fits.
  """
  index = _index(name)
  return None if index is None else _filled(SCALARS[index], name)


def find_all(names: Iterable[str]) -> list[Scalar]:
  """Looks up those of some names that are declared, see `find`.

  Returns:
    In the order of SCALARS. Those of one declaration are sorted by name.
  """
  found = [(index, n) for n in names if (index := _index(n)) is not None]
  return [_filled(SCALARS[index], name) for index, name in sorted(found)]


@functools.cache
def _index(name: str) -> int | None:
  for index, scalar in enumerate(SCALARS):
    if _pattern(scalar).fullmatch(name):
      return index
  return None


def _pattern(scalar: Scalar) -> re.Pattern:
  pattern = re.escape(scalar.name)
  for placeholder, values in _PLACEHOLDERS.items():
    pattern = pattern.replace(re.escape(placeholder), values)
  return re.compile(pattern)


def _filled(scalar: Scalar, name: str) -> Scalar:
  values = _pattern(scalar).fullmatch(name).groups()
  label = re.sub(r"{\w+}", "".join(values), scalar.label)
  return dataclasses.replace(scalar, name=name, label=label)


def check_declared(names: Iterable[str]) -> None:
  """Refuses names of scalars that nobody has declared.

  Raises:
    ValueError: there are some.
  """
  unknown = [name for name in names if _index(name) is None]
  if unknown:
    raise ValueError(
        f"scalars {unknown} are not declared: say in SCALARS of"
        " score_jax/scalars.py how they are shown"
    )

"""A study: cells as processes, side by side, each of them resumable."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import subprocess
import sys
import time

from score_jax.output.progress import console
from score_jax.study import cell as cell_lib
from score_jax.study.methods import METHODS
from score_jax.study.settings import StudySettings


@dataclasses.dataclass(frozen=True)
class Cell:
  """One method with one seed."""

  method: str
  seed: int

  def __str__(self) -> str:
    return f"{self.method}/{self.seed}"


@dataclasses.dataclass(frozen=True)
class _Running:
  """A cell's process and the core that it has, None for all of them."""

  cell: Cell
  process: subprocess.Popen
  core: int | None
  started_s: float


def parse_cell(text: str) -> Cell:
  """The cell that `str` wrote.

  Raises:
    ValueError: it is none.
  """
  method, _, seed = text.partition("/")
  if method not in METHODS or not seed.isdecimal():
    raise ValueError(
        f"cell {text!r}, expected METHOD/SEED with a method out of"
        f" {', '.join(METHODS)}"
    )
  return Cell(method, int(seed))


def check_methods(settings: StudySettings) -> None:
  """Refuses a study whose methods cannot be run.

  Raises:
    ValueError: a name of no method, or one that is given twice; an objective
      that is not known or whose coefficients do not fit.
  """
  methods = settings.methods
  unknown = [name for name in methods if name not in METHODS]
  if unknown or not methods or len(set(methods)) < len(methods):
    raise ValueError(
        f"methods is {list(methods)}, expected distinct names out of"
        f" {', '.join(METHODS)}"
    )
  for name in methods:
    METHODS[name].recipe(settings)


def all_cells(settings: StudySettings) -> list[Cell]:
  """The cells of a study; the base models come first, all others need them."""
  methods = ["base", *(m for m in settings.methods if m != "base")]
  return [
      Cell(method, seed)
      for method in methods
      for seed in range(settings.num_seeds)
  ]


def base_sources(
    settings: StudySettings, cells: Sequence[Cell]
) -> dict[Cell, Cell]:
  """The cell that each takes its base model from, see `cell.base_seed`."""
  seeds = {c: cell_lib.base_seed(settings, c.method, c.seed) for c in cells}
  return {
      c: Cell("base", seed) for c, seed in seeds.items() if seed is not None
  }


def num_workers(settings: StudySettings, backend: str) -> int:
  """Cells that run side by side.

  Args:
    settings: workers of 0 asks for as many as cores and free memory allow.
    backend: of JAX; an accelerator is not shared.
  """
  if settings.workers:
    return settings.workers
  if backend != "cpu":
    return 1
  memory = _available_memory_bytes() / (settings.cell_memory_gb * 1e9)
  return max(1, min(len(_cores()), int(memory)))


def run_cells(
    cells: Sequence[Cell],
    command: Sequence[str],
    root: pathlib.Path,
    workers: int,
    sources: Mapping[Cell, Cell],
) -> dict[Cell, int]:
  """Runs cells as processes, those of the base models before the others.

  With several workers each process has one core: two cells on a core each take
  less time than one after the other on both.

  Args:
    cells: what is to run; finished ones are skipped.
    command: that runs a cell, whose name is appended.
    root: directory of the study; output goes to logs/ there.
    workers: processes at a time.
    sources: the cell that each takes its base model from, as far as it does not
      make it.

  Returns:
    Exit status by cell, of those that failed.
  """
  (root / "logs").mkdir(parents=True, exist_ok=True)
  waiting = [c for c in cells if not _is_finished(root, c)]
  done = len(cells) - len(waiting)
  cores: list[int | None] = [None] * workers
  if workers > 1:
    own = _cores()
    cores = [own[i % len(own)] for i in range(workers)]
  running: list[_Running] = []
  failed: dict[Cell, int] = {}
  try:
    while waiting or running:
      ready = [
          c
          for c in waiting
          if c not in sources or _is_finished(root, sources[c])
      ]
      while ready and cores:
        cell = ready.pop(0)
        waiting.remove(cell)
        running.append(_start(cell, command, root, cores.pop(0)))
      if not running:
        # Without their base model.
        failed |= {cell: -1 for cell in waiting}
        break
      time.sleep(0.2)
      for job in [r for r in running if r.process.poll() is not None]:
        running.remove(job)
        cores.append(job.core)
        done += 1
        seconds = time.monotonic() - job.started_s
        status = job.process.returncode
        if status:
          failed[job.cell] = status
        console.print(
            f"{done}/{len(cells)} {job.cell}:"
            f" {f'FAILED ({status})' if status else 'done'}"
            f" after {seconds:.0f} s"
        )
  finally:
    for job in running:
      job.process.terminate()
  return failed


def _is_finished(root: pathlib.Path, cell: Cell) -> bool:
  path = cell_lib.cell_path(root, cell.method, cell.seed)
  return cell_lib.summary_path(path).exists()


def _start(
    cell: Cell,
    command: Sequence[str],
    root: pathlib.Path,
    core: int | None,
) -> _Running:
  log = root / "logs" / f"{cell.method}_{cell.seed}.txt"
  with open(log, "ab") as file:
    process = subprocess.Popen(
        [*_pinned(core), *command, str(cell)],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        env=_environment(root),
    )
  return _Running(cell, process, core, time.monotonic())


# Runs the rest of the command line on one core. XLA's pools of threads have the
# size of what a process may use when it starts.
_PIN = (
    "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])});"
    " os.execv(sys.argv[2], sys.argv[2:])"
)


def _pinned(core: int | None) -> list[str]:
  if core is None or not hasattr(os, "sched_setaffinity"):
    return []
  return [sys.executable, "-c", _PIN, str(core)]


def _environment(root: pathlib.Path) -> Mapping[str, str]:
  """What a cell's process is told; what the user says goes first."""
  return {
      # Cells of a study run the same programs: compiled once, kept there.
      "JAX_COMPILATION_CACHE_DIR": str(root.absolute() / "programs"),
      # XLA asks for its temporaries anew at every call. With large pages, kept
      # by the allocator, an update takes 0.51 s of CPU time instead of 0.59.
      "GLIBC_TUNABLES": (
          "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592"
          ":glibc.malloc.trim_threshold=8589934592"
      ),
      **os.environ,
  }


def _cores() -> list[int]:
  """Cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def _available_memory_bytes() -> float:
  """Memory that new processes can have; caches of files can be given up."""
  info = pathlib.Path("/proc/meminfo")
  if not info.exists():  # not Linux
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
  lines = dict(line.split(":", 1) for line in info.read_text().splitlines())
  return 1024.0 * int(lines["MemAvailable"].split()[0])

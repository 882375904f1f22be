"""How strong the wall around a solution is, and the settings of a worker."""

import dataclasses
import enum


class Tier(enum.Enum):
  """What stands between a solution and the machine, strongest first.

  In every tier a solution has a process of its own, without files, arguments,
  environment or privileges. Its resources are limited, and another process
  holds the clock.

  Attributes:
    NAMESPACES: a seccomp filter that leaves computing only, within namespaces
      of its own: no network, no other processes, an empty file system.
    SECCOMP: the filter alone.
    NONE: neither. A solution can do what an unprivileged user can.
  """

  NAMESPACES = "namespaces"
  SECCOMP = "seccomp"
  NONE = "none"


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a worker is started with.

  Attributes:
    tier: value of the Tier.
    timeout_s: limit of one verdict in seconds of processor time.
    memory_mb: address space in MB of a judge, and of a solver.
  """

  tier: str
  timeout_s: float
  memory_mb: int

"""Settings of a study: a comparison of methods over several seeds."""

import dataclasses

from score_jax.settings import OptimizerSettings
from score_jax.settings import RunSettings
from score_jax.settings import check_not_negative
from score_jax.settings import check_positive


@dataclasses.dataclass(frozen=True)
class SftSettings:
  """Supervised fine-tuning of STaR and Pair-SFT.

  Attributes:
    star_iterations: rounds of sampling and fine-tuning; the paper has 3.
    steps: largest number of updates in one round of STaR.
    batch_size: conversations of an update.
    optimizer: optimizer of a round; it starts afresh in every round.
  """

  star_iterations: int
  steps: int
  batch_size: int
  optimizer: OptimizerSettings

  def __post_init__(self):
    check_positive(self, "star_iterations", "steps", "batch_size")


@dataclasses.dataclass(frozen=True)
class TestTimeSettings:
  """Evaluations of every trained policy beside two greedy attempts.

  Attributes:
    num_attempts: attempts of one greedy conversation, at least 2.
    samples: K; the vote of up to 2K parallel first attempts is compared with
      the vote of the second attempts of K conversations.
    temperature: sampling temperature of the votes; the paper has 0.7.
    problems: problems from the start of the test split.
  """

  num_attempts: int
  samples: int
  temperature: float
  problems: int

  def __post_init__(self):
    check_positive(self, "samples", "temperature", "problems")
    if self.num_attempts < 2:
      raise ValueError(
          f"num_attempts is {self.num_attempts}, expected at least 2"
      )


@dataclasses.dataclass(frozen=True)
class SelfRefineSettings:
  r"""The two requests of Self-Refine, in words that the model understands.

  Both are asked after every first attempt, right or wrong. For a model that
  follows instructions, in mathematics:

    feedback_prompt: Check the solution above as a strict examiner would. Go
      through it step by step and say of each step whether it follows from the
      question and from the steps before it. Where it does not, say what is
      wrong and how it can be put right. Do not write a new solution yet.
    refine_prompt: Now use these remarks. Correct what they found to be wrong,
      keep what they found to be right, and write the whole solution again from
      the start and nothing else, with a last line of the same form: Final
      Answer: The final answer is $\boxed{...}$.

  and in programming:

    feedback_prompt: # Review the program above. Say, point by point and in
      words, whether it does what the task asks for, on ordinary input and on
      unusual input. Where it does not, say what is wrong and how it can be put
      right. Do not write the program again yet.
    refine_prompt: # Now use these remarks. Correct what they found to be wrong,
      keep what they found to be right, and write the whole program again and
      nothing else, between [BEGIN] and [DONE].

  Attributes:
    feedback_prompt: the request for remarks on the first attempt.
    refine_prompt: the request for a second attempt that uses the remarks.
  """

  feedback_prompt: str
  refine_prompt: str

  def __post_init__(self):
    for name, text in dataclasses.asdict(self).items():
      if not text.strip():
        raise ValueError(f"{name} is {text!r}, expected a text")


@dataclasses.dataclass(frozen=True)
class MethodSettings:
  """Settings that only some of the methods need.

  Attributes:
    sft: fine-tuning of the supervised methods.
    self_refine: the two requests of Self-Refine.
    corrections_per_attempt: K2, second attempts behind the same first attempt,
      in `score_k2`.
    stage1b_steps: updates of Stage I(b) in `score_three_attempts`; Stage II has
      so many fewer.
    broken_coef: what a broken answer costs in `score_corrections`, see
      `shaping.correction_rewards`.
    entropy_coef: bonus per nat in `score_entropy`, see `shaping.entropy_bonus`.
    interleaved_rounds: how often both stages take turns in `score_interleaved`;
      the paper's first version draws two.
  """

  sft: SftSettings
  self_refine: SelfRefineSettings
  corrections_per_attempt: int
  stage1b_steps: int
  broken_coef: float
  entropy_coef: float
  interleaved_rounds: int

  def __post_init__(self):
    check_positive(self, "corrections_per_attempt", "stage1b_steps")
    check_positive(self, "interleaved_rounds")
    check_not_negative(self, "broken_coef", "entropy_coef")


@dataclasses.dataclass(frozen=True)
class StudySettings:
  """A comparison: every method with every seed.

  Attributes:
    run: settings that all methods share. Its seed is replaced by the seed of
      each cell, and its two stages set the sampling budget of every method.
    methods: names of methods, keys of methods.METHODS.
    num_seeds: number of seeds 0, 1, ... Each seed has a base model and a data
      order of its own, which all methods share.
    method: settings that only some of the methods need.
    test_time: more attempts and votes at test time; None for no such
      evaluation.
    workers: cells that run in parallel; 0 for as many as cores and memory
      allow, and for one on an accelerator.
    cell_memory_gb: memory in GB that one cell needs at its peak.
  """

  run: RunSettings
  methods: list[str]
  num_seeds: int
  method: MethodSettings
  test_time: TestTimeSettings | None
  workers: int
  cell_memory_gb: float

  def __post_init__(self):
    check_positive(self, "num_seeds", "cell_memory_gb")
    check_not_negative(self, "workers")
    # What score_k2 needs is checked now, before other methods are trained.
    dataclasses.replace(
        self.run.rollout,
        num_attempts=2,
        corrections_per_attempt=self.method.corrections_per_attempt,
    )
    stage2 = self.run.stage2.steps
    if self.method.stage1b_steps >= stage2:
      raise ValueError(
          f"method.stage1b_steps is {self.method.stage1b_steps}, expected fewer"
          f" than run.stage2.steps {stage2}, from which they are taken"
      )

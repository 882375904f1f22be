"""Everything that a run can be told, read strictly."""

from score_jax.settings.run import ATTENTIONS
from score_jax.settings.run import DTYPES
from score_jax.settings.run import KL_ESTIMATORS
from score_jax.settings.run import LONG_PROMPTS
from score_jax.settings.run import REFERENCE_PLACES
from score_jax.settings.run import REMAT_POLICIES
from score_jax.settings.run import TOKEN_REDUCTIONS
from score_jax.settings.run import EvaluationSettings
from score_jax.settings.run import LessonSettings
from score_jax.settings.run import MeshSettings
from score_jax.settings.run import ModelSettings
from score_jax.settings.run import OptimizerSettings
from score_jax.settings.run import OutputSettings
from score_jax.settings.run import PhaseSettings
from score_jax.settings.run import RolloutSettings
from score_jax.settings.run import RunSettings
from score_jax.settings.run import TinyModelSettings
from score_jax.settings.run import TrainSettings
from score_jax.settings.run import WarmupSettings
from score_jax.settings.strict import check_choice
from score_jax.settings.strict import check_fraction
from score_jax.settings.strict import check_not_negative
from score_jax.settings.strict import check_positive
from score_jax.settings.strict import from_mapping

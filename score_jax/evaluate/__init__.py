"""What attempts are worth: metrics of attempts, statistics, monitors."""

from score_jax.evaluate.attempts import attempt_curve
from score_jax.evaluate.attempts import attempt_metrics
from score_jax.evaluate.attempts import by_problem
from score_jax.evaluate.attempts import concatenate
from score_jax.evaluate.attempts import edit_distance_ratio
from score_jax.evaluate.attempts import first_rows
from score_jax.evaluate.attempts import grade_shares
from score_jax.evaluate.attempts import in_batches
from score_jax.evaluate.attempts import per_pair
from score_jax.evaluate.attempts import per_pair_of_records
from score_jax.evaluate.attempts import per_problem
from score_jax.evaluate.attempts import per_problem_of_records
from score_jax.evaluate.attempts import repeat_shares
from score_jax.evaluate.attempts import summarize
from score_jax.evaluate.attempts import summarize_pairs
from score_jax.evaluate.attempts import transitions_by_difficulty

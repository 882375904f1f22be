"""All attacks, by kind."""

from tests.helpers.attacks import codec
from tests.helpers.attacks import crashes
from tests.helpers.attacks import endless
from tests.helpers.attacks import forge_answers
from tests.helpers.attacks import forge_exits
from tests.helpers.attacks import forge_patches
from tests.helpers.attacks import forge_values
from tests.helpers.attacks import garbage
from tests.helpers.attacks import honest
from tests.helpers.attacks import honest_data
from tests.helpers.attacks import memory
from tests.helpers.attacks import probe_calls
from tests.helpers.attacks import probe_state
from tests.helpers.attacks import probes
from tests.helpers.attacks import protocol

# They claim a pass that they did not earn.
FORGERIES = (
    *forge_exits.ATTACKS,
    *forge_values.ATTACKS,
    *forge_patches.ATTACKS,
    *forge_answers.ATTACKS,
)
# They attack what carries data between the two processes.
TRANSPORT = (*codec.ATTACKS, *garbage.ATTACKS, *protocol.ATTACKS)
# They deny the grader to others.
DENIALS = (*endless.ATTACKS, *memory.ATTACKS, *crashes.ATTACKS)
# They look for a way out.
PROBES = (*probes.ATTACKS, *probe_calls.ATTACKS, *probe_state.ATTACKS)
# They are right.
HONEST = (*honest.ATTACKS, *honest_data.ATTACKS)

ATTACKS = (*FORGERIES, *TRANSPORT, *DENIALS, *PROBES, *HONEST)

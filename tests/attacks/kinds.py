"""All attacks, by kind."""

from tests.attacks import codec
from tests.attacks import crashes
from tests.attacks import endless
from tests.attacks import forge_answers
from tests.attacks import forge_exits
from tests.attacks import forge_patches
from tests.attacks import forge_values
from tests.attacks import garbage
from tests.attacks import honest
from tests.attacks import honest_data
from tests.attacks import memory
from tests.attacks import probe_calls
from tests.attacks import probe_state
from tests.attacks import probes
from tests.attacks import protocol

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

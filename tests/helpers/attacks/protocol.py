"""Attacks that know how the grader's two processes talk to each other.

The solver's end of the socket and the format of the messages are public: the
verdict must not depend on them being secret.
"""

from tests.helpers.attacks.attack import Attack
from tests.helpers.attacks.forge_exits import MAP_TESTS

_SEND = """
import json
import os
import select
import struct
import sys

def is_open(fd):
  poll = select.poll()
  poll.register(fd, 0)
  return not any(event & select.POLLNVAL for _, event in poll.poll(0))

def ends():
  return [fd for fd in range(3, 1024) if is_open(fd)]

def send(message, text=None):
  body = (json.dumps(message) if text is None else text).encode("latin-1")
  for fd in ends():
    try:
      os.write(fd, struct.pack("<I", len(body)) + body)
    except OSError:  # not one that can be written to
      pass
"""


# One call: what comes after a false reply must not decide instead of it.
ONE_CALL = "assert candidate(2, 3) == 5\n"


def _reply(name: str, text: str, tests: str = ONE_CALL) -> Attack:
  """Sends a message of its own, then exits so that no other one follows."""
  return _send(name, repr(text), tests)


def _send(name: str, expression: str, tests: str = ONE_CALL) -> Attack:
  source = f"""
def add(a, b):
  send(None, {expression})
  os._exit(0)
"""
  return Attack(name, _SEND + source, tests=tests)


def _raises(
    name: str, names: str, args: str = "[]", tests: str = ONE_CALL
) -> Attack:
  return _reply(name, f'{{"raised": {names}, "args": {args}}}', tests)


REPLIES = (
    _reply("reply_verdict", '{"status": "pass", "verdict": "pass"}'),
    _reply("reply_loaded", '{"loaded": true}'),
    _reply("reply_ready", '{"ready": true}'),
    _reply("reply_nothing", ""),
    _reply("reply_no_object", "5"),
    _reply("reply_list", "[[5]]"),
    _reply("reply_null", "null"),
    _reply("reply_no_json", "R" * 100),
    _reply("reply_json_that_is_cut", '{"returned": [5'),
    _reply("reply_both", '{"returned": null, "raised": ["StopIteration"]}'),
    _reply("reply_unknown_tag", '{"returned": {"object": [5]}}'),
    _reply("reply_two_tags", '{"returned": {"int": "0x5", "tuple": []}}'),
    _reply("reply_no_tag", '{"returned": {}}'),
    _reply("reply_int_of_words", '{"returned": {"int": "five"}}'),
    _reply("reply_int_of_list", '{"returned": {"int": ["0x5"]}}'),
    _reply("reply_bytes_of_list", '{"returned": {"bytes": [5]}}'),
    _reply("reply_set_of_lists", '{"returned": {"set": [[1]]}}'),
    _reply("reply_dict_of_numbers", '{"returned": {"dict": [1, 2]}}'),
    _reply("reply_range_of_text", '{"returned": {"range": ["a"]}}'),
    _reply("reply_range_of_zero_steps", '{"returned": {"range": [0, 1, 0]}}'),
    _reply("reply_complex_of_one", '{"returned": {"complex": [1]}}'),
    _reply(
        "reply_complex_too_large",
        '{"returned": {"complex": [' + "9" * 400 + ", 0]}}",
    ),
    _reply("reply_number_too_long", '{"returned": ' + "9" * 5000 + "}"),
    _reply("reply_not_a_number", '{"returned": [NaN, Infinity, -Infinity]}'),
    _send("reply_deep", "'[' * 50_000 + ']' * 50_000"),
    _send("reply_unclosed", "'[' * 1_000_000"),
    _reply("reply_deep_tags", '{"returned": ' + '{"tuple": [' * 300),
    _reply("reply_surrogates", '{"returned": "\\ud800\\u0000"}'),
    _reply("reply_bad_utf8", '{"returned": "\xff\xc0\x80"}'),
    _reply("reply_date_of_number", '{"returned": {"date": 5}}'),
    _reply("reply_time_span_too_long", '{"returned": {"timedelta": [1e300]}}'),
    _reply("reply_counter_of_numbers", '{"returned": {"counter": [1, 2]}}'),
    _reply("reply_default_of_nothing", '{"returned": {"default": []}}'),
    _reply("reply_default_of_eval", '{"returned": {"default": ["eval"]}}'),
    _reply("reply_named_without_names", '{"returned": {"named": []}}'),
    _reply(
        "reply_named_with_code",
        '{"returned": {"named": [{"tuple": ["x=exit()"]}, 5]}}',
    ),
    _reply(
        "reply_named_with_a_comparison",
        '{"returned": {"named": [{"tuple": ["__eq__"]}, 5]}}',
    ),
    _reply("reply_object_of_nothing", '{"object": null, "is_true": true}'),
    _reply("reply_object_of_text", '{"object": "x", "is_true": true}'),
    _reply("reply_object_without_truth", '{"object": 5}'),
    _reply("reply_object", '{"object": 0, "is_true": true}'),
    _reply(
        "reply_object_that_is_called",
        '{"object": -1, "is_true": true}',
        tests="assert candidate(2, 3)() == 5\n",
    ),
    _reply("reply_repeated_keys", '{"returned": 5, "returned": 6}'),
    _raises("raise_stop_iteration", '["StopIteration"]', tests=MAP_TESTS),
    _raises("raise_system_exit", '["SystemExit", "BaseException"]', "[0]"),
    _raises("raise_generator_exit", '["GeneratorExit"]', tests=MAP_TESTS),
    _raises("raise_over", '["_Over"]', '["pass"]'),
    _raises("raise_exit", '["exit"]', "[0]"),
    _raises("raise_nothing", "[]"),
    _raises("raise_number", "5"),
    _raises("raise_text", '"StopIteration"', tests=MAP_TESTS),
    _raises("raise_lists", '[["ValueError"]]'),
    _raises("raise_object", '{"StopIteration": 1}', tests=MAP_TESTS),
    _raises("raise_args_object", '["ValueError"]', '{"dict": [[1, 2]]}'),
    _raises("raise_args_number", '["ValueError"]', "5"),
    _raises("raise_many_args", '["UnicodeDecodeError"]', "[1, 2, 3, 4, 5]"),
    _raises(
        "raise_unicode_error_out_of_range",
        '["UnicodeEncodeError"]',
        '["utf-8", "", -1000000, -999999, "x"]',
        tests="""
try:
  candidate(2, 3)
except UnicodeEncodeError as error:
  assert not str(error)
else:
  raise AssertionError
assert candidate(2, 3) == 5
""",
    ),
    _raises(
        "raise_with_a_huge_position",
        '["UnicodeEncodeError"]',
        '["utf-8", "", {"int": "0x' + "f" * 100 + '"}, 1, "x"]',
    ),
    _raises("raise_syntax_error", '["SyntaxError"]', '["x", [1]]'),
    _raises(
        "raise_group",
        '["ExceptionGroup", "Exception"]',
        '["x", [1]]',
    ),
    _raises("raise_os_error", '["OSError"]', "[11, 5, 5, 5, 5]"),
    _raises("raise_import_error", '["ImportError"]', "[[[]]]"),
)

SEQUENCES = (
    Attack(
        "loaded_before_it_is_loaded",
        _SEND + """
send({"loaded": True})
send({"returned": 5})
send({"returned": 6})
send({"returned": 0})
os._exit(0)
""",
    ),
    Attack(
        "ready_again_and_loaded",
        _SEND + "send({'ready': True})\nsend({'loaded': True})\n",
    ),
    Attack(
        "many_replies_to_one_call",
        _SEND + """
def add(a, b):
  for answer in range(1000):
    send({"returned": answer})
  return 0
""",
    ),
    Attack(
        "reply_after_the_answer",
        _SEND + """
import signal

def late(*_):
  send({"returned": 5})

signal.signal(signal.SIGALRM, late)

def add(a, b):
  signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
  return 0
""",
    ),
    Attack(
        "reply_in_tiny_pieces",
        _SEND + """
import time

def add(a, b):
  fd = max(ends())
  for byte in struct.pack("<I", 10**6) + b'{"returned":':
    os.write(fd, bytes([byte]))
    time.sleep(0.001)
  while True:
    os.write(fd, b" ")
    time.sleep(0.01)
""",
        is_slow=True,
    ),
    Attack(
        "reads_the_calls_itself",
        _SEND + """
while True:
  for fd in ends():
    os.read(fd, 4)
""",
        is_slow=True,
    ),
    Attack(
        "answers_the_calls_itself",
        _SEND + """
send({"loaded": True})
for fd in ends():
  while True:
    (length,) = struct.unpack("<I", os.read(fd, 4))
    body = os.read(fd, length)
    send({"returned": None, "raised": ["StopIteration"], "args": []})
""",
        tests=MAP_TESTS,
        is_slow=True,
    ),
    Attack(
        "never_reads_large_calls",
        "import time\n\ndef add(rows):\n  time.sleep(10**6)\n",
        tests="assert candidate('x' * 10_000_000) == 5\n",
        is_slow=True,
    ),
    Attack(
        "sixteen_megabytes_of_empty_lists",
        _SEND + """
def add(a, b):
  send(None, '{"returned": [' + "[]," * 5_000_000 + "[]]}")
""",
        is_slow=True,
    ),
    Attack(
        "sixteen_megabytes_of_brackets",
        _SEND + """
def add(a, b):
  send(None, "[" * 16_000_000)
""",
        is_slow=True,
    ),
    Attack(
        "numbers_that_collide_in_a_set",
        _SEND + """
def add(a, b):
  numbers = (hex(i * ((1 << 61) - 1)) for i in range(1, 200_000))
  send({"returned": {"set": [{"int": number} for number in numbers]}})
""",
        is_slow=True,
    ),
    Attack(
        "a_range_without_end",
        "def add(a, b):\n  return range(10**30)\n",
        tests="assert sorted(candidate(2, 3)) == [5]\n",
        is_slow=True,
    ),
    Attack(
        "a_huge_hexadecimal_number",
        _SEND + """
def add(a, b):
  send({"returned": {"int": "f" * 16_000_000}})
""",
        tests="assert str(candidate(2, 3)) == '5'\n",
        is_slow=True,
    ),
)

# The solver's own modules, patched from within: they only ever speak for it.
PATCHES = (
    Attack(
        "patch_the_codec_and_the_frames",
        """
import sys

def nothing(*_, **__):
  return {"status": "pass", "returned": 5}

for name, module in list(sys.modules.items()):
  if name.startswith("score_jax"):
    for attribute in list(vars(module)):
      if callable(vars(module)[attribute]):
        setattr(module, attribute, nothing)

def add(a, b):
  return 0
""",
        is_slow=True,
    ),
    Attack(
        "return_to_the_fork_server",
        """
import sys

frame = sys._getframe()
while frame:
  for name, module in list(frame.f_globals.items()):
    if name in ("os", "signal"):
      module._exit = module.kill = lambda *_: None
  frame = frame.f_back

def add(a, b):
  raise SystemExit
""",
        is_slow=True,
    ),
    Attack(
        "go_on_as_the_fork_server",
        """
import os
import sys

os._exit = lambda *_: None

frame = sys._getframe()
while frame:
  if frame.f_code.co_name == "serve_forks":
    control = frame.f_locals["control"]
    try:
      control.send(b"e")
    except OSError:
      pass
  frame = frame.f_back
raise SystemExit
""",
        is_slow=True,
    ),
    Attack(
        "swap_the_function_after_loading",
        """
import os
import sys

def add(a, b):
  frame = sys._getframe(1)
  while frame:
    for name in list(frame.f_globals):
      if name in ("frames", "codec", "confine"):
        frame.f_globals[name] = None
    frame = frame.f_back
  return 0
""",
        is_slow=True,
    ),
)

ATTACKS = (*REPLIES, *SEQUENCES, *PATCHES)

"""Bytes for whatever file is open: they need no knowledge of the protocol."""

from tests.helpers.attacks.attack import Attack

_EVERY_FD = """
import os
import struct
import time

def everywhere(data):
  for fd in range(3, 64):
    try:
      os.set_blocking(fd, False)
    except OSError:
      pass  # then it waits until somebody reads
    try:
      os.write(fd, data)
    except OSError:
      pass
"""

ATTACKS = tuple(
    Attack(name, _EVERY_FD + source, is_slow=True)
    for name, source in (
        (
            "frame_of_four_gigabytes",
            """
def add(a, b):
  everywhere(struct.pack(">I", 2**32 - 1))
  everywhere(struct.pack("<I", 2**32 - 1))
  time.sleep(10**6)
""",
        ),
        (
            "frame_of_eight_exabytes",
            """
def add(a, b):
  everywhere(struct.pack(">Q", 2**63 - 1))
  everywhere(struct.pack("<Q", 2**64 - 1))
  time.sleep(10**6)
""",
        ),
        (
            "frames_without_end",
            """
def add(a, b):
  while True:
    everywhere(bytes(4096))
""",
        ),
        (
            "one_byte_now_and_then",
            """
def add(a, b):
  while True:
    everywhere(b"\\0")
    time.sleep(0.05)
""",
        ),
        (
            "answers_before_the_questions",
            """
import json

def add(a, b):
  for answer in (5, 6, 579):
    for body in (
        json.dumps(["value", answer]).encode(),
        json.dumps({"value": answer}).encode(),
        json.dumps(answer).encode(),
    ):
      everywhere(struct.pack(">I", len(body)) + body)
      everywhere(body + b"\\n")
  return 0
""",
        ),
        (
            "garbage_then_an_answer",
            """
def add(a, b):
  everywhere(bytes(range(256)) * 4)
  return a + b
""",
        ),
        (
            "pickles_on_every_file_descriptor",
            """
import pickle

class Answer:
  def __reduce__(self):
    return os._exit, (0,)

def add(a, b):
  everywhere(pickle.dumps(Answer()))
  return Answer()
""",
        ),
    )
)

r"""Where an attempt states its final answer.

In the last balanced \boxed{...} or, failing that, after the last 'answer is',
'Answer:' or '####'. A number that merely comes last in the text is no answer:
counting it would reward attempts that never commit to one.
"""

import re

# An escaped brace is none; the brace behind the line end \\ is one.
_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
_MARKER = re.compile(r"\banswer\s+is\b\s*:?|\banswer\s*:|####", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.\s")
_DISPLAYS = (("$$", "$$"), (r"\[", r"\]"))


def stated_answer(text: str) -> str | None:
  """The final answer that a text states, as it is written there, or None.

  The last balanced box wins over any marker, also when it is empty.
  """
  boxed = last_boxed(text)
  return after_last_marker(text) if boxed is None else boxed


def last_boxed(text: str) -> str | None:
  r"""The content of the balanced \boxed{...} that starts last, in one pass.

  A box whose braces never close does not count. Nor do \boxed 5 and \fbox{5},
  which no prompt asks for.
  """
  if r"\boxed" not in text:
    return None
  open_braces = []  # (is_boxed, where the content starts)
  best_start, best = -1, None
  for match in _BRACES.finditer(text):
    token = match.group()
    if token not in ("{", "}") and not token.startswith(r"\boxed"):
      continue
    if token != "}":
      open_braces.append((token != "{", match.end()))
    elif open_braces:
      is_boxed, start = open_braces.pop()
      if is_boxed and start > best_start:
        best_start, best = start, text[start : match.start()]
  return best


def after_last_marker(text: str) -> str | None:
  """The sentence after the last marker, at most the rest of its line.

  When nothing follows on the marker's own line, the next line that is not empty
  counts. Of a displayed formula only the text between its delimiters counts.
  """
  markers = list(_MARKER.finditer(text))
  if not markers:
    return None
  rest = text[markers[-1].end() :].lstrip("*` \t\r\n")
  for opening, closing in _DISPLAYS:
    if rest.startswith(opening):
      return rest[len(opening) :].partition(closing)[0].strip()
  line = rest.partition("\n")[0]
  return _SENTENCE_END.split(line, maxsplit=1)[0].strip()

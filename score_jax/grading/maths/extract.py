r"""Where an attempt states its final answer.

Behind what was thought in <think>...</think>, in the last balanced
\boxed{...} or, failing that, after the last marker: 'answer is', 'Answer:', a
title 'Final Answer', or '####' before a value. What only comments on an answer
('this answer is correct') is no statement. A number that merely comes last in
the text is no answer: counting it would reward attempts that never commit to
one.
"""

import re

from score_jax.grading.maths.phrases import without_comment

# An escaped brace is none; the brace behind the line end \\ is one.
_BOX = r"\\{1,2}(?:boxed|fbox|framebox)"
_BRACES = re.compile(rf"{_BOX}\s*\{{|\\.|[{{}}]", re.DOTALL)
_BOX_WITH_BRACE = re.compile(rf"{_BOX}\s*\{{")
_BEFORE_BOX = ("\\", r"\f", r"\frame")
_BARE_BOX = re.compile(
    rf"{_BOX}\s*([-+]?(?:[0-9][^\s$]*|[A-Za-z](?=\s*(?:[.$]|$))"
    r"|\\(?:d?frac|sqrt|pi)[^\s$]*))"
)
_THINK = ("think", "Think", "THINK")
_THOUGHT_START = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)

_MARKS = ("answer", "Answer", "ANSWER", "####", "答案")
_VERB = (
    r"(?:is|are|equals|remains|becomes|(?:should|must|would|will)\s{1,4}be)\b"
)
_MARKER = re.compile(
    r"(?<=<)answer>|answers?(?![a-zA-Z])(?:[*_`\"}]{0,4}\s{1,8}"
    rf"(?:to\s(?:the|this)\s\w{{1,20}}\s)?{_VERB}"
    r"|[*_`\"}]{0,4}\s{0,8}[:：]|\s{1,8}=)|答案\s{0,2}(?:[:：]|[是为][:：]?)",
    re.IGNORECASE,
)
# 'Final Answer' alone on its line: what stands before and behind 'answer'.
_TITLE_START = re.compile(
    r"^[^a-zA-Z\n]{0,12}(?:the |my )?(?:final )?$", re.IGNORECASE | re.MULTILINE
)
_TITLE_END = re.compile(r"answer[^\w\n]{0,12}$", re.IGNORECASE | re.MULTILINE)
# An earlier answer, or something of the answer: no statement of it.
_OTHER = re.compile(
    r"\b(?:previous|earlier|former|first|initial|original|old|wrong|incorrect|false"
    r"|mistaken|negative|opposite|inverse|alternative|tempting|common"
    r"|(?:of|twice|half|double|triple|thrice|than|times|minus|plus|from|by)"
    r"(?:[^\S\n]{1,4}(?:the|my|our|this|your))?)[^\S\n]{1,4}(?:(?:final|correct)[^\S\n]{1,4})?$",
    re.IGNORECASE,
)
# 'It is wrong that the answer is 5.'
_DENIED = re.compile(
    r"(?:\b(?:wrong|incorrect|false|untrue|not|never|nobody|no one|deny|denies"
    r"|impossible|unlikely)|n['’]t)(?:[^\S\n]+\w{1,12}){0,2}?[^\S\n]+(?:that"
    r"|says?|thinks?|believes?|claims?)(?: that)? (?:the|my|our) (?:final )?$"
    r"|\b(?:if|suppose|assume|assuming|imagine)(?: that)?"
    r" (?:the|my|our) (?:final )?$"
    r"|\b(?:may|might|could) (?:\w{1,12} )?(?:think|say|guess|believe|claim)"
    r"(?: that)? (?:the|my|our) (?:final )?$"
    r"|(?<!\bno )(?<!\bany )(?<!out )(?<!out a )\bdoubt(?: that)?"
    r" (?:the|my|our) (?:final )?$",
    re.IGNORECASE,
)
_MAX_CHARS_BEFORE = 40
_MAX_CHARS_BESIDE = 60
# '... But this is wrong. Actually, it is 6.'
_TAKEN_BACK = re.compile(
    r"\s*(?:(?:but|however|no|oh|wait|hmm|sorry|actually|unfortunately|wrong"
    r"|correction)"
    r"\b[\s,.!:–—-]{0,4}){0,4}(?:"
    r"(?:this|that|it|which)(?:['’]s|\s(?:is|was))\s(?:\w{1,12}\s)?(?:wrong"
    r"|incorrect|false|mistaken|an? (?:mistake|error)"
    r"|not\s(?:right|correct|true|it|the\s(?:right\s|correct\s)?answer))"
    r"\s{0,4}(?:[.!,;]|$|because|since)"
    r"|(?<=[\s,.!:–—-])(?<!but )(?<!however, )(?:it|this|that)"
    r"(?:['’]s|\s(?:is|should\sbe|must\sbe))"
    r"\s[-+$(]{0,4}(?:[0-9\\]|[b-z](?![a-z]))|wrong\s?[.!]"
    r"|just kidding|(?<=[,.!:] )(?<!but, )(?<!however, )[-+$(]{0,4}[0-9\\])",
    re.IGNORECASE,
)
# '... is not \boxed{5}', and '\boxed{5} is wrong'.
_NOT_BOX = re.compile(
    r"(?:\bnot|n['’]t)\s[$\\(\[\s]{0,6}\\\w{0,5}box(?:ed)?\s?\{$"
)
_NOT = ("not", "n't", "n’t")
_IS_WRONG = re.compile(
    r"(?:is|was) (?:wrong|incorrect|false|not (?:right|correct))\b"
)
_AROUND_BOX = "}$?.)]\\ \n"
# A quality of the answer, unless no statement stands before it.
_QUALITY = re.compile(
    r"(?:an? |the )?(?:(?:positive|negative|nonnegative|whole|natural|rational"
    r"|irrational|real|prime|even|odd|small|large|nonzero)\b ?)*"
    r"(?:integer|number|multiple of [0-9$]+|power of [0-9$]+|fraction|value)?"
    r"(?:[,.]| (?:as|so|which|because|since)\b.*)?",
    re.IGNORECASE,
)
# What may be said of an answer without giving or denying one.
_ABOUT_ANSWER = re.compile(
    r"(?:(?:now|also|indeed|therefore|thus|then|still|really|surely|certainly"
    r"|definitely|clearly|completely|actually)\s+)*"
    r"(?:correct|right(?! (?:tri)?angle)|accurate|valid|consistent|reasonable"
    r"|sound|fine|plausible|unchanged|confirmed|verified|checked|obtained|found|given|derived"
    r"|computed|calculated|reached|shown|explained|based|supported|justified"
    r"|as follows|because|in the (?:form|box)|the same|written|expressed)\b",
    re.IGNORECASE,
)
_ADVERB = re.compile(
    r"(?:(?:now|also|indeed|therefore|thus|then|still|simply|just|actually"
    r"|really|clearly|exactly|precisely|equal to|that(?= there)"
    r"|the point(?=\s*\$?\())\s+)+"
    r"(?=\S)",
    re.IGNORECASE,
)
# In front of '#### 2. Check' the number counts headings.
_HASHED_VALUE = re.compile(
    r"[*_`\s]*(?:\$[^$]+\$|\\\(.+?\\\)|[-+]?(?:\\?\$|[€£])? ?[-+]?"
    r"(?:[0-9][0-9.,/:]*|\.[0-9]+)(?: ?(?:\\?%|[a-z]+(?: [a-z]+){0,2}))?"
    r"|-?[0-9.]+(?:, -?[0-9.]+)+"
    r"|[A-Za-z]|(?=\S*[0-9\\(])[^\s:]+)[*_`.\s]*"
)
# What stands in tags is not what they close, nor is <|im_end|> part of it.
_SENTENCE_END = re.compile(
    r"。|</|<\||<(?:end_of_turn|eos)>|(?<!\bsq)(?<!\bcu)\.[*_]*\s|(?<=[*_])\s*[–—]\s"
)
_DISPLAYS = (("$$", "$$"), ("$\n", "$"), (r"\[", r"\]"))
# On a line of its own '- 5' is an item of a list.
_BULLET = re.compile(r"^[*_`:\s]{0,20}\n\s{0,20}[-*] ")
_BEFORE_VALUE = "*`_}: \t\r\n"
# Longer statements than this are beyond every limit of size.
_MAX_CHARS = 4000
_MAX_HASHED_CHARS = 100
_MAX_MARKERS = 100


def stated_answer(text: str) -> str | None:
  """The final answer that a text states, as it is written there, or None.

  The last balanced box wins over any marker, also when it is empty. What is
  taken back beside it is empty, too.
  """
  text = without_thoughts(text)
  boxed = last_boxed(text)
  if boxed is None:
    return after_last_marker(text)
  return "" if _is_denied_box(text, boxed) else boxed


def _is_denied_box(text: str, content: str) -> bool:
  """Whether the words next to the last box take its content back."""
  start = text.rfind(content)
  end = start + len(content)
  tail = text[end : end + _MAX_CHARS_BESIDE].lstrip(_AROUND_BOX)
  if tail and (_IS_WRONG.match(tail) or _TAKEN_BACK.match(tail)):
    return True
  before = text[max(0, start - _MAX_CHARS_BESIDE) : start]
  # Nearly always there is no such word, which is seen faster than searched.
  return any(no in before for no in _NOT) and bool(_NOT_BOX.search(before))


def without_thoughts(text: str) -> str:
  """What an attempt says after thinking.

  The opening tag may be part of the prompt, so all before a closing one is
  thought. What is thought to the end of the text has no answer after it.
  """
  if not any(tag in text for tag in _THINK):
    return text
  ends = list(_THOUGHT_END.finditer(text))
  text = text[ends[-1].end() :] if ends else text
  start = _THOUGHT_START.search(text)
  return text[: start.start()] if start else text


def last_boxed(text: str) -> str | None:
  r"""The content of the balanced \boxed{...} that starts last, in one pass.

  A box whose braces never close does not count. \boxed 5 counts where no box
  has braces.
  """
  last = text.rfind("box")
  if last < 0:
    return None
  # Nearly always the last box closes, and nothing before it matters.
  starts = [last - len(c) for c in _BEFORE_BOX if text.endswith(c, 0, last)]
  box = _BOX_WITH_BRACE.match(text, starts[0]) if starts else None
  content = _content(text, box.end()) if box else None
  if content is not None:
    return content
  best = _last_balanced(text)
  if best is None and (bare := _BARE_BOX.findall(text)):
    return bare[-1]
  return best


def _content(text: str, start: int) -> str | None:
  """The text up to the brace that closes one opened just before."""
  end = text.find("}", start)
  if text.find("{", start, end) < 0 and text.find("\\", start, end) < 0:
    return None if end < 0 else text[start:end]  # as nearly always
  depth = 1
  for match in _BRACES.finditer(text, start):
    token = match.group()
    if token == "}":
      depth -= 1
    elif token[-1] == "{" and token != r"\{":
      depth += 1
    if not depth:
      return text[start : match.start()]
  return None


def _last_balanced(text: str) -> str | None:
  open_braces = []  # (is_boxed, where the content starts)
  best_start, best = -1, None
  for match in _BRACES.finditer(text):
    token = match.group()
    if token[-1] not in "{}" or token in (r"\{", r"\}"):
      continue
    if token != "}":
      open_braces.append((token != "{", match.end()))
    elif open_braces:
      is_boxed, start = open_braces.pop()
      if is_boxed and start > best_start:
        best_start, best = start, text[start : match.start()]
  return best


def after_last_marker(text: str) -> str | None:
  """What the last marker with a statement behind it states, or None.

  A statement ends with its sentence, at most with its line, and where a reason
  or a comment starts. When nothing follows on the marker's own line, the next
  line that is not empty counts. Of a displayed formula only the text between
  its delimiters counts.
  """
  end, quality = len(text), None
  for _ in range(_MAX_MARKERS):
    end = max(text.rfind(mark, 0, end) for mark in _MARKS)
    if end < 0:
      break
    statement = _stated_at(text, end)
    is_worded = statement and statement[0].isalpha()
    if is_worded and _QUALITY.fullmatch(statement):
      quality = quality or statement
    elif statement is not None:
      return statement
  return quality


def _stated_at(text: str, start: int) -> str | None:
  """What a marker at an index states; None where it is none, or a comment."""
  if text.startswith("#", start):
    return _hashed_value(text[start : start + _MAX_HASHED_CHARS])
  before = max(0, start - _MAX_CHARS_BEFORE)
  letter = text[start - 1 : start]
  is_word = letter.isascii() and letter.isalpha()
  if is_word or _OTHER.search(text, before, start):
    return None
  lead = text[max(0, start - _MAX_CHARS_BESIDE) : start]
  if _DENIED.search(lead[max(map(lead.rfind, ".\n")) + 1 :]):
    return None
  marker = _MARKER.match(text, start)
  if marker is None and _TITLE_START.search(text, before, start):
    marker = _TITLE_END.match(text, start)
  if marker is None:
    return None
  return _statement(text[marker.end() : marker.end() + _MAX_CHARS])


def _hashed_value(text: str) -> str | None:
  line = re.split(r"\n|</|<\|", text, maxsplit=1)[0].lstrip("#")
  return line.strip() if _HASHED_VALUE.fullmatch(line) else None


def _statement(rest: str) -> str | None:
  """The statement that starts a text; None where it is a mere comment.

  It is empty where the next sentence takes it back.
  """
  rest = _BULLET.sub("", rest).lstrip(_BEFORE_VALUE)
  for opening, closing in _DISPLAYS:
    if rest.startswith(opening):
      shown, _, tail = rest[len(opening) :].partition(closing)
      return "" if _TAKEN_BACK.match(tail.lstrip("$. ")) else shown.strip()
  line = rest.partition("\n")[0]
  sentence = _SENTENCE_END.split(line, maxsplit=1)[0]
  tail = rest[len(sentence) :].lstrip("*_. ")
  sentence = " ".join(sentence.split())
  if not sentence or _ABOUT_ANSWER.match(sentence):
    return None
  if tail and _TAKEN_BACK.match(tail):
    return ""
  adverb = _ADVERB.match(sentence)
  statement = without_comment(sentence[adverb.end() if adverb else 0 :])
  # Of \textbf{Answer: 5}.
  num_closing = statement.count("}") - statement.count("{")
  return statement[:-num_closing] if num_closing > 0 else statement

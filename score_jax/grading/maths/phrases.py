"""Words around an answer: what names it, leads to it, or comments on it.

Words that could change what they stand beside are never dropped: a phrase must
hold a word that names a quantity, and none that denies, scales or compares.
"""

import re

_QUANTITIES = frozenset(
    (
        "answer answers ans result solution solutions value values area areas"
        " volume perimeter circumference length width height depth radius"
        " diameter distance side sides edge edges hypotenuse altitude angle"
        " measure degree degrees slope intercept vertex center centre"
        " coordinate coordinates point points speed velocity rate time"
        " duration age ages date cost price wage salary pay payment money"
        " income revenue profit tax discount change balance score weight"
        " mass temperature number numbers count amount total sum difference"
        " product quotient remainder ratio fraction percent percentage"
        " probability chance odds average mean median mode range minimum"
        " maximum min max minimal maximal smallest largest least greatest"
        " lowest highest domain interval function expression equation"
        " polynomial matrix vector determinant limit integral derivative"
        " coefficient constant term terms lcm gcd gcf hcf factor multiple"
        " divisor digit digits integer integers ways options choice option"
        " units seconds second minutes minute hours hour days day weeks week"
        " months month years year dollars cents pounds grams kilograms"
        " liters inches inch feet foot meters meter centimeters kilometers"
        " miles mile"
    ).split()
)
_CHANGING = re.compile(
    r"\b(?:not|no|nor|non|never|none|nothing|neither|or|and|if|unless|than|but"
    r"|except|excluding|without|other|others|another|wrong|false"
    r"|incorrect\w*|mistaken|twice|thrice|half|halves|halved|doubled?"
    r"|tripled?|thirds?|quarters?|fourths?|tenths?|minus|plus|less|more"
    r"|fewer|opposite|negative|negated|inverse|reciprocal|squared?|cubed?"
    r"|root|roots|times|all|any|every\w*|anything|something|instead|rather"
    r"|hardly|barely|almost|nearly|about|approximately|roughly|at|over"
    r"|under|above|below|between|up|log|logarithm|factorial|percent of"
    r"|percentage of|previous|earlier|former|original|guess|guessed"
    r"|estimate|estimated|doubt\w*|maybe|perhaps|possibly|probably"
    r"|unlikely|contradict\w*|mod|modulo|complement|false\w*|isn't|cannot"
    r"|absolute|(?:from|of|to|by) (?:the )?answer|can't|different|differs?"
    r"|increased|decreased|reduced|far|away|next|one|two|three|four|five"
    r"|ten|hundred|thousand|million"
    r")\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z '.-]*")
_CONNECTIVE = re.compile(
    r"(?:so|thus|therefore|hence|then|finally|clearly|consequently|and so"
    r"|(?:and )?(?:we|i) (?:find|get|have|obtain|conclude)(?: that)?)"
    r"\b *[,:]? *",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"([A-Za-z][A-Za-z '$()-]{0,100}?) *(?:\b(?:is|are|equals)\b *:?|:) *",
    re.IGNORECASE,
)
# Where what was stated ends: a reason for it starts, or words of summing up ...
_END = r"(?<=[^\s{,;])\s*[,;(–—]? *(?:\\text\{)? *[,;(]? *\b"
_REASON = re.compile(rf"{_END}(?:because|since|rounded to)\b", re.IGNORECASE)
_SUMMING_UP = re.compile(
    rf"{_END}(?:in (?:total|all)|altogether|overall|obviously|of course"
    r"|and (?:so )?we are done|as (?:we |was )?(?:required|desired|needed"
    r"|expected|claimed|wanted|requested|stated|shown|asked|found|before))\b",
    re.IGNORECASE,
)
_WAY = re.compile(
    r"(?<=[^\s{,;])\s*(?:[,;(]|\\text\{[,(]) *(?:using|obtained|found|computed"
    r"|calculated|derived)\b",
    re.IGNORECASE,
)
# ... or a comment, which may take it back.
_COMMENT = re.compile(
    r"(?<=[^\s{,;])\s*(?:[,;–—(]|\\text\{,?) *"
    r"(?:so|which|thus|therefore|hence|indeed|(?:and )?(?:this|that|it|the"
    r" answer|the result)(?: answer| result| value)? (?:is|was|has|matches"
    r"|agrees|checks|follows|makes))\b",
    re.IGNORECASE,
)
# A reason that leaves the answer open is none.
_DOUBT = re.compile(
    r"\b(?:or|but|wrong|incorrect|maybe|perhaps|unless)\b", re.IGNORECASE
)
_CONCLUSION = re.compile(
    r"(?<=[^\s{,;]) *(?:\\text\{)? *\bis (?:the|our|my) (?:final )?"
    r"(?:answer|solution|result)\b",
    re.IGNORECASE,
)
_CONTRAST = re.compile(r"(?<=[^\s{,;]),? *(?:\\text\{)?, *(?:and )?not\b")
_NEXT_VALUE = re.compile(r"[,;)] *[$-]?[0-9]")
_EARLIER_ANSWER = re.compile(
    r"\b(?:previous|earlier|former|first|original|initial|old)"
    r" (?:answer|attempt|solution|result)[^,.;]*",
    re.IGNORECASE,
)
_MAX_LEADS = 4


def is_quantity(words: str) -> bool:
  """Whether words name a quantity, as 'Area of ABC' and 'hours' do."""
  return (
      _WORDS.fullmatch(words) is not None
      and not _QUANTITIES.isdisjoint(re.findall(r"[a-z]+", words.lower()))
      and not is_changing(words)
  )


def is_changing(words: str) -> bool:
  """Whether words deny, scale or leave open what they stand beside."""
  return _CHANGING.search(words) is not None


def without_lead(text: str) -> str:
  r"""A text without what leads to an answer: 'So the answer is 5' is 5.

  Args:
    text: may start inside of \text{...}, which is kept where it goes on.
  """
  for _ in range(_MAX_LEADS):
    opening = r"\text{" if text.startswith(r"\text{") else ""
    body = text[len(opening) :].lstrip()
    end = _end_of_lead(body)
    if not end:
      return text
    body = body[end:].lstrip()
    # \text{The answer is }5
    is_closed = opening and body.startswith("}")
    text = body[1:].lstrip() if is_closed else opening + body
  return text


def _end_of_lead(body: str) -> int:
  if match := _CONNECTIVE.match(body):
    return match.end()
  match = _SUBJECT.match(body)
  if match is None:
    return 0
  # The largest $n$ of f(n).
  words = re.sub(r"[$()]", " ", match.group(1))
  return match.end() if is_quantity(words) else 0


def without_comment(text: str) -> str:
  """A statement up to a reason, a comment or a contrast behind it."""
  cuts = [
      match.start()
      for pattern, takes_back in _ENDS
      if (match := pattern.search(text)) and not takes_back(text[match.end() :])
  ]
  kept = text[: min(cuts, default=len(text))].rstrip()
  if not cuts or not kept.strip("$\\({[ "):
    return text
  return kept + "}" * max(0, kept.count("{") - kept.count("}"))


def _leaves_open(tail: str) -> bool:
  return _DOUBT.search(tail) is not None


def _takes_back(tail: str) -> bool:
  """Whether a comment changes what it comments on, or adds to it."""
  tail = _EARLIER_ANSWER.sub("", tail)
  return is_changing(tail) or _NEXT_VALUE.search(tail) is not None


_ENDS = (
    (_REASON, _leaves_open),
    (_WAY, _leaves_open),
    (_CONTRAST, _leaves_open),
    (_SUMMING_UP, _takes_back),
    (_CONCLUSION, _takes_back),
    (_COMMENT, _takes_back),
)

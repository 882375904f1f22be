"""Words around an answer: what names it, leads to it, or comments on it.

Words that could change what they stand beside are never dropped: a phrase must
hold a word that names a quantity, and none that denies, scales or compares.
"""

import re

_QUANTITIES = frozenset(
    (
        "answer answers area areas volume perimeter circumference length width"
        " height depth radius diameter distance speed velocity rate time"
        " duration age ages cost price total sum difference product quotient"
        " remainder ratio number numbers count amount value values result"
        " solution solutions probability chance odds average mean median mode"
        " range domain interval slope intercept angle measure degree degrees"
        " percent percentage fraction weight mass temperature profit revenue"
        " income salary wage pay payment money tax discount change balance"
        " score points term terms coefficient constant expression function"
        " equation vertex center centre coordinate coordinates point side sides"
        " edge edges hypotenuse altitude minimum maximum min max determinant"
        " limit integral derivative lcm gcd gcf hcf factor multiple divisor"
        " digit digits integer integers options ways choice option date year"
        " units hours hour minutes minute seconds second days day weeks week"
        " months month years dollars cents miles mile feet foot inches inch"
        " meters meter centimeters kilometers pounds grams kilograms liters"
    ).split()
)
_CHANGING = re.compile(
    r"\b(?:not|no|nor|non|never|none|nothing|neither|or|and|if|unless|than|but"
    r"|except|excluding|without|other|others|another|wrong|false|incorrect\w*"
    r"|mistaken|twice|thrice|half|halves|halved|doubled?|tripled?|thirds?"
    r"|quarters?|fourths?|tenths?|minus|plus|less|more|fewer|opposite|negative"
    r"|negated|inverse|reciprocal|squared?|cubed?|root|roots|times|all|any"
    r"|every\w*|anything|something|instead|rather|hardly|barely|almost|nearly"
    r"|about|approximately|roughly|at|over|under|above|below|between|up|log"
    r"|logarithm|factorial|percent of|percentage of|previous|earlier|former"
    r"|original|guess|guessed|estimate|estimated|doubt\w*|maybe|perhaps"
    r"|possibly|probably|unlikely|contradict\w*|mod|modulo|complement|false\w*"
    r"|isn't|cannot|can't|different|differs?|increased|decreased|reduced|far"
    r"|away|next|one|two|three|four|five|ten|hundred|thousand|million)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z '.-]*")
_CONNECTIVE = re.compile(
    r"(?:so|thus|therefore|hence|then|finally|clearly|consequently|and so)"
    r"\b *[,:]? *",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"([A-Za-z][A-Za-z '-]{0,80}?) *(?:\b(?:is|are|equals)\b *:?|:) *",
    re.IGNORECASE,
)
# Where what was stated ends and a reason for it starts ...
_REASON = re.compile(
    r"(?<=[^\s{,;])\s*[,;(–—]? *(?:\\text\{)?[,;(]? *\b"
    r"(?:because|since|as (?:required|desired|needed|expected|claimed|wanted"
    r"|requested|stated|shown|asked|found|before)|in (?:total|all)|altogether"
    r"|overall)\b",
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
_CONTRAST = re.compile(r"(?<=[^\s{,;]),? *(?:\\text\{)?, *(?:and )?not\b")
_EARLIER_ANSWER = re.compile(
    r"\b(?:previous|earlier|first|original|initial|old)"
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
  return match.end() if match and is_quantity(match.group(1)) else 0


def without_comment(text: str) -> str:
  """A statement up to a reason, a comment or a contrast behind it."""
  cut = min(
      (
          match.start()
          for match in (
              _REASON.search(text),
              _CONTRAST.search(text),
              _harmless_comment(text),
          )
          if match
      ),
      default=None,
  )
  if cut is None:
    return text
  kept = text[:cut].rstrip()
  return kept + "}" * max(0, kept.count("{") - kept.count("}"))


def _harmless_comment(text: str) -> re.Match[str] | None:
  match = _COMMENT.search(text)
  if match is None:
    return None
  comment = _EARLIER_ANSWER.sub("", text[match.end() :])
  return None if is_changing(comment) else match

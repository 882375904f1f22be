"""How chat models write down a program: by name, ways to wrap one in text.

A style takes the program that the text states, and another one for the same
task, which the text names but does not state.
"""

import textwrap


def _indented(text, prefix):
  return textwrap.indent(text, prefix, lambda line: True)


def _listed(program, other):
  del other
  return (
      "1. Write it:\n\n   ```python\n"
      + _indented(program, "   ")
      + "\n   ```\n\n2. Try it:\n\n   ```python\n   print('x')\n   ```\n"
  )


def _two_tries(program, other):
  return (
      f"First try:\n```python\n{other}\n```\nThis is wrong. Fixed:\n"
      f"```python\n{program}\n```\nOutput:\n```\n2\n```\n"
  )


def _docstring_with_fences(program, other):
  """The docstring of a helper shows an example, as Markdown does."""
  del other
  helper = (
      'def helper_of_mine(x):\n    """Does nothing.\n\n    ```python\n'
      "    helper_of_mine(1)\n    ```\n\n    or\n\n    ```\n    2\n    ```\n"
      '    """\n    return x\n'
  )
  return f"```python\n{helper}\n\n{program}\n```\nThat is it."


STYLES = {
    "fence": lambda p, _: f"Sure!\n\n```python\n{p}\n```\n\nIt's done.",
    "plain_fence": lambda p, _: f"```\n{p}\n```",
    "attributes": lambda p, _: f'```{{.python title="a.py"}}\n{p}\n```',
    "marks": lambda p, _: f"[BEGIN]\n{p}\n[DONE]",
    "marks_in_one_line": lambda p, _: f"Here: [BEGIN]{p}[DONE] It works.",
    "marks_around_fence": lambda p, _: f"[BEGIN]\n```python\n{p}\n```\n[DONE]",
    "marks_in_fence": lambda p, _: f"```python\n[BEGIN]\n{p}\n[DONE]\n```",
    "mark_in_fence": lambda p, _: f"```python\n[BEGIN]\n{p}\n```",
    "marks_around_prose": lambda p, _: (
        f"[BEGIN]\nHere it is:\n\n{p}\n\nThis is the whole program.\n[DONE]"
    ),
    "marks_twice": lambda p, _: f"[BEGIN]\n[BEGIN]\n{p}\n[DONE]\n[DONE]",
    "second_thoughts": lambda p, q: (
        f"[BEGIN]\n{q}\n[DONE]\nI made a mistake.\n[BEGIN]\n{p}\n[DONE]"
    ),
    "goes_on": lambda p, q: f"[BEGIN]\n{p}\n[DONE]\n\nQuestion: more\n\n{q}",
    "listed": _listed,
    "tab": lambda p, _: "\t```python\n" + _indented(p, "\t") + "\n\t```",
    "bullet": lambda p, _: "* ```python\n" + _indented(p, "  ") + "\n  ```",
    "quoted": lambda p, _: _indented(f"```python\n{p}\n```", "> "),
    "closed_in_line": lambda p, _: f"```python\n{p}```\nThat is it.",
    "closed_with_text": lambda p, _: f"```python\n{p}\n``` is the program.",
    "tildes": lambda p, _: f"~~~python\n{p}\n~~~\nDone.",
    "many_backticks": lambda p, _: f"`````python\n{p}\n`````",
    "never_closed": lambda p, _: f"```python\n{p}\n",
    "forgot_to_close": lambda p, _: (
        f"```python\n{p}\n\nThis is how it's called:\n\n"
        "```python\nprint('x')\n```"
    ),
    "two_tries": _two_tries,
    "docstring_with_fences": _docstring_with_fences,
    "python_tags": lambda p, _: f"[PYTHON]\n{p}\n[/PYTHON]\nThat is it.",
    "code_tags": lambda p, _: f"[CODE]\n{p}\n[/CODE]",
    "begin_end": lambda p, _: f"[BEGIN]\n{p}\n[END]\nIt works.",
    "other_case": lambda p, _: f"[Begin]\n{p}\n[Done]",
    "named_marks": lambda p, _: (
        f"I put it between [BEGIN] and [DONE]:\n\n```python\n{p}\n```"
    ),
    "named_marks_bare": lambda p, _: (
        f"The text between [BEGIN] and [DONE] is:\n\n{p}\n\nThat is all."
    ),
    "named_marks_behind": lambda p, _: (
        f"[BEGIN]\n{p}\n[DONE]\nThe text between [BEGIN] and [DONE] counts."
    ),
    "bold_marks": lambda p, _: f"**[BEGIN]**\n{p}\n**[DONE]**",
    "quoted_marks": lambda p, _: f'"[BEGIN]"\n{p}\n"[DONE]"',
    "ticked_marks": lambda p, _: f"`[BEGIN]`\n{p}\n`[DONE]`",
    "marks_in_a_quote": lambda p, _: f"> [BEGIN]\n{p}\n> [DONE]",
    "all_in_a_quote": lambda p, _: _indented(f"[BEGIN]\n{p}\n[DONE]", "> "),
    "heading_marks": lambda p, _: f"### [BEGIN]:\n\n{p}\n\n### [DONE]",
    "thought": lambda p, q: (
        f"<think>maybe ```python\n{q}\n```</think>\n```python\n{p}\n```"
    ),
    "thought_with_marks": lambda p, q: (
        f"<think>\n[BEGIN]\n{q}\n[DONE]\n</think>\n\n```python\n{p}\n```"
    ),
    "thought_of_the_template": lambda p, q: (
        f"So I write\n\n```python\n{q}\n```\n</think>\n\n{p}"
    ),
    "thought_that_it_refers_to": lambda p, _: (
        f"<think>\n```python\n{p}\n```\n</think>\nThe program is above."
    ),
    "bare": lambda p, _: p,
    "bare_then_text": lambda p, _: f"{p}\n\n### Explanation\nIt's right.",
    "bare_in_text": lambda p, _: (
        f"Here is the code:\n\n{p}\n\nExplanation:\n- It adds.\n1. Done"
    ),
    "indented_in_text": lambda p, _: (
        "Here:\n\n" + _indented(p, "    ") + "\n\nDone."
    ),
    "heading": lambda p, _: f"# Solution\n\n{p}",
    "details": lambda p, _: f"<details>\n\n```python\n{p}\n```\n\n</details>",
    "escaped_marks": lambda p, _: f"\\[BEGIN\\]\n{p}\n\\[DONE\\]",
    "language_in_marks": lambda p, _: f"[BEGIN]\npython\n{p}\n[DONE]",
    "language_in_fence": lambda p, _: f"```\npython\n{p}\n```",
    "answer_tags": lambda p, q: (
        f"<think>```\n{q}\n```</think><answer>{p}</answer>"
    ),
    "html": lambda p, _: f"This is it:\n<pre><code>{p}</code></pre>\nDone.",
    "windows_lines": lambda p, _: f"```python\n{p}\n```\n".replace(
        "\n", "\r\n"
    ),
    "future": lambda p, _: (
        f"```python\nfrom __future__ import annotations\n{p}\n```"
    ),
    "future_behind_a_docstring": lambda p, _: (
        '```python\n"""My program."""\n\nfrom __future__ import annotations\n'
        f"from __future__ import division; import sys\n{p}\n```"
    ),
}

"""Where the level may stand in a line of text: behind times, brackets, ids, pairs and dashes. Pure.

In: the beginning of a line. Out: the level in a bracket, or the position at which a level word may
stand. The expressions are possessive, so that they never go back over what they have read.
"""

from __future__ import annotations

import re

from natstream.entries.level_names import LEVEL_WORDS
from natstream.entries.uncompiled import Uncompiled

__all__ = ["skip_prefix"]

# More brackets before the level are no prefix of a logging library.
MAX_BRACKETS = 8

Expression = re.Pattern[str] | Uncompiled

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_TIME = r"\d{1,2}:\d\d(?::\d\d)?+(?:[.,:]\d{1,9})?+(?:\ ?[AaPp][Mm]\b)?+"
_DATE = (
    rf"(?:\d{{4}}[-/.]\d\d?[-/.]\d\d?|(?:{_DAY},\ )?\d\d?[-/\ ]{_MONTH}[-/\ ]\d{{4}}"
    r"|20\d{6}(?=\ \d\d:)|\d\d?[-/.]\d\d?[-/.](?:\d{4}|\d\d(?=\ ))"
    rf"|(?:{_DAY},?\ )?{_MONTH}\ {{1,2}}\d{{1,2}}(?:,?\ \d{{4}}\b)?+)"
)
_ZONE = r"(?:Z|[+-]\d\d:?\d\d|UTC|GMT|[A-Z]{1,3}[SD]T|[CEW]ES?T)(?![A-Za-z])"
_STAMP = (
    r"(?=\d|[JFMASONDTW][a-z][a-z][ ,])"
    rf"(?:{_DATE}(?:[T ,:_]{{1,2}}{_TIME})?+|{_TIME}|\d{{10,13}}(?:\.\d{{1,9}})?+(?=[:\s]))"
    rf"(?:\ ?{_ZONE})?+(?:\ \d{{4}}\b)?+"
)
# A bracket with a single word may hold the level, and so may one that begins in upper case.
_PIECES = rf"""
    {_STAMP}[:,]?+(?=[\s\]\[|<]|$)
  | \[{_STAMP}[:,]?+\ {{1,4}}(?=[A-Z]{{3,9}}[ \]/|])
  | \[(?!\ {{0,4}}(?:[\w.]{{0,40}}+:)?(?:[A-Za-z]{{3,13}}\ {{0,8}}\]|[A-Z]{{3,9}}[ /|:]))
      (?![\w\ -]{{1,40}}+/[A-Z]{{3,9}}\]:|(?:[\d/.]{{1,20}}+:){{1,4}}+[A-Z]{{3,9}}:)
      [^\]\n]{{0,120}}+\]:?+
  | \((?![A-Za-z]{{3,13}}\))[^)\n]{{1,80}}+\):?+(?=\s)
  | \{{[^}}\n]{{0,80}}+\}}(?=\s)
  | <[\d.]{{3,40}}+>(?=\s)
  | <[a-z]{{1,20}}+>:\d{{1,7}}:(?=\s)
  | \w[\w.-]{{0,60}}+=(?:"[^"\n]{{0,120}}+"|'[^'\n]{{0,120}}+'|[^\s"']{{0,120}}+)(?=\s)
  | [\w/][\w/-]{{0,120}}+(?:\.[\w/-]{{1,120}}+){{1,9}}+:\d{{1,7}}(?::\d{{1,5}})?+[:\]]?+(?=\s)
  | \|(?:-(?=[A-Z])|\d{{1,9}}+(?=\|[A-Z]))
  | (?:-{{1,4}}+|\||>|»)(?=\s)
"""
_FIRST: Expression = Uncompiled(globals(), "_FIRST", rf"\ ?(?!\|)(?:{_PIECES})")
# Behind the first piece, numbers (processes, threads) and names (loggers, hosts) may stand, too.
_MORE: Expression = Uncompiled(
    globals(),
    "_MORE",
    rf"""
    (?:\s{{0,8}}+(?![A-Z]{{3,9}}[\s:|/\[,]) # a level
      (?: {_PIECES}
        | (?:\#?\d{{1,12}}+|0x[0-9a-fA-F]{{1,16}}+)[:\#]?+(?=\s)
        | (?!(?i:err|error|warn|warning|info|debug|fatal|trace|notice)[\s:|])
          (?: [\w.-]{{1,60}}+\ [\w./-]{{1,60}}+\[\d{{1,9}}\]:(?=\s)
            | [\w-]{{1,60}}+\[[\w.]{{1,30}}\]:(?=\s)
            | [\w$]{{1,60}}+(?:\[\d{{1,9}}\])?+:?+(?=\ -\ |\ {{0,20}}\|)
            | [\w$]{{1,60}}+[.@/-][\w.@/$-]{{1,120}}+(?=\s)
          )
      )
    ){{1,16}}+
    """,
)
_BLANKS = re.compile(r"\s{0,8}")
_BRACKETS = frozenset("[<|")
_WORD_IN_BRACKETS = re.compile(
    r"""(?:\[|(?<=[\s\d])[<|])\ {0,4}(?:[\w.]{0,40}+:)?([A-Za-z]{3,13})\ {0,8}[\]>|]:?+
      | \[\ {0,2}([A-Z]{3,9})[ /|:][^\]\n]{0,120}+\]:?+
      | \[[\w\ -]{1,40}+/([A-Z]{3,9})\]:
      | \[(?:[\d/.]{1,20}+:){1,4}+([A-Z]{3,9}):[^\]\n]{1,80}+\]""",
    re.VERBOSE,
)


def skip_prefix(text: str, start: int = 0) -> tuple[str, int]:
    """Return the level that stands in a bracket, and where a level word may stand otherwise.

    Args:
        text: the beginning of the line.
        start: where a time ends that the line begins with, if that is known.

    Returns:
        The level, or ""; and the position, which is -1 if the line begins with nothing that logging
        libraries put before a level.
    """
    if not start:
        found = _FIRST.match(text)
        start = found.end() if found is not None else -1
    for _ in range(MAX_BRACKETS):
        if start > 0 and (more := _MORE.match(text, start)) is not None:
            start = more.end()
        position = _BLANKS.match(text, max(start, 0)).end()  # type: ignore[union-attr]  # it always matches
        bracket = None
        if text[position : position + 1] in _BRACKETS:
            bracket = _WORD_IN_BRACKETS.match(text, position)
        if bracket is None:
            return "", position if start > 0 or position == 1 else -1
        if level := LEVEL_WORDS.get(bracket[bracket.lastindex or 1]):
            return level, position
        start = bracket.end()
    return "", -1

"""Log text → text that a terminal may be given: it can be seen, and cannot act.

Whoever can write a log line can write escape sequences: they move the cursor over other
lines, set the clipboard, or make the terminal type. `sanitize` lets colours through if asked,
removes every other sequence, and shows stray control characters as their pictures (`␇`, `␛`).
Pure, never raises, takes time linear in the text.

The grammar is ECMA-48's (5th edition, 5.4 and 5.6), as xterm reads it.
"""

from __future__ import annotations

import re

__all__ = ["sanitize"]

RESET = "\x1b[0m"

# What must not reach a terminal as it is. Most lines are printable, and `str.isprintable` is all
# that they cost; of the others, most hold a tab or an unusual space, and none of these.
SUSPECT = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_suspect = re.compile(SUSPECT).search

# No sequence runs past the next one's introducer: that keeps the whole linear, and lets a string
# without an end swallow nothing but its own start. The look-ahead only saves time (six times).
_tokens = re.compile(
    rf"(?={SUSPECT})(?:"
    r"""
      (?P<colour> \x1b \[ [0-9;:]*+ m )                # SGR; not xterm's private CSI > … m
    | (?P<gone>
        (?: \x1b [\]PX^_k] | [\x90\x98\x9d-\x9f] )     # OSC, DCS, SOS, PM, APC, screen's title:
          (?: [^\x00-\x1f\x80-\x9f]*+                  #   up to BEL or ST, where there is one
              (?: \x07 | \x1b \\ | \x9c ) )?
      | (?: \x1b \[ | \x9b ) [0-?]*+ [ -/]*+ [@-~]?    # CSI
      | \x1b [ -/]++ [0-~]?                            # character sets and the like
      | \x1b [0-~]                                     # two characters
      | \r (?= \n | \Z )                               # a line's end from Windows or a tty
      | [\x80-\x9f]                                    # other 8-bit controls
      | [\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069] # bidi: they reorder what is shown
      )
    | (?P<control> [\x00-\x1f\x7f] )
    | (?P<surrogate> [\ud800-\udfff] )                 # no encoding takes it
    )""",
    re.VERBOSE,
)
_pictures = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "\u2421"}
_is_reset = re.compile(r"\x1b\[0*m").fullmatch


def sanitize(text: str, *, keep_colours: bool) -> str:
    """`text` without anything that could drive a terminal. Line feeds and tabs stay.

    With `keep_colours`, SGR sequences (colour, bold, …) stay too, and a text that leaves one
    on is ended by a reset. Sanitizing twice changes nothing.
    """
    if text.isprintable() or not _suspect(text):
        return text
    last = ""

    def replace(match: re.Match[str]) -> str:
        nonlocal last
        token = match[0]
        match match.lastgroup:
            case "colour":
                if keep_colours:
                    last = token
                    return token
                return ""
            case "control":
                return _pictures[token]
            case "surrogate":
                return "\ufffd"
            case _:
                return ""

    safe = _tokens.sub(replace, text)
    return safe + RESET if last and not _is_reset(last) else safe

"""The words of a text with their varying parts masked, so that lines of one kind are equal. Pure.

In: a text of a bounded length. Out: its pattern, in which `<n>` stands for a number, a time or an
id, and `*` for a quoted text or the value of a pair. For example, `order 4711 took 12ms` becomes
`order <n> took <n>`.

Every digit is first replaced by a zero, so that most words of a line have been seen before, and are
looked up. Only a new word is analysed. An HTTP status, the exit code of a process and an outcome
such as `result=failed` are kept, because otherwise failures would be of the same kind as successes.
The time is linear in the text.
"""

from __future__ import annotations

import re

__all__ = ["LONGEST", "is_outcome", "mask_name", "mask_words", "outcome_of", "status_name"]

LONGEST = 300
"""Characters of a pattern."""

# Words and texts that are remembered. A word takes about 200 bytes, a text 600. Both memories start
# again when they are full, because a flood of random words must not take more.
MAX_WORDS, LONGEST_WORD = 5_000, 100
MAX_TEXTS = 1_000

_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_KEEP = "\x00"
"""Stands for a word that has to be looked at with its own digits."""

_REQUEST = re.compile(r'"([A-Z]{3,10}) (\S{1,2000}?)(?: (HTTP/[\d.]{1,5}))?"')
# A quote within a word is an apostrophe.
_QUOTED = re.compile(
    r'"(?:[^"\\]|\\.)*+"?'
    r"|(?<![\w'])'(?:[^'\\]|\\.)*+'(?!\w)"
    r"|`[^`']*+[`']",
    re.DOTALL,
)
# The text of an error tells one failure from another, so it is read without its quotes.
_ERROR_PAIR = re.compile(r'\b(err|error|exception|reason|cause)="((?:[^"\\]|\\.)*+)"?')
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT"})
_BEFORE_STATUS = frozenset(
    {
        *("status", "code", "completed", "returned", "responded", "response", "sent", "answered"),
        *("with", "->", "→", "|", "got", "statuscode", "status_code", "http", "error"),
    }
)
_BEFORE_STATUS_IN_PARENTHESES = frozenset({"failed", "failure"})
# How a process has ended, and which error the system has told.
_BEFORE_EXIT = frozenset({"code", "status", "signal", "errno", "exit", "exited", "exitcode"})
_ENDED = re.compile(r"(?:signal|exitcode|exit code) -?\d{1,3}(?: \(SIG[A-Z]{2,9}\))?")
_EXIT_PAIR = re.compile(
    r"[(\[{,]?(?:code|status|signal|errno|rc|exit(?:_?(?:code|status))?)=\d{1,3}[,;)\]}.]*",
    re.IGNORECASE,
)
_STATUS_PAIR = re.compile(r"(?i:status|code|status_?code)[=:]\"?([1-5]\d\d)\b")

_PAIR = re.compile(r"([(\[{,]{0,3}[A-Za-z_@][\w.@/-]{0,60}+)=(?![=>~])(.*?)([,;)\]}]*)", re.DOTALL)
_KEPT_PAIRS = frozenset({"level", "lvl", "severity", "method", "at"})
_ERROR_NAMES = frozenset({"err", "error", "exception", "reason", "cause"})
_CODE_NAMES = frozenset({"code", "error_code", "err_code", "grpc.code", "grpc_code"})
_OUTCOME_NAME = re.compile(
    r"(?:status|state|outcome|result|health|phase|conclusion)$|"
    r"^(?:success|ok|healthy|passed|failed|succeeded|ready|error|from|to|old|new|previous|current)$"
)
# Only known words are kept, because the value of such a field may also be a name or a place.
_OUTCOME_WORDS = frozenset(
    {
        *("true", "false", "ok", "success", "successful", "succeeded"),
        *("passed", "passing", "completed", "complete", "done"),
        *("fail", "failed", "failure", "error", "errored"),
        *("invalid", "denied", "rejected", "refused"),
        *("timeout", "timed_out", "expired", "cancelled", "canceled", "aborted"),
        *("crashed", "killed", "evicted", "lost", "dead", "alive"),
        *("healthy", "unhealthy", "degraded", "critical", "warning"),
        *("unavailable", "serving", "not_serving", "unknown"),
        *("up", "down", "online", "offline", "connected", "disconnected"),
        *("open", "closed", "half_open", "ready", "not_ready"),
        *("pending", "running", "skipped", "started", "stopped"),
        *("blocked", "green", "yellow", "red"),
    }
)
_IDS = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_MAIL = re.compile(r"[\w.+%-]{1,64}@[\w.-]{1,253}")
_IPV6 = re.compile(r"(?<![\w:])(?=(?:[0-9a-fA-F]{0,4}:){2})[0-9a-fA-F:.]{2,45}(?![\w:])")
_CODE = re.compile(
    r"\[[A-Z]{1,6}0{2,6}\]:?|\([A-Z]{1,6}0{2,6}\):?|[A-Z]{1,6}-?0{2,6}:?|"
    r"SQLSTATE\[[0-9A-Z]{5}\]:?"
)
# Without signs around it, a code is told from an id by the word before.
_BARE_CODE = re.compile(r"[A-Z]{1,6}-?\d{2,6}")
_BEFORE_CODE = frozenset({"err", "code", "errorcode", "error_code"})
# The name of a pod in Kubernetes ends with the hash of its template and five random letters.
_POD = re.compile(r"-(?=[a-z]*0)[0-9a-z]{8,10}-[0-9a-z]{5}(?![0-9A-Za-z-])")
_TOKEN = re.compile(r"[0-9A-Za-zµ]*0[0-9A-Za-zµ]*")
_LONG = re.compile(r"[0-9A-Za-z]{10,}")
_CASES = re.compile(r"[a-z](?=[A-Z])|[A-Z](?=[a-z])")
_NUMBER = re.compile(r"[\[(\"]?000[\])\",.;:]{0,3}")
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_LETTERS = re.compile(r"(?<![0-9A-Za-z])[a-f]{8,}(?![0-9A-Za-z])")  # an id without digits
_QUANTITY = re.compile(r"(?:0+[a-zA-Zµ]{1,3})+|0+(?:bytes|secs?|mins?|[kKMG]i?[bB]ps)")
_MIXED = re.compile(r"0[a-zA-Z]")
_DIGITS = re.compile(r"0+")

_N = "<n>"
# A thread stands before the level or, as Spring prints it, behind three hyphens.
_THREAD = re.compile(
    r"(?<=--- )\[[^\[\]]{1,60}\]|\[[^\[\]]{1,60}\](?= +(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b)"
)
# A line of syslog names its host behind its time.
_HOST = re.compile(r"^<n> (?:\S{1,255} )?(?=[\w./()-]{2,60}\[<n>\]:)")
# The user of an access log.
_USER = re.compile(r"^<n> - \S{1,64} (?=\[<n>\] )")
_DATE = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}+,? )?"
    r"(?:<n>[ /-])?\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}+[ /-]<n>"
)
_ZONED = re.compile(r"<n>[TZ](?:<n>Z?)?(?![\w])|<n> (?:UTC|GMT|CET|CEST|AM|PM)\b")
_UNIT = re.compile(
    r"<n> ?(?:%|(?:ms|µs|us|ns|s|secs?|seconds?|mins?|minutes?|hours?|h|[kKMGT]i?B|B|bytes?)\b)"
)
_JOINED = re.compile(r"<n>(?:(?:[.,:/_+-]{1,2}|, | )<n>)+")
_SIGNED = re.compile(r"(?<![\w>.)\]])[+-]<n>")

_words: dict[str, str] = {}
_texts: dict[str, str] = {}


def mask_words(text: str) -> str:
    """Return the pattern of a text without colours, at most 300 characters."""
    if '"' in text or "'" in text or "`" in text:
        if '"' in text:
            text = _REQUEST.sub(_bare_request, text)
            if '="' in text:
                text = _ERROR_PAIR.sub(r"\1= \2 ", text)
        text = _QUOTED.sub(_unquoted, text)
    shape = _with_zeros(text)
    known = _words.get
    masked = [known(word) or _mask_word(word) for word in shape.split()]
    if _KEEP in masked:
        _keep_digits(masked, text.split())
    if "xit" in shape or "signal" in shape or "errno" in shape:
        _keep_exits(masked, text.split())
    if "=000" in shape or ":000" in shape:
        _keep_status_pairs(masked, text.split())
    joined = " ".join(masked)
    return _texts.get(joined) or _mask_text(joined)


def _with_zeros(text: str) -> str:
    # Going through bytes takes a fifth of the time of `str.translate`.
    return text.encode("utf-8", "replace").translate(_ZEROS).decode()


def mask_name(name: str) -> str:
    """Return the name of a field without its varying parts."""
    return _words.get(name) or _mask_word(_with_zeros(name)).replace(_KEEP, _N)


def is_outcome(name: str) -> bool:
    """Return whether the value of a field or a pair may tell how something went.

    Args:
        name: in small letters.
    """
    return _OUTCOME_NAME.search(name) is not None


def outcome_of(value: object) -> str:
    """Return the word of a value that tells how something went; empty if there is none."""
    word = str(value).lower() if isinstance(value, str | bool) else ""
    return word if word in _OUTCOME_WORDS else ""


def status_name(status: str) -> str:
    """Return a status of HTTP from 400 on as it is, and the class of another one: `2xx`."""
    return status if status >= "400" else f"{status[0]}xx"


def _bare_request(match: re.Match[str]) -> str:
    """Return the request of an access log without its quotes, so that its words stay."""
    method, target, protocol = match.groups()
    if method not in _METHODS:
        return '"*"'
    return f"{method} {target} {protocol or ''}"


def _unquoted(match: re.Match[str]) -> str:
    """Return quotes around a mask, and a known outcome or the end of a process as it is."""
    quoted = match[0]
    text = quoted[1:-1]
    if text.lower() in _OUTCOME_WORDS:
        return quoted
    if _ENDED.fullmatch(text):
        return text
    return f"{quoted[0]}*{quoted[0]}"


def _mask_text(joined: str) -> str:
    """Return the pattern of masked words: dates, units and lists of numbers are one mask each."""
    text = joined[: 2 * LONGEST]
    if "[" in text:
        text = _THREAD.sub("[*]", text)
    if _N in text:
        text = _DATE.sub(_N, text)
        text = _ZONED.sub(_N, text)
        text = _UNIT.sub(_N, text)
        text = _SIGNED.sub(_N, text)
        text = _JOINED.sub(_N, text)
        text = _HOST.sub("<n> * ", text)
        text = _USER.sub("<n> - - ", text)
    text = text[:LONGEST]
    if len(_texts) >= MAX_TEXTS:
        _texts.clear()
    if len(joined) <= 2 * LONGEST:
        _texts[joined] = text
    return text


def _mask_word(word: str) -> str:
    masked = _analysed(word)
    if len(word) <= LONGEST_WORD:
        if len(_words) >= MAX_WORDS:
            _words.clear()
        _words[word] = masked
    return masked


def _analysed(word: str) -> str:
    """Return a word, whose digits are zeros, with its varying parts masked."""
    if _NUMBER.fullmatch(word) or _CODE.fullmatch(word):
        return _KEEP
    if "=" in word and (pair := _PAIR.fullmatch(word)) is not None:
        name, value, end = pair.groups()
        if name.lower() in _KEPT_PAIRS and value.isalpha():
            return word
        own = name.lstrip("([{,").lower()
        if value.lower() in _OUTCOME_WORDS and is_outcome(own):
            return word
        if own in _CODE_NAMES and value.replace("_", "").isalpha():
            return word
        if own in _ERROR_NAMES and value:
            return f"{name}={_masked(value)}{end}"
        return f"{_masked(name)}=*{end}"
    if "?" in word and "=" in word:
        word = word[: word.index("?")] + "?*"
    if "@" in word:
        word = _MAIL.sub(_N, word)
    if "/" in word:
        return "/".join(_masked_segment(part) for part in word.split("/"))
    return _masked(word)


def _masked_segment(part: str) -> str:
    """Return a part of a path. A title in it, such as `how-to-brew-tea`, is an id."""
    if part.count("-") >= 2 and part.replace("-", "").isalnum():
        return _N
    return _masked(part)


def _masked(word: str) -> str:
    if ":" in word:
        word = _IPV6.sub(_N, word)
    if len(word) >= 10:
        word = _LONG.sub(_mask_random, word)
    if "0" not in word:
        return _LETTERS.sub(_N, word)
    if "-" in word:
        word = _POD.sub("-" + _N, _IDS.sub(_N, word))
    return _JOINED.sub(_N, _TOKEN.sub(_mask_token, word))


def _mask_random(match: re.Match[str]) -> str:
    """Return a row of letters as an id if its case changes more often than that of a name."""
    token = match[0]
    return _N if 8 * len(_CASES.findall(token)) >= 3 * (len(token) - 1) else token


def _mask_token(match: re.Match[str]) -> str:
    """Return letters and digits, with at least one digit, as an id or with the digits masked."""
    token = match[0]
    if (len(token) >= 4 or token[0] == "0") and _HEX.fullmatch(token):
        return _N
    if _QUANTITY.fullmatch(token) or (len(token) >= 8 and _MIXED.search(token)):
        return _N
    return _DIGITS.sub(_N, token)


def _keep_digits(masked: list[str], words: list[str]) -> None:
    """Put a status and the codes of errors in their places; another number is masked.

    Args:
        masked: the masked words; those with a code or three digits are not known yet.
        words: the words as they are.
    """
    found = False
    index = masked.index(_KEEP)
    for _ in range(masked.count(_KEEP)):
        index = masked.index(_KEEP, index)
        word = words[index]
        number = word.strip('[]()",.;:')
        if _BARE_CODE.fullmatch(word) and not (index and _is_error(words[index - 1])):
            masked[index] = _masked(_with_zeros(word))
        elif not number.isdecimal():
            masked[index] = word
        elif not found and "100" <= number < "600" and _is_status(masked, index, word):
            masked[index] = word.replace(number, status_name(number))
            found = True
        else:
            masked[index] = word.replace(number, _N)


def _is_status(masked: list[str], index: int, word: str) -> bool:
    """Return whether a number of three digits is the status of a request, by the words before."""
    before = _bare(masked[index - 1]) if index else ""
    if before in _BEFORE_STATUS or before.startswith("http/") or before.endswith("error"):
        return True
    if before in _BEFORE_STATUS_IN_PARENTHESES and word.startswith("("):
        return True
    after = masked[index + 1 : index + 2]
    if before.startswith("/") and after == [_N]:  # as in `/cart 200 3ms`
        return True
    if not _METHODS.isdisjoint(after):
        return True
    return not _METHODS.isdisjoint(masked[:index])


def _is_error(before: str) -> bool:
    before = _bare(before)
    return before in _BEFORE_CODE or before.endswith("error")


def _bare(word: str) -> str:
    return word.strip("\"'()[]:=,").lower()


def _keep_exits(masked: list[str], words: list[str]) -> None:
    """Put exit codes, signals and numbers of errors in their places."""
    for index, word in enumerate(words):
        number = word.strip("()[]:=,.;")
        is_number = number.isdecimal() and len(number) <= 3
        if (is_number and index and _bare(words[index - 1]) in _BEFORE_EXIT) or (
            "=" in word and _EXIT_PAIR.fullmatch(word)
        ):
            masked[index] = word


def _keep_status_pairs(masked: list[str], words: list[str]) -> None:
    for index, word in enumerate(words):
        if (status := _STATUS_PAIR.match(word)) is not None:
            name = status_name(status[1])
            masked[index] = (
                masked[index].replace("=*", f"={name}", 1).replace(":<n>", f":{name}", 1)
            )

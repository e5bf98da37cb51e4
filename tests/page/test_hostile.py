"""Lines that a stranger has written to do harm."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.support.viewer import Viewer

ESC = "\x1b"
HOSTILE = {
    "html": "<img src=x onerror=window.hacked=1><b>bold</b>",
    "script": "<script>window.hacked=1</script>",
    "style": "<style>body{display:none}</style>",
    "link": "javascript:window.hacked=1 <a href='javascript:window.hacked=1'>click</a>",
    "markdown": "[x](javascript:window.hacked=1)",
    "bidi": "user\u202egnp.exe\u2066 \u200b\u00ad",
    "nulls": "a\x00b\x07c\x08d\x7fe\x85f",
    "svg": "<svg onload=window.hacked=1>",
    "template": "${window.hacked=1} {{window.hacked=1}}",
    "bomb": f"{ESC}[31mx{ESC}[0m" * 20_000,
    "escapes": ESC * 10_000,
    "nested": "[" * 20_000 + "]" * 20_000,
    "proto": '{"__proto__":{"hacked":1},"constructor":{"prototype":{"hacked":1}}}',
    "long": "x" * 1_000_000,
    "breaks": "\n" * 5_000,
    "osc": f"{ESC}]8;;javascript:window.hacked=1{ESC}\\click{ESC}]8;;{ESC}\\",
    "sse": "x\n\ndata: {}\n\nid: 1\nevent: y",
    "combining": "z" + "\u0301" * 5_000,
    "wide": "漢字" * 5_000,
}


def test_hostile_lines_are_text(viewer: Viewer) -> None:
    """HTML, scripts, links, control characters and oversized lines are shown as text."""
    viewer.open()
    for name, message in HOSTILE.items():
        viewer.publish(f"<{name}> {message}" if name not in ("proto", "nested") else message)
    viewer.publish(
        "hostile fields", region="<b>r</b>", machine="<i>m</i>", level="<u>loud</u>" * 50
    )
    viewer.publish("the end")
    expect(viewer.row("the end")).to_be_visible()
    for wrap in (True, False):
        viewer.press("g")
        for _ in range(30):
            for fold in viewer.page.locator("#rows .fold[aria-expanded=false]").all()[:3]:
                if wrap:
                    fold.click(timeout=2_000, force=True)
                    break
            viewer.press("PageDown")
            viewer.page.wait_for_timeout(20)
        viewer.press("w")
    viewer.press("g")
    for _ in range(len(HOSTILE) + 2):
        viewer.press("j")
        viewer.press("Enter")
    assert viewer.page.evaluate("window.hacked") is None
    assert viewer.page.evaluate("({}).hacked") is None
    # Fly's documentation is all that a line can link to.
    assert viewer.page.locator("#rows a, #details a").count() == 0
    assert (
        viewer.page.locator("#rows img, #rows script, #rows b, #rows svg:not(.icon)").count() == 0
    )
    assert "\u202e" not in (viewer.page.locator("body").text_content() or "")
    viewer.search(f"app:{viewer.app} gnp.exe")
    expect(viewer.page.locator("#rows .unseen").first).to_have_text("U+202E")
    sent = {event["message"] for event in viewer.lines()}
    assert sent == {f"<bidi> {HOSTILE['bidi']}"}

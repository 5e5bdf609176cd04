"""What a page owes those who see little, or do not see it: names, and contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Roles of what one can operate, and of what one must be able to find.
NAMED_ROLES = {
    *("button", "checkbox", "combobox", "dialog", "img", "link", "listbox", "navigation", "option"),
    *("progressbar", "region", "searchbox", "switch", "tab", "tabpanel", "textbox", "treegrid"),
}

#: Each text that is seen, its colour, and the background colours below it, from the top.
_TEXTS = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || parent.closest("option, :disabled, .hidden")) continue;
    if (!parent.checkVisibility()) continue;
    const style = getComputedStyle(parent), layers = [];
    for (let node = parent; node; node = node.parentElement) {
      layers.push(getComputedStyle(node).backgroundColor);
    }
    found.push([text, parent.closest("svg") ? style.fill : style.color, layers]);
  }
  return found;
}"""


def nameless(page: Page) -> list[str]:
    """Return what the browser's own accessibility tree has no name for."""
    session = page.context.new_cdp_session(page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        node["role"]["value"]
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in NAMED_ROLES
        if not node.get("name", {}).get("value", "").strip()
    ]


def faint(page: Page, least: float = 4.5) -> list[str]:
    """Return the texts in view whose contrast is below *least*, as WCAG 2 computes it."""
    found = []
    for text, colour, layers in page.evaluate(_TEXTS):
        below = (255.0, 255.0, 255.0)
        for layer in reversed(layers):
            below = _over(layer, below)
        light, dark = sorted((_luminance(_over(colour, below)), _luminance(below)), reverse=True)
        contrast = (light + 0.05) / (dark + 0.05)
        if contrast < least:
            found.append(f"{text[:40]!r}: {contrast:.2f} ({colour})")
    return found


Colour = tuple[float, float, float]


def _over(text: str, below: Colour) -> Colour:
    """Return a CSS colour, `rgb(…)`, `rgba(…)` or `color(srgb …)`, laid over another one."""
    function, _, rest = text.partition("(")
    words = rest.rstrip(")").replace(",", " ").replace("/", " ").removeprefix("srgb").split()
    scale = 255 if function == "color" else 1
    red, green, blue = (float(word) * scale for word in words[:3])
    alpha = float(words[3]) if len(words) > 3 else 1.0
    mixed = zip((red, green, blue), below, strict=True)
    first, second, third = (alpha * top + (1 - alpha) * bottom for top, bottom in mixed)
    return first, second, third


def _luminance(colour: Colour) -> float:
    shares = (value / 255 for value in colour)
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

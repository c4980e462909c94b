"""Pages of HTML that need nothing else. They are built of elements, so all text is escaped."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from agent.scenarios.reports import legible

Content = ET.Element | str


def tag(name: str, /, *content: Content, **attributes: object) -> ET.Element:
    """An element; `kind` is its class, and `_` in the name of an attribute is `-`."""
    element = ET.Element(name)
    for key, value in attributes.items():
        element.set("class" if key == "kind" else key.replace("_", "-"), legible(str(value)))
    last: ET.Element | None = None
    for each in content:
        if isinstance(each, ET.Element):
            element.append(each)
            last = each
        elif last is None:
            element.text = (element.text or "") + legible(each)
        else:
            last.tail = (last.tail or "") + legible(each)
    return element


def page(title: str, style: str, *content: Content) -> str:
    """The whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", style),
    )
    whole = tag("html", head, tag("body", *content), lang="en")
    return f"<!doctype html>\n{ET.tostring(whole, encoding='unicode', method='html')}\n"

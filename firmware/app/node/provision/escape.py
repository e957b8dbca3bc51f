"""Text for HTML: what a network is called must not become part of the page."""


def escaped(text):
    """``text`` as bytes that are nothing but text within an element or a quoted attribute."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = text.replace('"', "&quot;").replace("'", "&#39;")
    for letter in text:
        if (letter < " " and letter != "\n") or letter == "\x7f":
            text = text.replace(letter, "?")
    return text.encode()

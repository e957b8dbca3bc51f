"""The page: one form, no script, nothing from elsewhere. It is made in pieces, which need little memory."""

from node.provision.escape import escaped

_TOP = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8">'
    b'<meta name="viewport" content="width=device-width,initial-scale=1">'
    b'<link rel="icon" href="data:,">'
)
_STYLE = (
    b"<title>Cicada</title><style>"
    b":root{color-scheme:light dark;--b:#f3f4f1;--c:#fff;--t:#1c211b;--m:#5d665a;--l:#d5dad1;"
    b"--a:#2f6b3a;--e:#a32222}"
    b"@media(prefers-color-scheme:dark){:root{--b:#151813;--c:#1f241d;--t:#e8ece5;--m:#9aa595;--l:#3a4236;"
    b"--a:#7cc48a;--e:#ff8f8f}}"
    b"*{box-sizing:border-box}body{margin:0;background:var(--b);color:var(--t);"
    b"font:17px/1.5 system-ui,-apple-system,Roboto,sans-serif}"
    b"main{max-width:30rem;margin:0 auto;padding:1.5rem 1rem 3rem}h1{font-size:1.5rem;margin:0 0 .2rem}"
    b"p{margin:.4rem 0 1rem;color:var(--m)}h2{font-size:1rem;margin:1.4rem 0 .4rem}"
    b".n{list-style:none;margin:0;padding:0;background:var(--c);border:1px solid var(--l);"
    b"border-radius:.8rem;overflow:hidden}.n li+li{border-top:1px solid var(--l)}"
    b".n label{display:flex;gap:.7rem;align-items:center;padding:.7rem .9rem;margin:0}"
    b".n span{flex:1;overflow-wrap:anywhere}.n small{color:var(--m);white-space:nowrap}"
    b"label{display:block;margin:.9rem 0 0;font-size:.95rem}"
    b"input:not([type=radio]):not([type=checkbox]),textarea{display:block;width:100%;margin-top:.25rem;"
    b"padding:.65rem .75rem;font:inherit;color:inherit;background:var(--c);border:1px solid var(--l);"
    b"border-radius:.6rem}textarea{font:12px/1.4 monospace;min-height:7rem}"
    b"input[type=radio],input[type=checkbox]{accent-color:var(--a);width:1.15rem;height:1.15rem;"
    b"margin:0 .4rem 0 0;vertical-align:-.15rem}:focus-visible{outline:2px solid var(--a);outline-offset:1px}"
    b"details{margin-top:1.4rem}summary{cursor:pointer;color:var(--a)}"
    b"button,.b{display:block;width:100%;margin-top:1.6rem;padding:.8rem;font:inherit;font-weight:600;text-align:center;"
    b"text-decoration:none;color:#fff;background:#2f6b3a;border:0;border-radius:.6rem}"
    b".q{background:none;color:var(--a);margin-top:.6rem;font-weight:400}"
    b".e{color:var(--e);border:1px solid var(--e);border-radius:.6rem;padding:.7rem .9rem;margin:1rem 0}"
    b"@supports selector(:has(a)){.o{display:none}form:has([value='-']:checked) .o{display:block}}"
    b"</style></head><body><main>"
)
_END = b"</main></body></html>"
_FORM = (
    b'<form method="post" action="/save" autocomplete="off"><input type="hidden" name="token" value="%s">'
    b'<h2>Wi-Fi network</h2><ul class="n">'
)
_NETWORK = (
    b'<li><label><input type="radio" name="net" value="%s"%s><span>%s</span><small>%s</small></label></li>'
)
_OTHER = (
    b'<li><label><input type="radio" name="net" value="-"%s><span>Another one</span></label></li></ul>'
    b'<label class="o">Name of that network<input name="ssid" maxlength="32" value="%s"'
    b' autocapitalize="none"></label>'
    b'<label>Password of the network<input name="key" type="password" maxlength="64"'
    b' autocomplete="new-password"></label>'
)
_MORE = (
    b"<details%s><summary>Name and MQTT broker</summary>"
    b'<label>Name of this device<input name="name" maxlength="32" value="%s"></label>'
    b'<label>Broker<input name="host" maxlength="253" value="%s" placeholder="mqtt.example.org"'
    b' autocapitalize="none" inputmode="url"></label>'
    b'<label>Port<input name="port" maxlength="5" value="%s" placeholder="8883" inputmode="numeric"></label>'
    b'<label><input type="checkbox" name="tls" value="1"%s>Encrypted and verified (TLS)</label>'
    b'<label>Its CA certificate (PEM)<textarea name="ca" maxlength="4096" spellcheck="false"'
    b' placeholder="-----BEGIN CERTIFICATE-----">%s</textarea></label>'
    b'<label>User<input name="user" maxlength="128" value="%s" autocapitalize="none"></label>'
    b'<label>Password<input name="password" type="password" maxlength="256"'
    b' autocomplete="new-password"></label></details>'
)
_BUTTONS = (
    b'<button name="do" value="join">Connect</button>'
    b'<button class="q" name="do" value="scan" formnovalidate>Look for networks again</button>'
    b'<button class="q" name="do" value="alone" formnovalidate>Use it without a network</button></form>'
)


def form(name, token, networks, before, error=None):
    """Pieces of the page with the form.

    Args:
        name: of this access point.
        token: that the form must send back, text of hex digits.
        networks: ``(name, dBm, whether it has a key)``, the best first.
        before: what was sent before, dict of text; never shown: keys and passwords.
        error: sentence about what was wrong with that.
    """
    yield _TOP
    yield _STYLE
    yield b"<h1>Set up " + escaped(name) + b"</h1><p>Choose the network this device is to use.</p>"
    if error:
        yield b'<div class="e" role="alert">' + escaped(error) + b"</div>"
    yield _FORM % token.encode()
    chosen = before.get("net", "")
    for ssid, rssi, closed in networks:
        value = hexed(ssid)
        strength = b"strong" if rssi >= -60 else b"good" if rssi >= -75 else b"weak"
        yield _NETWORK % (
            value.encode(),
            b" checked" if value == chosen else b"",
            escaped(ssid),
            strength if closed else strength + b", open",
        )
    yield _OTHER % (b" checked" if chosen == "-" or not networks else b"", escaped(before.get("ssid", "")))
    more = before.get("host") or before.get("name") or before.get("ca") or before.get("user")
    yield _MORE % (
        b" open" if more else b"",
        escaped(before.get("name", "")),
        escaped(before.get("host", "")),
        escaped(before.get("port", "")),
        b" checked" if not before or before.get("tls") else b"",
        escaped(before.get("ca", "")),
        escaped(before.get("user", "")),
    )
    yield _BUTTONS
    yield _END


def trying(ssid):
    """Pieces of the page while it tries; the browser asks again by itself."""
    yield _TOP
    yield b'<meta http-equiv="refresh" content="3;url=/result">'
    yield _STYLE
    yield b"<h1>Trying " + escaped(ssid) + b"</h1>"
    yield b"<p>This takes up to half a minute. "
    yield b"Your phone may leave this device's network for a moment: join it again.</p>"
    yield _END


def told(title, text, again):
    """Pieces of a page with a result.

    Args:
        title, text: what to say.
        again: whether there is a way back to the form.
    """
    yield _TOP
    yield _STYLE
    yield b"<h1>" + escaped(title) + b"</h1>"
    yield (
        (b'<div class="e" role="alert">' if again else b"<p>")
        + escaped(text)
        + (b"</div>" if again else b"</p>")
    )
    if again:
        yield b'<a class="b" href="/">Change it</a>'
    yield _END


def hexed(ssid):
    """A network's name as the form sends it: browsers would change some characters."""
    return "".join(["%02x" % byte for byte in ssid.encode()])

"""What live_page.sh asks of the live page, in a real browser: live_page.py CHROMEDRIVER-PORT ADMIN-ADDRESS PROFILE FOLDER HOSTILE-NAME. The server is under load."""
import atexit
import json
import sys

from browser import Browser

port, admin, profile, folder, hostile = sys.argv[1:6]
url = f"http://{admin}/"
count = 0


def check(name, good, seen=""):
    global count
    if not good:
        print(f"not ok: {name}: {seen}", file=sys.stderr)
        sys.exit(1)
    count += 1
    print(f"ok browser {count} {name}")


FIGURE = "return Number(document.getElementById('now-' + arguments[0]).textContent.replace(' k', 'e3'))"
ROWS = "return [...document.querySelectorAll('#' + arguments[0] + ' tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
NAMED = ("const row = [...document.querySelectorAll('#edges tbody tr')].find((r) => r.cells[0].textContent === arguments[0]);"
         "return row ? Number(row.cells[3].textContent) : 0")

browser = Browser(port, profile)
atexit.register(browser.close)
browser.size(1280, 900)
browser.open(url)
check("it loads", browser.run("return document.title") == "MEC key server")
browser.wait(FIGURE + " > 0", "requests_per_s")
check("requests are counted", True)
first = browser.wait(NAMED, "edge-1")
browser.wait("const [name, before] = arguments;" + NAMED.replace("arguments[0]", "name").replace("return row ? Number(row.cells[3].textContent) : 0",
             "return row && Number(row.cells[3].textContent) > before"), "edge-1", first)
check("an edge's figures move", True)
browser.wait(NAMED, hostile)
check("an edge named as markup is text", True)
check("and has made no element", browser.run("return [document.scripts.length, document.images.length, document.title]") == [1, 0, "MEC key server"])
browser.wait("return document.querySelectorAll('#charts svg[role=img] path.curve[d]').length === 11")
browser.wait("return [...document.querySelectorAll('#charts figure:nth-child(2) svg[role=img] path.curve')].every((p) => (p.getAttribute('d') || '').length > 60)")
check("curves of percentiles are drawn", True)
labels = browser.run("return [...document.querySelectorAll('#charts svg[role=img]')].map((s) => s.getAttribute('aria-label'))")
check("every picture has its words", len(labels) == 6 and all(": now " in text for text in labels), labels)
check("what expires is there", {row[0] for row in browser.run(ROWS, "expiry")} >= {"own certificate", "authority of edges"})
browser.wait("return document.getElementById('keys').textContent.startsWith('Of 2 stored keys expire: within 30 days 2')")
check("and the stored keys", True)
unnamed = browser.run("return [...document.querySelectorAll('button, a, [role=region], table')].filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label'))).length")
check("controls have names", unnamed == 0)
browser.picture(folder + "/light.png")
check("light is light", browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(251, 251, 250)")
browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
check("dark is dark", browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)")
browser.picture(folder + "/dark.png")
browser.devtools("Emulation.setEmulatedMedia", features=[])
browser.size(390, 844)
check("a phone shows it without scrolling sideways", browser.run("return document.documentElement.scrollWidth <= 390"),
      browser.run("return document.documentElement.scrollWidth"))
browser.picture(folder + "/phone.png")
browser.size(1280, 900)
browser.run("document.getElementById('range-minutes').click()")
check("24 hours", browser.run("return document.getElementById('range-minutes').getAttribute('aria-pressed')") == "true")
check("in words too", "24 hours" in browser.run("return document.querySelector('#charts svg[role=img]').getAttribute('aria-label')"))
browser.run("document.getElementById('range-seconds').click()")
pdf = browser.printed()
with open(folder + "/page.pdf", "wb") as out:
    out.write(pdf)
check("it prints", pdf[:5] == b"%PDF-" and len(pdf) > 10000, len(pdf))

# Full at once: a second look shows the time before it.
browser.open(url)
browser.wait("return (document.querySelector('#charts svg[role=img] path.curve') || {getAttribute: () => ''}).getAttribute('d').length > 60")
check("a page that is opened later shows what was before", True)
asked = [address for address in browser.requests() if not address.startswith(("chrome:", "about:", "data:"))]  # of the browser's own empty page
check("nothing was asked of anybody else", asked and all(address.startswith(url) for address in asked), sorted(set(asked)))
check("all of its files were", {a[len(url):] for a in asked} >= {"", "live.js", "live.css", "live.json", "history.json"}, sorted(set(asked)))
check("the console is empty", browser.console() == [], json.dumps(browser.console()))

# What a page of somebody else's could try is forbidden: markup that comes in by a name is not run even if it were put in.
browser.run("const s = document.createElement('script'); s.textContent = 'document.title = \"broken\"'; document.body.append(s)")
check("no script but the file's runs", browser.run("return document.title") == "MEC key server")

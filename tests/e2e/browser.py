"""A browser for tests: Chromium without a window, by chromedriver and the WebDriver protocol (W3C), with nothing but Python's own library."""
import base64
import json
import time
import urllib.request


class Browser:
    def __init__(self, port, profile):
        self.base = f"http://127.0.0.1:{port}"
        # Whatever is not on this machine is refused by a proxy that is not there.
        args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}",
                "--disable-background-networking", "--disable-component-update", "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = ""
        self.session = "/session/" + self.call("/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + self.session + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=600) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.call("/url", {"url": url})

    def run(self, script, *args):
        """What `script`, the body of a function, returns."""
        return self.call("/execute/sync", {"script": script, "args": list(args)})

    def wait(self, script, *args, looks=6000):
        """Looks until the script's value is true, and returns it."""
        for _ in range(looks):
            value = self.run(script, *args)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"did not come: {script}")

    def size(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def devtools(self, command, **params):
        return self.call("/goog/cdp/execute", {"cmd": command, "params": params})

    def picture(self, path):
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as out:
            out.write(base64.b64decode(shot["data"]))

    def printed(self):
        return base64.b64decode(self.call("/print", {}))

    def console(self):
        return self.call("/se/log", {"type": "browser"})

    def requests(self):
        """The addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.call("/se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def close(self):
        self.call("", method="DELETE")

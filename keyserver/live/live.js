// The live page of the key server. It asks the port that it came from and nobody else. Names come from certificates:
// everything is put in as text (textContent), never as markup.
"use strict";

(() => {
  const PERIOD_MS = 1000; // between questions
  const PATIENCE_MS = 10000; // for an answer
  const HISTORY_MS = 60000; // between questions for the whole history
  const RANGES = {
    seconds: { span: 600000, step: 1000, ticks: 120000 },
    minutes: { span: 86400000, step: 60000, ticks: 14400000 },
  };
  const WIDTH = 480, HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 10, BOTTOM = 22;
  const SVG = "http://www.w3.org/2000/svg";

  const byId = (id) => document.getElementById(id);

  // ---- numbers as text

  function short(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
    if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
    if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
    return value < 0.01 ? value.toPrecision(1) : String(Number(value.toFixed(digits)));
  }

  function time(us) {
    if (us === null || us === undefined) return "–";
    if (us >= 1e6) return `${short(us / 1e6)} s`;
    return us >= 1000 ? `${short(us / 1000)} ms` : `${short(us)} µs`;
  }

  function bytes(value) {
    if (value === null || value === undefined) return "–";
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 1024 && unit + 1 < units.length) {
      value /= 1024;
      unit++;
    }
    return `${short(value)} ${units[unit]}`;
  }

  const percent = (value) => (value === null || value === undefined ? "–" : `${short(value)} %`);

  function span(seconds) {
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const first = Math.max(0, parts.findIndex(([size]) => seconds >= size));
    return parts.slice(first, first + 2)
      .map(([size, unit], i) => `${Math.floor((i === 0 ? seconds : seconds % parts[first][0]) / size)} ${unit}`)
      .join(" ");
  }

  function clock(ms, withSeconds) {
    const options = { hour: "2-digit", minute: "2-digit", hour12: false };
    if (withSeconds) options.second = "2-digit";
    return new Date(ms).toLocaleTimeString([], options);
  }

  // ---- what is shown

  const CHARTS = [
    { title: "Requests a second", format: short, series: [["requests_per_s", "answered"], ["errors_per_s", "with an error"]] },
    { title: "Time of a request", format: time, log: true, series: [["p50_us", "p50"], ["p99_us", "p99"], ["p999_us", "p99.9"]] },
    { title: "Operations in the queue", format: short, series: [["queue", "waiting"]] },
    { title: "Keys found ready", format: percent, top: 100, series: [["memory_percent", "store reads from memory"], ["decoded_percent", "decoded already"]] },
    { title: "Memory of the store", format: bytes, series: [["memory_bytes", "in use"], ["limit_bytes", "limit"]] },
    { title: "Connections", format: short, series: [["connections", "open"]] },
  ];

  const TILES = [
    ["Requests/s", "requests_per_s", short],
    ["Errors/s", "errors_per_s", short],
    ["p50", "p50_us", time],
    ["p99", "p99_us", time],
    ["p99.9", "p999_us", time],
    ["Queue", "queue", short],
    ["From memory", "memory_percent", percent],
    ["Memory", "memory_bytes", bytes],
    ["Limit", "limit_bytes", bytes],
    ["Connections", "connections", short],
  ];

  const WHAT = { server: "own certificate", chain: "its chain", client_ca: "authority of edges", crl: "revocation list" };
  const SOON_DAYS = 30;

  // ---- elements

  function element(parent, name, text, className) {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    if (className) e.className = className;
    parent.append(e);
    return e;
  }

  function drawn(parent, name, attributes, text) {
    const e = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    if (text !== undefined) e.textContent = text;
    parent.append(e);
    return e;
  }

  // ---- the course

  let range = "seconds";
  const history = { seconds: null, minutes: null };

  // Appends what is new. False: there is a hole between what we have and what came, or the clock was set back.
  function append(latest) {
    const have = history.seconds;
    if (have === null || latest.unix_ms.length === 0) return have !== null;
    const last = have.unix_ms.length > 0 ? have.unix_ms[have.unix_ms.length - 1] : 0;
    const end = latest.unix_ms[latest.unix_ms.length - 1];
    if (end < last || (last > 0 && latest.unix_ms[0] > last)) return false;
    const from = latest.unix_ms.findIndex((ms) => ms > last);
    if (from < 0) return true;
    for (const key of Object.keys(have)) {
      have[key].push(...latest[key].slice(from));
      have[key].splice(0, Math.max(0, have[key].length - RANGES.seconds.span / RANGES.seconds.step));
    }
    return true;
  }

  // A round number that is at least `value`: 1, 2 or 5 times a power of ten (of 1024 for bytes, and of two there).
  function round(value, format) {
    if (format === bytes) return 2 ** Math.ceil(Math.log2(Math.max(value, 1024)));
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * (1 - 1e-9));
  }

  // How values become heights: {at(value), marks: [values with a line]}.
  function scaleOf(chart, values) {
    const inner = HEIGHT - TOP - BOTTOM;
    const known = values.filter((v) => v !== null);
    if (chart.log) {
      const positive = known.filter((v) => v > 0);
      const low = Math.floor(Math.log10(Math.min(100, ...positive)));
      const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1000, ...positive))));
      const marks = [];
      for (let p = low; p <= high; p++) marks.push(10 ** p);
      return { marks, at: (v) => TOP + inner * (1 - (Math.log10(Math.max(v, 10 ** low)) - low) / (high - low)) };
    }
    const top = chart.top || round(Math.max(1, ...known), chart.format);
    return { marks: [0, top / 2, top], at: (v) => TOP + inner * (1 - Math.min(v, top) / top) };
  }

  // A curve is interrupted where there is no value, and where no sample came for a while.
  function pathOf(data, values, x, y, step) {
    let path = "", pen = false;
    for (let i = 0; i < values.length; i++) {
      if (values[i] === null) {
        pen = false;
        continue;
      }
      if (i > 0 && data.unix_ms[i] - data.unix_ms[i - 1] > 3 * step) pen = false;
      const point = `${x(data.unix_ms[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`;
      path += pen ? `L${point}` : `M${point}h0.1`;
      pen = true;
    }
    return path;
  }

  function summary(chart, data) {
    const title = `${chart.title}, ${range === "seconds" ? "ten minutes" : "24 hours"}`;
    if (data.unix_ms.length === 0) return `${title}: nothing yet.`;
    const parts = chart.series.map(([key, label]) => {
      const known = data[key].filter((v) => v !== null);
      if (known.length === 0) return `${label}: none`;
      const now = chart.format(data[key][data[key].length - 1]);
      return `${label}: now ${now}, from ${chart.format(Math.min(...known))} to ${chart.format(Math.max(...known))}`;
    });
    return `${title}. ${parts.join("; ")}.`;
  }

  function legend(chart, data, index) {
    chart.labels.forEach((label, i) => {
      const [key, name] = chart.series[i];
      const values = data[key];
      label.textContent = `${name} ${chart.format(index >= 0 && index < values.length ? values[index] : null)}`;
    });
    chart.when.textContent = chart.pointed !== null && index >= 0 ? clock(data.unix_ms[index], true) : "";
  }

  // The sample nearest to where the pointer is; the last one when it is nowhere.
  function indexAt(chart, data, x) {
    if (chart.pointed === null) return data.unix_ms.length - 1;
    let best = -1;
    data.unix_ms.forEach((ms, i) => {
      if (best < 0 || Math.abs(x(ms) - chart.pointed) < Math.abs(x(data.unix_ms[best]) - chart.pointed)) best = i;
    });
    return best;
  }

  function draw(chart) {
    const data = history[range];
    if (data === null) return;
    const { span: width, step, ticks } = RANGES[range];
    const end = data.unix_ms.length > 0 ? data.unix_ms[data.unix_ms.length - 1] : Date.now();
    const x = (ms) => LEFT + (WIDTH - LEFT - RIGHT) * (1 - (end - ms) / width);
    const { at: y, marks } = scaleOf(chart, chart.series.flatMap(([key]) => data[key]));
    chart.svg.replaceChildren();
    chart.svg.setAttribute("aria-label", summary(chart, data));
    for (const mark of marks) {
      drawn(chart.svg, "line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(mark), y2: y(mark) });
      drawn(chart.svg, "text", { class: "axis", x: LEFT - 5, y: y(mark) + 4, "text-anchor": "end" }, chart.format(mark));
    }
    const offset = new Date(end).getTimezoneOffset() * 60000; // marks at full hours of the reader
    for (let ms = Math.ceil((end - width - offset) / ticks) * ticks + offset; ms <= end; ms += ticks) {
      if (x(ms) < LEFT + 12 || x(ms) > WIDTH - RIGHT - 12) continue;
      drawn(chart.svg, "text", { class: "axis", x: x(ms), y: HEIGHT - 6, "text-anchor": "middle" }, clock(ms, false));
    }
    chart.series.forEach(([key], i) => {
      drawn(chart.svg, "path", { class: `curve series-${i + 1}`, d: pathOf(data, data[key], x, y, step) });
    });
    const index = indexAt(chart, data, x);
    if (chart.pointed !== null && index >= 0) {
      const at = x(data.unix_ms[index]);
      drawn(chart.svg, "line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM });
    }
    legend(chart, data, index);
  }

  function makeChart(chart) {
    const figure = element(byId("charts"), "figure");
    element(figure, "figcaption", chart.title);
    chart.svg = drawn(figure, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": chart.title });
    const list = element(figure, "ul", undefined, "legend");
    chart.labels = chart.series.map(([, name], i) => {
      const item = element(list, "li");
      const sample = drawn(item, "svg", { viewBox: "0 0 26 10", "aria-hidden": "true" });
      drawn(sample, "path", { class: `curve series-${i + 1}`, d: "M0 5H26" });
      return element(item, "span", name);
    });
    chart.when = element(list, "li");
    chart.pointed = null;
    chart.svg.addEventListener("pointermove", (event) => {
      const box = chart.svg.getBoundingClientRect();
      chart.pointed = ((event.clientX - box.left) / box.width) * WIDTH;
      draw(chart);
    });
    chart.svg.addEventListener("pointerleave", () => {
      chart.pointed = null;
      draw(chart);
    });
  }

  // ---- figures and tables

  function makeTile(tile) {
    const box = element(byId("now"), "div");
    element(box, "dt", tile[0]);
    tile.value = element(box, "dd", "–");
    tile.value.id = `now-${tile[1]}`;
  }

  function fillTiles(latest) {
    const last = latest.unix_ms.length - 1;
    for (const tile of TILES) tile.value.textContent = last >= 0 ? tile[2](latest[tile[1]][last]) : "–";
  }

  // rows: arrays of texts, the first of which is the row's head; marked: whether it needs looking at.
  function fillTable(id, rows) {
    const body = document.createElement("tbody");
    for (const { cells, marked } of rows) {
      const row = element(body, "tr", undefined, marked ? "soon" : undefined);
      cells.forEach((cell, i) => {
        const e = element(row, i === 0 ? "th" : "td", cell);
        if (i === 0) e.scope = "row";
      });
    }
    byId(id).tBodies[0].replaceWith(body);
  }

  function fillEdges(edges) {
    fillTable("edges", edges.map((e) => ({
      marked: false,
      cells: [e.others ? "all others" : e.edge, short(e.requests_per_s), short(e.errors_per_s), e.requests, e.errors, e.in_flight, e.connections],
    })));
  }

  function fillExpiry(expiry) {
    fillTable("expiry", expiry.items.map((item) => ({
      marked: item.days_left < SOON_DAYS,
      cells: [WHAT[item.what] || item.what, item.name, item.not_after.slice(0, 10), item.days_left < 0 ? "expired" : item.days_left],
    })));
    const keys = expiry.keys;
    if (keys === null) {
      byId("keys").textContent = "The certificates of stored keys are being counted.";
      return;
    }
    const within = Object.entries(keys.within_days)
      .sort((a, b) => b[0] - a[0])
      .map(([days, n]) => `within ${days} ${days === "1" ? "day" : "days"} ${n}`);
    byId("keys").textContent =
      `Of ${keys.keys} stored keys expire: ${[...within, `already expired ${keys.expired}`].join(", ")}; ` +
      `without a certificate: ${keys.without_certificate}. Counted ${keys.counted.replace("T", " ").replace("Z", " UTC")}.`;
  }

  function fillAbout(about) {
    byId("about").textContent = `${about.state}, version ${about.version}, up ${span(about.uptime_s)}, ${clock(about.unix_ms, true)}`;
  }

  // ---- asking

  let answered = Date.now(), historyAsked = 0, timer = 0, asking = false;

  async function ask(path) {
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`${path}: HTTP status ${answer.status}`);
    return answer.json();
  }

  async function askHistory() {
    const whole = await ask("/history.json");
    history.seconds = whole.seconds;
    history.minutes = whole.minutes;
    historyAsked = Date.now();
  }

  function tell(trouble) {
    const place = byId("trouble");
    place.hidden = trouble === "";
    if (place.textContent !== trouble) place.textContent = trouble;
  }

  async function update() {
    if (asking) return;
    asking = true;
    try {
      const live = await ask("/live.json");
      if (!append(live.seconds) || Date.now() - historyAsked >= HISTORY_MS) await askHistory();
      fillAbout(live.about);
      fillTiles(live.seconds);
      CHARTS.forEach(draw);
      fillEdges(live.about.edges);
      fillExpiry(live.about.expiry);
      answered = Date.now();
      tell("");
    } catch (error) {
      tell(`No answer from the server since ${clock(answered, true)}: ${error.message}. Asking again.`);
    } finally {
      asking = false;
    }
  }

  function show(which) {
    range = which;
    for (const name of Object.keys(RANGES)) byId(`range-${name}`).setAttribute("aria-pressed", String(name === which));
    CHARTS.forEach(draw);
  }

  // A page that nobody sees asks nothing.
  function start() {
    clearInterval(timer);
    if (document.hidden) return;
    timer = setInterval(update, PERIOD_MS);
    update();
  }

  TILES.forEach(makeTile);
  CHARTS.forEach(makeChart);
  for (const name of Object.keys(RANGES)) byId(`range-${name}`).addEventListener("click", () => show(name));
  document.addEventListener("visibilitychange", start);
  start();
})();

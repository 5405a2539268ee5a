// Charts, drawn as SVG by hand: what there is to see is little, and has to be right at any size.

import {el, fill, setText, svg} from "./dom.js";
import {clock, count, latency, rate, roundUp, short} from "./format.js";
import {WINDOW_MS} from "./live.js";

// Calls `draw(width, height)` whenever the element gets another size.
function onSize(element, draw) {
  const observer = new ResizeObserver(([entry]) => draw(entry.contentRect.width, entry.contentRect.height));
  observer.observe(element);
  return () => observer.disconnect();
}

const HALF_MIN_SHARE = 0.2;
// A chart that was just opened begins with half a minute, and gets longer until it shows all that is kept.
const SPANS = [[30_000, ["30 s", "20 s", "10 s"]], [60_000, ["60 s", "45 s", "30 s", "15 s"]], [120_000, ["2 min", "90 s", "60 s", "30 s"]],
               [WINDOW_MS, ["5 min", "4 min", "3 min", "2 min", "1 min"]]];

// Requests a second. What reached the application is above the line, what the gate answered by itself below it.
export class FlowChart {
  constructor() {
    this.paths = {
      executedArea: svg("path", {class: "area executed"}),
      executed: svg("path", {class: "line executed"}),
      replayedArea: svg("path", {class: "area replayed"}),
      replayed: svg("path", {class: "line replayed"}),
    };
    this.grid = svg("g", {class: "grid"});
    this.gate = svg("line", {class: "gate"});
    this.cursor = svg("line", {class: "cursor", visibility: "hidden"});
    this.image = svg(
      "svg",
      {class: "flow-image", role: "img", "aria-label": "Executions and replays a second over the last five minutes"},
      this.grid, Object.values(this.paths), this.gate, this.cursor);
    this.tip = el("div", {class: "tip", hidden: true});
    this.empty = el("p", {class: "chart-empty"}, "Collecting the first seconds …");
    this.node = el("div", {class: "flow-chart"}, this.image, this.tip, this.empty);
    this.samples = [];
    this.at = Date.now();
    [this.span] = SPANS[0];
    this.node.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.node.addEventListener("pointerleave", () => this.point(null));
    this.dispose = onSize(this.node, (width, height) => {
      this.width = width;
      this.height = height;
      this.draw();
    });
  }

  update(samples, at) {
    this.samples = samples;
    this.at = at;
    this.draw();
  }

  x(at) {
    return this.width - ((this.at - at) / this.span) * this.width;
  }

  draw() {
    if (!this.width || !this.height) return;
    const {width, height, samples} = this;
    this.empty.hidden = samples.length > 1;
    const [span, marks] = SPANS.find(([length]) => !samples.length || this.at - samples[0].at <= length) ?? SPANS.at(-1);
    this.span = span;
    this.image.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const top = 14;
    const bottom = height - 22;
    const up = roundUp(Math.max(1, ...samples.map((sample) => sample.executed)));
    const down = roundUp(Math.max(1, ...samples.map((sample) => sample.replayed)));
    // One scale for both halves, so that they can be compared; the lesser one still gets its share of the height.
    const share = Math.min(1 - HALF_MIN_SHARE, Math.max(HALF_MIN_SHARE, up / (up + down)));
    const zero = Math.round(top + (bottom - top) * share) + 0.5;
    const unit = Math.min((zero - top) / up, (bottom - zero) / down);
    this.zero = zero;
    this.unit = unit;
    for (const name of ["executed", "replayed"]) {
      const sign = name === "executed" ? -1 : 1;
      const points = samples.map((sample) =>
        `${this.x(sample.at).toFixed(1)},${(zero + sign * unit * sample[name]).toFixed(1)}`);
      const line = points.length > 1 ? `M${points.join("L")}` : "";
      this.paths[name].setAttribute("d", line);
      const first = points.length > 1 ? this.x(samples[0].at).toFixed(1) : 0;
      const last = points.length > 1 ? this.x(samples.at(-1).at).toFixed(1) : 0;
      this.paths[`${name}Area`].setAttribute("d", line && `${line}L${last},${zero}L${first},${zero}Z`);
    }
    for (const [name, value] of [["x1", 0], ["x2", width], ["y1", zero], ["y2", zero]]) this.gate.setAttribute(name, value);
    this.drawGrid(up, down, marks);
  }

  drawGrid(up, down, marks) {
    const {width, height, zero, unit} = this;
    const lines = [];
    const level = (y, text) => {
      lines.push(svg("line", {x1: 0, x2: width, y1: y, y2: y}));
      lines.push(svg("text", {x: 0, y: y - 4, class: "level"}, text));
    };
    level(Math.round(zero - unit * up) + 0.5, `${short(up)}/s`);
    if (unit * down > 28) level(Math.round(zero + unit * down) + 0.5, `${short(down)}/s`);
    marks.forEach((text, i) => {
      const x = Math.round((i / marks.length) * width) + 0.5;
      if (i > 0) lines.push(svg("line", {x1: x, x2: x, y1: 14, y2: height - 22, class: "minute"}));
      lines.push(svg("text", {x: i === 0 ? 0 : x, y: height - 6, "text-anchor": i === 0 ? "start" : "middle"}, text));
    });
    lines.push(svg("text", {x: width, y: height - 6, "text-anchor": "end"}, "now"));
    fill(this.grid, lines);
  }

  point(x) {
    let nearest = null;
    if (x !== null) {
      for (const sample of this.samples) {
        if (nearest === null || Math.abs(this.x(sample.at) - x) < Math.abs(this.x(nearest.at) - x)) nearest = sample;
      }
    }
    this.tip.hidden = nearest === null;
    this.cursor.setAttribute("visibility", nearest === null ? "hidden" : "visible");
    if (nearest === null) return;
    const at = this.x(nearest.at);
    for (const [name, value] of [["x1", at], ["x2", at], ["y1", 14], ["y2", this.height - 22]]) {
      this.cursor.setAttribute(name, value);
    }
    fill(this.tip, el("b", {}, clock(nearest.at)), el("span", {class: "executed"}, `${rate(nearest.executed)}/s executed`),
         el("span", {class: "replayed"}, `${rate(nearest.replayed)}/s replayed`));
    this.tip.style.left = `${Math.min(Math.max(at, 70), this.width - 70)}px`;
  }
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// The ends of the server's buckets; one that it leaves out is empty.
const BUCKETS = [
  [MINUTE, "1 min"], [5 * MINUTE, "5 min"], [15 * MINUTE, "15 min"], [HOUR, "1 h"], [6 * HOUR, "6 h"],
  [12 * HOUR, "12 h"], [DAY, "24 h"], [7 * DAY, "7 d"], [30 * DAY, "30 d"], [365 * DAY, "1 y"],
];

// [{label, count}], by time: the usual columns, from the first to the last that holds something, and at least up to a day.
export function expiryColumns(expiring, now) {
  const second = Math.floor(now / 1000) * 1000;
  const counts = new Map(BUCKETS.map(([, label]) => [label, 0]));
  counts.set("later", 0);
  for (const bucket of expiring) {
    const distance = Date.parse(bucket.until) - second;
    const known = BUCKETS.find(([end]) => Math.abs(end - distance) < 1500);
    const label = known ? known[1] : (BUCKETS.find(([end]) => distance < end)?.[1] ?? "later");
    counts.set(label, counts.get(label) + bucket.count);
  }
  const columns = [...counts].map(([label, number]) => ({label, count: number}));
  const last = columns.findLastIndex((column) => column.count > 0);
  return columns.slice(0, Math.max(7, last + 1));
}

// How many records go away in which span of time from now.
export class ExpiryChart {
  constructor() {
    this.node = el("div", {class: "columns", role: "img", "aria-label": "Records by when they expire"});
    this.columns = [];
  }

  update(expiring, now) {
    const columns = expiryColumns(expiring, now);
    if (columns.length !== this.columns.length) {
      this.columns = columns.map(({label}) => {
        const value = el("span", {class: "column-value"});
        const bar = el("span", {class: "column-bar"});
        return {value, bar, node: el("div", {class: "column"}, value, el("span", {class: "column-space"}, bar),
                                     el("span", {class: "column-label"}, label))};
      });
      fill(this.node, this.columns.map((column) => column.node));
    }
    const most = Math.max(1, ...columns.map((column) => column.count));
    columns.forEach((column, i) => {
      const {node, value, bar} = this.columns[i];
      setText(value, column.count > 0 ? short(column.count) : "");
      // What is there is never drawn as nothing.
      bar.style.height = column.count > 0 ? `max(3px, ${((column.count / most) * 100).toFixed(2)}%)` : "0";
      node.title = `${count(column.count)} expire within ${column.label}` + (i > 0 ? `, and after ${columns[i - 1].label}` : "");
      node.classList.toggle("none", column.count === 0);
    });
  }

  dispose() {}
}

const LATENCY_MIN_MS = 0.01;
const LATENCY_DECADES = 6;  // up to 10 s

function latencyShare(ms) {
  const share = (Math.log10(Math.max(ms, LATENCY_MIN_MS)) - Math.log10(LATENCY_MIN_MS)) / LATENCY_DECADES;
  return Math.min(1, Math.max(0, share)) * 100;
}

// Percentiles of replays and executions on one logarithmic scale, 10 µs to 10 s.
export class LatencyChart {
  constructor() {
    this.rows = ["replayed", "executed"].map((name) => {
      const cells = ["p50", "p95", "p99"].map(() => el("td", {}, "–"));
      const range = el("span", {class: `range ${name}`, hidden: true});
      const dots = ["p50", "p95", "p99"].map((quantile) => el("span", {class: `dot ${name} ${quantile}`, hidden: true}));
      return {name, cells, range, dots, row: el("tr", {class: name}, el("th", {scope: "row"}, name), cells),
              strip: el("div", {class: "strip"}, range, dots)};
    });
    const ticks = ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"].map((text, i) => {
      const tick = el("span", {class: "tick"}, text);
      tick.style.left = `${(i / LATENCY_DECADES) * 100}%`;
      return tick;
    });
    this.note = el("p", {class: "note"});
    this.node = el("div", {class: "latency"},
                   el("table", {}, el("thead", {}, el("tr", {}, el("td", {}), ["p50", "p95", "p99"].map((name) =>
                     el("th", {scope: "col"}, name)))), el("tbody", {}, this.rows.map((row) => row.row))),
                   el("div", {class: "strips", "aria-hidden": "true"}, this.rows.map((row) => row.strip),
                      el("div", {class: "ticks"}, ticks)),
                   this.note);
  }

  update(measured) {
    for (const {name, cells, range, dots} of this.rows) {
      const row = measured?.[name] ?? {};
      const values = ["p50", "p95", "p99"].map((quantile) => row[`${quantile}_ms`] ?? row[quantile] ?? NaN);
      const known = values.every(Number.isFinite);
      values.forEach((value, i) => {
        setText(cells[i], latency(value));
        dots[i].hidden = !known;
        dots[i].style.left = `${latencyShare(value)}%`;
      });
      range.hidden = !known;
      range.style.left = `${latencyShare(values[0])}%`;
      range.style.width = `${latencyShare(values[2]) - latencyShare(values[0])}%`;
    }
    const seconds = measured?.window_seconds;
    setText(this.note, seconds ? `Whole requests, of the last ${Math.round(seconds)} s` : "Whole requests");
  }

  dispose() {}
}

// Rows of a name, a bar and a number: {name, title, value, part, href}, where `part` of the value is drawn fainter.
export function barRows(rows, most) {
  return rows.map(({name, title, value, faint, href}) => {
    const bar = el("span", {class: "bar"});
    bar.style.width = `${((value / Math.max(1, most)) * 100).toFixed(2)}%`;
    const rest = el("span", {class: "bar faint"});
    rest.style.width = `${((faint / Math.max(1, most)) * 100).toFixed(2)}%`;
    return el("a", {class: "bar-row", href, title}, el("span", {class: "bar-name"}, name),
              el("span", {class: "bar-space"}, bar, rest), el("span", {class: "bar-value"}, count(value)));
  });
}

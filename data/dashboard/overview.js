// What a team leaves open on a wall: is it working, what does it save, what needs a person.

import {actionButtons} from "./actions.js";
import {barRows, ExpiryChart, FlowChart, LatencyChart} from "./charts.js";
import {el, fill, setClass, setText} from "./dom.js";
import {bytes, clock, count, latency, percent, rate, relative, short, words} from "./format.js";
import {RowCursor} from "./list.js";
import {emptyState, failure, labelChips, loading, panel, refreshTimes, timeAgo} from "./parts.js";
import {recordHref, recordsHref} from "./query.js";

const UNKNOWN_SHOWN = 25;
const TYPES_SHOWN = 7;
const DELIVERIES_SHOWN = 60;
const UNKNOWN_EVERY_MS = 5000;
const FEED_EVERY_MS = 250;

const figure = (label, name, hint) => {
  const value = el("span", {class: "value"}, "–");
  const caption = el("span", {class: "label"}, label);
  return {value, label: caption, node: el("div", {class: `figure ${name}`, title: hint}, value, caption)};
};

function heroOf() {
  const hit = figure("of keyed deliveries were replays", "hit", "replayed / (replayed + executed), since the start");
  const replays = figure("replays a second", "replayed", "retries that were answered from the store, mean of 5 s");
  const executions = figure("executions a second", "executed", "first deliveries that the application answered, mean of 5 s");
  const inFlight = figure("in flight", "", "keys that are being executed now");
  const chart = new FlowChart();
  const node = el("section", {class: "panel hero"},
                  el("div", {class: "hero-figures"}, hit.node, el("div", {class: "hero-row"}, executions.node, replays.node, inFlight.node)),
                  el("div", {class: "hero-chart"}, el("p", {class: "legend"},
                     el("span", {class: "executed"}, "reached the application"),
                     el("span", {class: "replayed"}, "answered at the gate")), chart.node));
  const update = (live) => {
    const {stats, rates} = live;
    const any = Number.isFinite(stats.hit_rate);
    setClass(hit.node, "none", !any);
    setText(hit.label, any ? "of keyed deliveries were replays" : "no keyed delivery was answered yet");
    fill(hit.value, percent(stats.hit_rate), any ? el("small", {}, "%") : "");
    setText(replays.value, rate(rates.recent("replayed")));
    setText(executions.value, rate(rates.recent("executed")));
    setText(inFlight.value, short(stats.records.in_progress));
    chart.update(rates.samples, Date.parse(stats.now));
  };
  return {node, update, dispose: () => chart.dispose()};
}

function recordsPanel() {
  const states = ["completed", "in_progress", "unknown"].map((name) => {
    const value = el("dd", {}, "–");
    const part = el("span", {class: `share ${name}`});
    return {name, value, part, row: el("a", {class: `count ${name}`, href: recordsHref({state: name})},
                                       el("dt", {}, el("i", {}), words(name)), value)};
  });
  const active = el("span", {class: "value"}, "–");
  const expired = el("dd", {}, "–");
  const exact = el("span", {class: "note"});
  const node = panel("Records", {name: "records", aside: exact},
                     el("div", {class: "figure"}, active, el("span", {class: "label"}, "active")),
                     el("div", {class: "shares", "aria-hidden": "true"}, states.map((state) => state.part)),
                     el("dl", {class: "counts"}, states.map((state) => state.row),
                        el("div", {class: "count expired", title: "not yet removed by a cleanup"}, el("dt", {}, el("i", {}), "expired"), expired)));
  return {node, update({stats: {records, exact: isExact}}) {
    setText(active, short(records.active));
    setText(expired, count(records.expired));
    setText(exact, isExact ? "" : "still counting");
    for (const {name, value, part} of states) {
      setText(value, count(records[name]));
      part.style.flexGrow = String(records[name]);
      part.hidden = records[name] === 0;
    }
  }};
}

function storePanel() {
  const disk = el("span", {class: "value"}, "–");
  const rows = ["log", "memory", "free on the disk", "last cleanup", "removed so far"].map((label) => {
    const value = el("dd", {}, "–");
    return {value, node: [el("dt", {}, label), value]};
  });
  const node = panel("Store", {name: "store"}, el("div", {class: "figure"}, disk, el("span", {class: "label"}, "on disk")),
                     el("dl", {class: "facts"}, rows.map((row) => row.node)));
  return {node, update(live) {
    const {store, cleanup} = live.stats;
    const [value, unit] = bytes(store.disk_bytes).split(" ");
    fill(disk, value, el("small", {}, ` ${unit ?? ""}`));
    const last = cleanup.last_error ? `failed: ${cleanup.last_error}`
                                    : cleanup.last_run_at ? relative(cleanup.last_run_at, live.now()) : "not yet";
    const texts = [bytes(store.wal_bytes), bytes(store.memory_bytes), bytes(store.free_bytes), last, count(cleanup.removed_total)];
    rows.forEach((row, i) => setText(row.value, texts[i]));
    setClass(rows[3].value, "failed", cleanup.last_error);
  }};
}

function expiryPanel() {
  const chart = new ExpiryChart();
  const node = panel("What expires when", {name: "expiry", aside: el("span", {class: "note"}, "records, by time from now")}, chart.node);
  return {node, update: ({stats}) => chart.update(stats.expiring, Date.parse(stats.now))};
}

function latencyPanel() {
  const chart = new LatencyChart();
  return {node: panel("Latency", {name: "latency-panel"}, chart.node), update: ({stats}) => chart.update(stats.latency)};
}

function typesPanel() {
  const list = el("div", {class: "bars"});
  const node = panel("By type", {name: "types", aside: el("span", {class: "note"}, "active records")}, list);
  let shown = "";
  return {node, update({stats}) {
    const text = JSON.stringify(stats.by_type.slice(0, TYPES_SHOWN)) + stats.by_type.length;
    if (text === shown) return;
    shown = text;
    const types = stats.by_type.slice(0, TYPES_SHOWN);
    if (types.length === 0) {
      fill(list, el("p", {class: "quiet"}, "No records yet."));
      return;
    }
    const rest = stats.by_type.length - types.length;
    fill(list, barRows(types.map(({type, active, expired}) => ({
      name: type || "(none)", title: `${type}: ${count(active)} active, ${count(expired)} expired`,
      value: active, faint: expired, href: recordsHref({type})})), Math.max(...types.map((type) => type.active + type.expired))),
         rest > 0 ? el("p", {class: "note"}, `and ${count(rest)} more types`) : null);
  }};
}

function outcomesPanel() {
  const list = el("dl", {class: "facts outcomes"});
  const node = panel("Outcomes", {name: "outcomes-panel", aside: el("span", {class: "note"}, "since the start")}, list);
  let shown = "";
  return {node, update({stats}) {
    const rows = Object.entries(stats.requests ?? {}).filter(([name, total]) => total > 0 || name === "executed" || name === "replayed");
    const text = JSON.stringify(rows);
    if (text === shown) return;
    shown = text;
    rows.sort((a, b) => b[1] - a[1]);
    fill(list, rows.slice(0, 9).map(([name, total]) => [el("dt", {class: `outcome ${name}`}, words(name)), el("dd", {}, count(total))]));
  }};
}

const SHADOWED = {
  would_execute: "executed", would_replay: "replayed", would_wait: "made to wait, then replayed", would_reject_in_flight: "refused, in flight",
  would_reject_mismatch: "refused, key reused", would_reject_unknown: "refused, outcome unknown", would_refuse: "refused, for another reason",
  missing_key: "without a key", invalid_key: "without a usable key", signature_failure: "without a valid signature",
  store_error: "not remembered, for errors of the store",
};

// What would have become of the requests that `--dedupe shadow` let pass.
function shadowPanel() {
  const duplicates = el("span", {class: "value"}, "–");
  const list = el("dl", {class: "facts"});
  const node = panel("Shadow mode", {name: "shadow", aside: el("span", {class: "note"}, "no answer is changed")},
                     el("div", {class: "figure"}, duplicates, el("span", {class: "label"}, "duplicates that would not have been executed")), list);
  node.hidden = true;
  return {node, update({stats}) {
    const counted = Object.entries(stats.shadow ?? {}).filter(([, total]) => total > 0);
    node.hidden = counted.length === 0;
    if (node.hidden) return;
    const {would_replay: replayed = 0, would_wait: waited = 0} = stats.shadow;
    setText(duplicates, short(replayed + waited));
    fill(list, counted.map(([name, total]) => [el("dt", {}, SHADOWED[name] ?? words(name)), el("dd", {}, count(total))]));
  }};
}

function unknownPanel(app) {
  const note = el("a", {class: "note", href: recordsHref({state: "unknown"})});
  const list = el("div", {class: "rows"}, loading());
  const node = panel("Unknown outcomes", {name: "unknown-panel", aside: note}, list);
  const stopped = new AbortController();
  let asked = 0;
  let shown = "";
  const draw = (records) => {
    // The rows stay as they are while nothing changes: somebody may be about to click.
    const text = JSON.stringify(records.map(({id, attempt}) => [id, attempt]));
    if (text === shown) return;
    shown = text;
    if (records.length === 0) {
      fill(list, emptyState("Every outcome is known", "When an attempt was sent and no whole answer came back, it waits here for a person."));
      return;
    }
    fill(list, records.map((record) => el("div", {class: "row unknown-row", data: {href: recordHref(record)}},
      el("div", {class: "row-main"}, el("a", {class: "key", href: recordHref(record)}, record.key),
         el("span", {class: "row-more"}, record.type, " · attempt ", record.attempt, " · ", timeAgo(record.created_at, app.live.now()),
            labelChips(record.labels))),
      el("div", {class: "row-actions"}, actionButtons(app, record, refresh)))));
  };
  const refresh = async () => {
    asked = Date.now();
    try {
      const page = await app.api.get("v1/records", {state: "unknown", limit: String(UNKNOWN_SHOWN)}, stopped.signal);
      app.remember(page.records);
      draw(page.records);
    } catch (error) {
      if (stopped.signal.aborted) return;
      shown = "";
      fill(list, failure(error, refresh));
    }
  };
  let before = null;
  return {node, list, refresh, dispose: () => stopped.abort(), update({stats}) {
    const {unknown} = stats.records;
    setText(note, unknown > 0 ? `${count(unknown)} in all` : "");
    setClass(node, "alarm", unknown > 0);
    if (unknown !== before || Date.now() - asked > UNKNOWN_EVERY_MS) refresh();
    before = unknown;
  }};
}

function feedPanel(app) {
  const note = el("span", {class: "note"});
  const list = el("ol", {class: "feed"});
  const node = panel("Deliveries", {name: "feed-panel", aside: note}, list);
  const line = (delivery) => {
    const key = delivery.key ? el("a", {class: "key", href: recordHref(delivery), title: delivery.key}, delivery.key)
                             : el("span", {class: "faint"}, "no key");
    return el("li", {class: delivery.outcome, title: `${delivery.type ?? ""} from ${delivery.source_ip ?? "?"}`},
              el("time", {}, clock(delivery.at)), el("span", {class: "outcome"}, words(delivery.outcome)), key,
              el("span", {class: "number"}, delivery.status), el("span", {class: "number"}, latency(delivery.duration_ms ?? NaN)));
  };
  const say = () => {
    const {events, dropped} = app.live;
    setText(note, events !== "live" ? "the live feed is not connected" : dropped > 0 ? `${short(dropped)} more were too many to show` : "live");
  };
  const nothing = el("li", {class: "quiet"}, "Deliveries appear here as they are answered.");
  fill(list, app.live.deliveries.slice(0, DELIVERIES_SHOWN).map(line));
  if (list.children.length === 0) list.append(nothing);
  let waiting = [];
  const flush = () => {
    if (waiting.length === 0) return;
    nothing.remove();
    list.prepend(...waiting.slice(-DELIVERIES_SHOWN).reverse().map(line));
    waiting = [];
    while (list.children.length > DELIVERIES_SHOWN) list.lastChild.remove();
  };
  const timer = setInterval(flush, FEED_EVERY_MS);
  const take = (event) => {
    waiting.push(event.detail);
    if (waiting.length > DELIVERIES_SHOWN) waiting.shift();
  };
  app.live.addEventListener("delivery", take);
  for (const name of ["events", "dropped"]) app.live.addEventListener(name, say);
  say();
  return {node, update: say, dispose() {
    clearInterval(timer);
    app.live.removeEventListener("delivery", take);
    for (const name of ["events", "dropped"]) app.live.removeEventListener(name, say);
  }};
}

export function overview(app) {
  const unknown = unknownPanel(app);
  const parts = [heroOf(), recordsPanel(), latencyPanel(), expiryPanel(), storePanel(), unknown, feedPanel(app), shadowPanel(),
                 typesPanel(), outcomesPanel()];
  const node = el("div", {class: "overview waiting"}, parts.map((part) => part.node));
  const update = () => {
    if (app.live.stats === null) return;
    node.classList.remove("waiting");
    for (const part of parts) part.update(app.live);
    refreshTimes(unknown.list, app.live.now());
  };
  app.live.addEventListener("stats", update);
  update();
  const cursor = new RowCursor(() => [...unknown.list.querySelectorAll(".row")], (row) => app.go(row.dataset.href));
  return {
    title: "Overview",
    node,
    key: (event) => cursor.key(event.key),
    dispose() {
      app.live.removeEventListener("stats", update);
      for (const part of parts) part.dispose?.();
    },
  };
}

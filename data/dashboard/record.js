// One key: what was asked, what was answered, and what happened to it.

import {actionButtons, actionsFor, openAction} from "./actions.js";
import {Refusal} from "./api.js";
import {el, fill, icon, setText} from "./dom.js";
import {bytes, count, latency, moment, span, words} from "./format.js";
import {emptyState, failure, labelChips, loading, refreshTimes, shownLabels, stateBadge, timeAgo} from "./parts.js";
import {recordsHref} from "./query.js";

const REFRESH_MS = 3000;
const PRETTY_BYTES_MAX = 256 << 10;
const SHOWN_CHARS_MAX = 64 << 10;
const DELIVERIES_MAX = 100;
const HEX_BYTES_SHOWN = 1024;

function copyButton(text, what) {
  const button = el("button", {type: "button", class: "ghost", title: `Copy ${what}`, "aria-label": `Copy ${what}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
    } catch {
      // Browsers give a clipboard to pages of this machine and of HTTPS only.
      button.classList.add("failed");
    }
  }}, icon("copy"));
  return button;
}

function pretty(text) {
  if (text.length > PRETTY_BYTES_MAX) return null;
  try {
    const value = JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const indented = JSON.stringify(value, null, 2);
    // Numbers beyond what JavaScript holds must not be shown as others: then the text stays as it came.
    const digits = (json) => json.match(/-?\d[\d.eE+-]*/g)?.join() ?? "";
    return digits(indented) === digits(text) ? indented : null;
  } catch {
    return null;
  }
}

function hexDump(raw) {
  const lines = [];
  for (let at = 0; at < Math.min(raw.length, HEX_BYTES_SHOWN); at += 16) {
    const line = [...raw.slice(at, at + 16)].map((char) => char.charCodeAt(0));
    const hex = line.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    const text = line.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex}  ${text}`);
  }
  if (raw.length > HEX_BYTES_SHOWN) lines.push(`… ${count(raw.length - HEX_BYTES_SHOWN)} bytes more`);
  return lines.join("\n");
}

function bodyOf(message, readOnly) {
  const block = (title, text, extra) => el("div", {class: "body"}, el("header", {}, title, extra ?? null), text);
  if (readOnly && message.body === undefined && message.body_base64 === undefined) {
    return block("Body", el("p", {class: "quiet"}, "Not shown to a token that may only read."));
  }
  if (message.body_base64 !== undefined) {
    const raw = atob(message.body_base64);
    return block(`Body, ${bytes(raw.length)}, not text`, el("pre", {}, hexDump(raw)));
  }
  if (message.body === null || message.body === undefined) return block("Body", el("p", {class: "quiet"}, "Not kept."));
  if (message.body === "") return block("Body", el("p", {class: "quiet"}, "Empty."));
  const indented = pretty(message.body);
  let raw = indented === null;
  const show = () => {
    const text = raw ? message.body : indented;
    const cut = text.length > SHOWN_CHARS_MAX;
    setText(pre, cut ? `${text.slice(0, SHOWN_CHARS_MAX)}\n…` : text);
    setText(toggle, raw ? "indented" : "as it came");
  };
  const pre = el("pre", {tabindex: "0"});
  const toggle = el("button", {type: "button", class: "link", hidden: indented === null, onclick: () => {
    raw = !raw;
    show();
  }});
  show();
  return block(`Body, ${bytes(new Blob([message.body]).size)}`, pre, el("span", {}, toggle, copyButton(message.body, "the body")));
}

function headersOf(headers) {
  if (headers.length === 0) return el("p", {class: "quiet"}, "No header fields.");
  return el("table", {class: "headers"}, el("tbody", {}, headers.map(([name, value]) =>
    el("tr", {}, el("th", {scope: "row"}, name), el("td", {}, value)))));
}

function messagePanel(title, line, message, missing, readOnly) {
  return el("section", {class: "panel message"}, el("header", {}, el("h2", {}, title)),
            message === null ? el("p", {class: "quiet"}, missing)
                             : [el("p", {class: "first-line"}, line(message)), headersOf(message.headers), bodyOf(message, readOnly)]);
}

const ACTIONS = {resolved: "settled by an operator", redelivered: "sent again by an operator"};

const distance = (ms) => (ms < 10_000 ? latency(ms) : span(ms));

// What is known of a key's past: what the record keeps, what can be read off its times, and what arrives while one looks.
function timeline(record, seen) {
  const entries = [];
  entries.push({at: Date.parse(record.created_at), text: "first claimed", event: "claimed", attempt: 1});
  for (const {at, by, action, detail} of record.history ?? []) {
    entries.push({at: Date.parse(at), text: ACTIONS[action] ?? words(action), event: action, by, detail});
  }
  if (record.completed_at) {
    entries.push({at: Date.parse(record.completed_at), text: "completed", event: "completed", attempt: record.attempt,
                  status: record.response?.status});
  }
  for (const delivery of seen) {
    entries.push({at: Date.parse(delivery.at), text: words(delivery.outcome), event: delivery.outcome, attempt: delivery.attempt,
                  status: delivery.status, duration_ms: delivery.duration_ms, source_ip: delivery.source_ip, live: true});
  }
  entries.sort((a, b) => a.at - b.at);
  const items = entries.map((entry, i) => el("li", {class: `${entry.event} ${entry.live ? "live" : ""}`},
    el("time", {datetime: new Date(entry.at).toISOString()}, moment(entry.at)),
    el("span", {class: "what"}, el("b", {}, entry.text),
       [entry.attempt ? `attempt ${entry.attempt}` : null, entry.status ? `status ${entry.status}` : null,
        Number.isFinite(entry.duration_ms) ? `in ${latency(entry.duration_ms)}` : null, entry.source_ip ? `from ${entry.source_ip}` : null,
        entry.detail || null, entry.by ? `by ${entry.by}` : null].filter(Boolean).map((text) => el("span", {class: "bit"}, text)),
       i > 0 ? el("span", {class: "gap"}, `${distance(entry.at - entries[i - 1].at)} later`) : null)));
  if (record.expires_at) {
    items.push(el("li", {class: "expiry"}, el("time", {datetime: record.expires_at}, moment(record.expires_at)),
                  el("span", {class: "what"}, el("b", {}, "expires"), el("span", {class: "bit"}, "the next delivery is executed"))));
  } else if (record.state === "unknown") {
    items.push(el("li", {class: "expiry"}, el("time", {}, ""), el("span", {class: "what"}, el("b", {}, "held"),
                  el("span", {class: "bit"}, "until somebody settles it; retries get 409 outcome-unknown"))));
  }
  return items;
}

export function recordView(app, id) {
  const stopped = new AbortController();
  const node = el("div", {class: "record-view"}, loading());
  const seen = app.live.deliveries.filter((delivery) => delivery.key === id.key && delivery.scope === id.scope).slice(0, DELIVERIES_MAX);
  let record = null;
  let shown = "";
  let list = null;

  const fact = (name, ...value) => el("div", {class: "fact"}, el("dt", {}, name), el("dd", {}, value));

  function draw() {
    const text = JSON.stringify(record);
    if (text === shown) return;
    shown = text;
    const now = app.live.now();
    const {request, response} = record;
    list = el("ol", {class: "timeline"}, timeline(record, seen));
    const labels = labelChips(record.labels);
    fill(node,
         el("header", {class: "record-title"},
            el("a", {class: "ghost", href: recordsHref(), title: "All records", "aria-label": "All records"}, icon("back")),
            el("h1", {class: "key"}, record.key, copyButton(record.key, "the key")),
            stateBadge(record.state), el("div", {class: "row-actions"}, app.session.readOnly ? el("span", {class: "note"}, "Your token may only read") : null, actionButtons(app, record, () => load()))),
         record.state === "unknown" ? el("p", {class: "banner-line unknown"},
            "An attempt was sent and no whole answer came back. Retries are refused until somebody says what became of it.") : null,
         el("dl", {class: "panel record-facts"},
            fact("Type", el("a", {href: recordsHref({type: record.type})}, record.type)),
            fact("Scope", el("a", {href: recordsHref({scope: record.scope})}, record.scope)),
            fact("Attempt", count(record.attempt)), fact("Replays", count(record.replays)),
            fact("Created", timeAgo(record.created_at, now)),
            fact("Completed", record.completed_at ? timeAgo(record.completed_at, now) : "not yet"),
            fact("Expires", record.expires_at ? timeAgo(record.expires_at, now) : "never"),
            fact("From", record.source_ip ?? "–"),
            shownLabels(record.labels).length > 0 ? el("div", {class: "fact whole"}, el("dt", {}, "Labels"), el("dd", {class: "chips"}, labels)) : null,
            el("div", {class: "fact whole"}, el("dt", {}, "Fingerprint"), el("dd", {class: "mono"}, record.fingerprint ?? "none")),
            el("div", {class: "fact whole"}, el("dt", {}, "Id"), el("dd", {class: "mono"}, record.id))),
         el("section", {class: "panel timeline-panel"}, el("header", {}, el("h2", {}, "Timeline"),
            el("span", {class: "note"}, "what happened to this key; deliveries appear as they come")), list),
         messagePanel("Request", (message) => [el("b", {}, message.method), ` ${message.target}`], request,
                      "The request was not kept (--store-request-body), so that it cannot be redelivered.", app.session.readOnly),
         messagePanel("Response", (message) => [el("b", {}, message.status), " is what retries get"], response,
                      record.state === "completed" ? "No answer was stored." : "There is no answer yet.", app.session.readOnly));
  }

  async function load({quiet = false} = {}) {
    try {
      record = await app.api.record(id, stopped.signal);
      app.remember([record]);
      draw();
    } catch (error) {
      if (stopped.signal.aborted) return;
      if (error instanceof Refusal && error.status === 404) {
        record = null;
        shown = "";
        fill(node, emptyState("There is no record of this key", "It was released, it has expired, or it never came. The next delivery is executed.",
                              el("p", {}, el("code", {}, id.key), ` in ${id.scope}`),
                              el("a", {class: "button", href: recordsHref()}, "All records")));
      } else if (!quiet || record === null) {
        shown = "";
        fill(node, failure(error, () => load()));
      }
    }
  }

  let refreshAt = null;
  const take = ({detail}) => {
    if (detail.key !== id.key || detail.scope !== id.scope) return;
    seen.unshift(detail);
    seen.length = Math.min(seen.length, DELIVERIES_MAX);
    if (record !== null && list !== null) fill(list, timeline(record, seen));
    // Its counts have changed; a burst asks once.
    refreshAt ??= setTimeout(() => {
      refreshAt = null;
      load({quiet: true});
    }, 300);
  };
  const tick = () => refreshTimes(node, app.live.now());
  app.live.addEventListener("delivery", take);
  app.live.addEventListener("stats", tick);
  const timer = setInterval(() => {
    if (!document.hidden) load({quiet: true});
  }, REFRESH_MS);
  load();

  const actions = {s: "resolve", d: "redeliver", x: "release"};
  return {
    title: id.key,
    node,
    key(event) {
      const name = actions[event.key];
      if (!name || record === null || !actionsFor(record).includes(name)) return false;
      openAction(app, name, record, () => load());
      return true;
    },
    dispose() {
      stopped.abort();
      clearInterval(timer);
      clearTimeout(refreshAt);
      app.live.removeEventListener("delivery", take);
      app.live.removeEventListener("stats", tick);
    },
  };
}

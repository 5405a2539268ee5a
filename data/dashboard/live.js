// What the page knows of the server at this moment, and of the last five minutes.

import {Refusal} from "./api.js";

export const WINDOW_MS = 300_000;
const POLL_MS = 1000;
const POLL_HIDDEN_MS = 5000;
const READY_MS = 5000;
const RETRY_MS_MAX = 10_000;
const HIDDEN_MS_MAX = 30_000;
const UNTIL_WOKEN_MS = 3_600_000;
const DELIVERIES_MAX = 200;

// A second of silence must not look like a second without traffic, so that samples carry their own time.
// {at, executed, replayed, refused}: a second each, of the span that ends at `at`.
export class Rates {
  constructor() {
    this.samples = [];
    this.last = null;
  }

  // Returns the newest sample, or null where there is nothing to compare with.
  add(stats) {
    const at = Date.parse(stats.now);
    const requests = stats.requests ?? {};
    const totals = {executed: requests.executed ?? 0, replayed: requests.replayed ?? 0, refused: refusedOf(requests)};
    const last = this.last;
    this.last = {at, totals, uptime: stats.uptime_seconds};
    const seconds = last === null ? 0 : (at - last.at) / 1000;
    // The process was started anew, or its clock was set: its counters begin again.
    const again = last !== null && (stats.uptime_seconds < last.uptime || totals.executed < last.totals.executed);
    if (seconds <= 0 || again) return null;
    const sample = {at};
    for (const name of Object.keys(totals)) {
      sample[name] = Math.max(0, totals[name] - last.totals[name]) / seconds;
    }
    this.samples.push(sample);
    while (this.samples.length > 0 && this.samples[0].at < at - WINDOW_MS) this.samples.shift();
    return sample;
  }

  // A mean over the last seconds is readable where one second's figure flickers.
  recent(name, seconds = 5) {
    const until = this.last?.at ?? 0;
    const few = this.samples.filter((sample) => sample.at > until - seconds * 1000);
    if (few.length === 0) return NaN;
    return few.reduce((sum, sample) => sum + sample[name], 0) / few.length;
  }
}

const ANSWERED = new Set(["executed", "replayed", "unkeyed", "passed", "unprotected"]);

export function refusedOf(requests) {
  let total = 0;
  for (const [name, count] of Object.entries(requests)) if (!ANSWERED.has(name)) total += count;
  return total;
}

export class Live extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.stats = null;
    this.ready = null;
    this.rates = new Rates();
    this.deliveries = [];  // newest first
    this.dropped = 0;
    this.connection = {state: "connecting", message: "", since: Date.now(), retryAt: 0};
    this.events = "connecting";  // live, connecting, lost
    this.stopped = null;
  }

  start() {
    this.stop();
    this.stopped = new AbortController();
    const {signal} = this.stopped;
    this.loop(signal, () => this.poll(signal), "pollNow");
    this.loop(signal, () => this.askReady(signal));
    this.loop(signal, () => this.follow(signal), "followNow");
  }

  stop() {
    this.stopped?.abort();
    this.stopped = null;
  }

  // A tab that nobody looks at gives its place at the server's events, of which there are few, to others.
  visibilityChanged() {
    clearTimeout(this.leaving);
    if (document.hidden) {
      this.leaving = setTimeout(() => this.following?.abort(), HIDDEN_MS_MAX);
    } else {
      this.pollNow?.();
      if (this.events !== "live") this.followNow?.();
    }
  }

  // The server's clock, as far as it is known.
  now() {
    return this.skew === undefined ? Date.now() : Date.now() + this.skew;
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, {detail}));
  }

  // Runs `step`, which says after how many milliseconds it wants to run again, until the signal.
  async loop(signal, step, wake) {
    while (!signal.aborted) {
      const pause = await step();
      if (signal.aborted) return;
      await new Promise((resolve) => {
        const now = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", now);
          resolve();
        };
        const timer = setTimeout(now, pause);
        signal.addEventListener("abort", now);
        if (wake) this[wake] = now;
      });
    }
  }

  async poll(signal) {
    try {
      const stats = await this.api.get("v1/stats", {}, signal);
      this.stats = stats;
      this.skew = Date.parse(stats.now) - Date.now();
      this.rates.add(stats);
      this.failures = 0;
      this.setConnection("live", "");
      this.tell("stats", stats);
      return document.hidden ? POLL_HIDDEN_MS : POLL_MS;
    } catch (error) {
      if (signal.aborted) return 0;
      this.failures = (this.failures ?? 0) + 1;
      const pause = Math.min(RETRY_MS_MAX, POLL_MS * 2 ** Math.min(Math.floor((this.failures - 1) / 2), 5));
      // A server that answers is not lost, whatever it answers.
      this.setConnection(error instanceof Refusal ? "refused" : "lost", error.message, Date.now() + pause);
      return pause;
    }
  }

  async askReady(signal) {
    try {
      const ready = await this.api.get("readyz", {}, signal);
      this.ready = ready;
      this.tell("ready", ready);
    } catch {
      // The poll says what is wrong.
    }
    return READY_MS;
  }

  async follow(signal) {
    const begun = Date.now();
    let pause = POLL_MS;
    this.following = new AbortController();
    const {signal: left} = this.following;
    try {
      await this.api.follow({
        opened: () => this.setEvents("live"),
        take: (name, data) => this.takeEvent(name, data),
        signal: AbortSignal.any([signal, left]),
      });
      if (Date.now() - begun < POLL_MS) pause = RETRY_MS_MAX;
    } catch (error) {
      if (signal.aborted) return 0;
      pause = error instanceof Refusal ? RETRY_MS_MAX : 2 * POLL_MS;
    }
    this.setEvents("lost");
    return left.aborted && document.hidden ? UNTIL_WOKEN_MS : pause;
  }

  takeEvent(name, data) {
    let value;
    try {
      value = JSON.parse(data);
    } catch {
      return;
    }
    if (name === "dropped") {
      this.dropped = value.dropped;
      this.tell("dropped", value.dropped);
    } else if (name === "request") {
      this.deliveries.unshift(value);
      this.deliveries.length = Math.min(this.deliveries.length, DELIVERIES_MAX);
      this.tell("delivery", value);
    }
  }

  setEvents(state) {
    if (this.events === state) return;
    this.events = state;
    this.tell("events", state);
  }

  setConnection(state, message, retryAt = 0) {
    const changed = state !== this.connection.state;
    this.connection = {state, message, retryAt, since: changed ? Date.now() : this.connection.since};
    this.tell("connection", this.connection);
  }
}

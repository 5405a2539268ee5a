// What the dashboard is tried against: the real server, an application that can be told to fail, senders that retry, and
// a real browser. Everything ends with the test.

import {spawn} from "node:child_process";
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from "node:fs";
import http from "node:http";
import {createRequire} from "node:module";
import {tmpdir} from "node:os";
import path from "node:path";

const START_MS_MAX = 30_000;

export const OPS = "ops-token-of-the-test";
export const WATCH = "watch-token-of-the-test";

function env(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; CTest sets it`);
  return value;
}

export const binary = env("ONCEGATE_BINARY");
export const output = env("ONCEGATE_WEB_OUTPUT");
const {chromium} = createRequire(`${env("ONCEGATE_WEB_MODULES")}/`)("playwright-core");

export function temporaryDirectory() {
  const directory = mkdtempSync(path.join(tmpdir(), "oncegate-web-"));
  return {directory, remove: () => rmSync(directory, {recursive: true, force: true})};
}

// Waits until `ready()` is true. There is no time at which it is, so that it is asked again and again.
export async function until(what, ready, timeoutMs = 10_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await ready();
    if (value) return value;
    if (Date.now() > end) throw new Error(`still not so after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// An application. While `breaks(order)` is true it does its work and breaks off before it answers.
export class Application {
  constructor() {
    this.orders = 0;
    this.breaks = () => false;
    this.answer = (order, number) => ({accepted: order.order?.id ?? null, number});
    this.delayMs = 4;
    this.server = http.createServer((request, response) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => setTimeout(() => this.reply(JSON.parse(Buffer.concat(chunks)), request, response), this.delayMs));
    });
    this.server.keepAliveTimeout = 0;
  }

  reply(order, request, response) {
    ++this.orders;
    if (this.breaks(order)) {
      request.socket.destroy();
      return;
    }
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(this.answer(order, this.orders)));
  }

  async start() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

// `oncegate serve` on free ports, unless `control` names one.
export async function serve(flags, {control = "127.0.0.1:0"} = {}) {
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--control-listen", control, ...flags],
                      {stdio: ["ignore", "pipe", "pipe"]});
  let out = "";
  let err = "";
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  const ended = new Promise((resolve) => child.on("exit", resolve));
  // Without an application there is no gateway.
  const listening = () => /listening control (\S+)\n/.test(out) && (!flags.includes("--upstream") || /listening gateway (\S+)\n/.test(out));
  await until(`serve listens: ${err}`, () => {
    if (child.exitCode !== null) throw new Error(`serve ended: ${err}`);
    return listening();
  }, START_MS_MAX);
  return {
    gateway: /listening gateway (\S+)/.exec(out)?.[1],
    control: /listening control (\S+)/.exec(out)[1],
    reload: () => child.kill("SIGHUP"),
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

export function run(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, {stdio: ["ignore", "pipe", "pipe"]});
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (text += bytes));
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve(text) : reject(new Error(`oncegate ${args[0]}: ${code}: ${text}`))));
  });
}

const agent = new http.Agent({keepAlive: true, maxSockets: 8});

// One delivery; resolves with {status, outcome}.
export function deliver(gateway, key, body, target = "/webhook") {
  return new Promise((resolve, reject) => {
    const headers = {"Content-Type": "application/json", "User-Agent": "Shop-Webhooks/2.1"};
    if (key !== null) headers["Idempotency-Key"] = key;
    const request = http.request(new URL(target, gateway), {method: "POST", agent, headers}, (response) => {
      response.resume();
      response.on("end", () => resolve({status: response.statusCode, outcome: response.headers["oncegate-outcome"]}));
    });
    request.on("error", reject);
    request.end(JSON.stringify(body));
  });
}

const TYPES = ["order.created", "order.paid", "invoice.finalized", "refund.issued"];

// Senders that deliver new events and retry old ones, until they are stopped: about `perSecond` requests a second.
export class Senders {
  constructor(gateway, perSecond) {
    this.gateway = gateway;
    this.perSecond = perSecond;
    this.sent = [];
    this.number = 0;
    this.running = true;
    this.done = this.loop();
  }

  next() {
    // Two retries for each new event, as senders do that hear nothing for a moment.
    if (this.sent.length > 0 && this.number++ % 3 !== 0) return this.sent[(this.number * 7) % this.sent.length];
    const at = this.sent.length;
    const event = {key: `evt_${(0x1f3a000 + at * 7919).toString(36)}`, body: {
      id: at, type: TYPES[(at * at + (at >> 2)) % TYPES.length], order: {id: `A-${1000 + at}`, total: 1250 + ((at * 37) % 9000), currency: "EUR"},
      customer: {name: "A. Lovelace", city: "London"}}};
    this.sent.push(event);
    return event;
  }

  async loop() {
    const begun = Date.now();
    for (let count = 0; this.running; ++count) {
      const wait = begun + (count * 1000) / this.perSecond - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      const {key, body} = this.next();
      await deliver(this.gateway, key, body);
    }
  }

  stop() {
    this.running = false;
    return this.done;
  }
}

export async function openBrowser() {
  return chromium.launch({
    executablePath: env("ONCEGATE_CHROMIUM"),
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none"],
  });
}

export const pictures = path.join(output, "pictures");
mkdirSync(pictures, {recursive: true});

// 10,000 rows as an older system has them.
export function oldRows(file, count) {
  const lines = [];
  const now = Date.now();
  for (let i = 0; i < count; ++i) {
    lines.push(JSON.stringify({key: `old_${String(i).padStart(5, "0")}`, type: `legacy.${i % 2}`, status: 200, body: {row: i},
                               created: new Date(now - 3_600_000 - i * 1000).toISOString(),
                               expires: new Date(now + 600_000 + (i % 40) * 9_000_000).toISOString(), labels: {order_id: `L-${i}`}}));
  }
  writeFileSync(file, `${lines.join("\n")}\n`);
}

// The real oncegate, an application in front of it, and what stands between them when the network fails.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = process.env.ONCEGATE_BINARY;
if (!BINARY) throw new Error('ONCEGATE_BINARY names the oncegate to test against');

export class Oncegate {
  constructor(...flags) {
    this.folder = mkdtempSync(join(tmpdir(), 'oncegate-node-'));
    this.flags = flags;
    this.listen = '127.0.0.1:0';
  }

  async start() {
    const words = ['serve', '--control-listen', this.listen, '--data-dir', join(this.folder, 'store'), '--log-level',
      'error', ...this.flags];
    this.process = spawn(BINARY, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.exit = once(this.process, 'exit');
    for await (const line of createInterface(this.process.stdout)) {
      const said = /^listening control (http:\/\/(\S+))$/.exec(line);
      if (!said) continue;
      this.url = said[1];
      this.listen = said[2]; // the same port when it comes back
      return this;
    }
    throw new Error('oncegate ended at its start');
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    await this.exit;
  }

  async remove() {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  async call(method, path, body) {
    return (await ask(new URL(path, this.url), { method }, body)).json();
  }
}

// A TCP proxy that drops the next `lose` answers of calls whose path ends with `losing`: what was sent arrived, and its
// sender does not hear of it.
export class LossyProxy {
  constructor(target) {
    const { hostname, port } = new URL(target);
    this.lose = 0;
    this.lost = 0;
    this.losing = '';
    this.clients = new Set();
    this.server = net.createServer((client) => {
      this.clients.add(client);
      const server = net.connect(port, hostname);
      let last = '';
      client.on('data', (bytes) => {
        last = /^POST (\S+)/.exec(bytes.toString('latin1'))?.[1] ?? last;
        server.write(bytes);
      });
      server.on('data', (bytes) => {
        if (this.lose > 0 && last.endsWith(this.losing)) {
          this.lose -= 1;
          this.lost += 1;
          client.destroy();
          server.destroy();
        } else {
          client.write(bytes);
        }
      });
      client.on('close', () => server.destroy()).on('error', () => {});
      server.on('close', () => client.destroy()).on('error', () => {});
    });
  }

  async start() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  async stop() {
    this.server.close();
    for (const client of this.clients) client.destroy();
    await once(this.server, 'close');
  }
}

// Serves `app` for as long as `use(url)` takes.
export async function serving(app, use) {
  const server = http.createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await use(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

// One request on a connection of its own. The answer has `broken` instead if the server broke it off.
export function ask(url, { method = 'POST', headers = {}, agent = false, onSent } = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', () => resolve({ broken: true, status: response.statusCode, body: Buffer.concat(pieces) }));
      response.on('end', () => {
        const whole = Buffer.concat(pieces);
        resolve({
          status: response.statusCode,
          headers: response.headers,
          raw: response.rawHeaders,
          body: whole,
          text: whole.toString(),
          outcome: response.headers['oncegate-outcome'],
          json: () => (whole.length === 0 ? undefined : JSON.parse(whole)),
        });
      });
    });
    request.on('error', reject);
    request.end(body);
    if (onSent) onSent(request);
  });
}

// What an answer and its replay have to agree in: fields with their order and repeats, less those of one connection.
export function comparable({ status, raw, body }) {
  const own = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length', 'set-cookie',
    'oncegate-outcome', 'idempotency-replayed']);
  const fields = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (!own.has(raw[i].toLowerCase())) fields.push(`${raw[i]}: ${raw[i + 1]}`);
  }
  return { status, fields, body: body.toString('latin1') };
}

// A promise and what settles it.
export function signal() {
  let set;
  const promise = new Promise((resolve) => (set = resolve));
  promise.set = set;
  return promise;
}

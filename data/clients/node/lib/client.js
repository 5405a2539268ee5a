// oncegate's sidecar API over HTTP: claim a key, do the work, complete it.
'use strict';

const { randomUUID } = require('node:crypto');
const http = require('node:http');
const https = require('node:https');
const { setTimeout: delay } = require('node:timers/promises');

const { toMs } = require('./duration.js');

const ATTEMPTS = 3; // of one call whose connection fails
const RETRY_PAUSE_MS = 50; // before the second attempt; doubled before the next
const POLL_PAUSE_MS = 25; // the server lets a few claims wait; the others ask again
const POLL_PAUSE_MS_MAX = 500;
const SERVER_WAIT_MS_MAX = 60_000;
const SOCKETS_MAX = 64;
const ANSWER_BYTES_MAX = 64 << 20;

// With these the request cannot have reached the server.
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT']);

const REFUSALS = new Set(['in-flight', 'outcome-unknown', 'key-reused', 'invalid-key', 'missing-key']);

/**
 * What went wrong. `code` is oncegate's ('claim-lost', 'store-unavailable', ...) or 'unreachable' if there was no
 * answer; `sent` says whether the server may have acted on the request all the same.
 */
class OncegateError extends Error {
  constructor(message, { code, status, sent = true, held = false, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'OncegateError';
    this.code = code;
    this.status = status;
    this.sent = sent;
    this.held = held;
  }

  /** Whether the same call may succeed later. */
  get retryable() {
    return this.code === 'unreachable' || this.status >= 500;
  }
}

function toProblem(answer) {
  try {
    const problem = JSON.parse(answer.body.toString());
    if (typeof problem.code === 'string') return problem;
  } catch {
    // Not oncegate's: said below.
  }
  return { code: 'bad-answer', detail: `an answer of status ${answer.status} that is not oncegate's` };
}

function toError(answer) {
  const problem = toProblem(answer);
  return new OncegateError(`oncegate: ${problem.code}: ${problem.detail}`, {
    code: problem.code,
    status: answer.status,
    held: answer.headers['oncegate-restored'] === 'hold',
  });
}

// Text where that is what it is and stays shorter than base64.
function bodyMember(body) {
  if (body === null) return { body: null };
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  if (bytes.length === 0) return {};
  const text = bytes.toString('utf8');
  const isText = Buffer.from(text, 'utf8').equals(bytes);
  if (isText && Buffer.byteLength(JSON.stringify(text)) <= bytes.length * 1.33 + 4) return { body: text };
  return { body_base64: bytes.toString('base64') };
}

function toResponse({ status, headers, body, body_base64: base64 }) {
  if (body === null) return { status, headers, body: null };
  return { status, headers, body: base64 === undefined ? Buffer.from(body ?? '') : Buffer.from(base64, 'base64') };
}

class Client {
  #base;
  #agent;
  #transport;
  #headers;
  #timeoutMs;

  constructor({ url = 'http://127.0.0.1:8081', token, timeout = '2s', ca } = {}) {
    this.#base = new URL(url);
    if (!['http:', 'https:'].includes(this.#base.protocol)) throw new TypeError(`oncegate: 'url' is not HTTP: ${url}`);
    this.#transport = this.#base.protocol === 'https:' ? https : http;
    this.#agent = new this.#transport.Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, maxFreeSockets: 8, ca });
    this.#headers = { 'Content-Type': 'application/json' };
    if (token !== undefined) this.#headers.Authorization = `Bearer ${token}`;
    this.#timeoutMs = toMs('timeout', timeout);
  }

  /**
   * Claims a key. Resolves with `outcome`: 'execute' (do the work, then complete), 'replay' (it was done), or the code
   * of a refusal: 'in-flight', 'outcome-unknown', 'key-reused', 'invalid-key'. Rejects if oncegate cannot say.
   */
  async claim({ key, wait = 0, claimId = randomUUID(), ...wish }) {
    const deadline = performance.now() + toMs('wait', wait);
    for (let pause = POLL_PAUSE_MS; ; pause = Math.min(2 * pause, POLL_PAUSE_MS_MAX)) {
      const left = Math.max(0, Math.floor(deadline - performance.now()));
      const claimed = await this.#claimOnce({ ...wish, key, claimId, waitMs: Math.min(left, SERVER_WAIT_MS_MAX) });
      const over = deadline - performance.now();
      if (claimed.outcome !== 'in-flight' || over <= 0) return claimed;
      await delay(Math.min(pause, over));
    }
  }

  async #claimOnce({ key, claimId, waitMs, scope, fingerprint, type, ttl, lease, onLeaseExpiry, labels }) {
    const wish = {
      scope,
      key,
      claim_id: claimId, // a claim whose answer is lost gets its token with the same id
      fingerprint,
      type,
      ttl: ttl === undefined ? undefined : `${toMs('ttl', ttl)}ms`,
      lease: lease === undefined ? undefined : `${toMs('lease', lease)}ms`,
      wait: waitMs > 0 ? `${waitMs}ms` : undefined,
      on_lease_expiry: onLeaseExpiry,
      labels,
    };
    const answer = await this.#call('/v1/claims', wish, { waitMs });
    if (answer.status === 201 || answer.status === 200) {
      const said = JSON.parse(answer.body.toString());
      if (said.outcome === 'replay') return { outcome: 'replay', response: toResponse(said.response) };
      return {
        outcome: 'execute',
        token: said.token,
        attempt: said.attempt,
        leaseExpiresAt: said.lease_expires_at,
        possibleDuplicate: said.possible_duplicate,
      };
    }
    const problem = toProblem(answer);
    if (!REFUSALS.has(problem.code)) throw toError(answer);
    return { outcome: problem.code, problem, retryAfter: answer.headers['retry-after'] };
  }

  /** Stores the outcome. `headers` are [name, value] pairs; `body` null says that it is not kept. */
  async complete(token, { status, headers = [], body = '' }) {
    await this.#expect(204, `/v1/claims/${token}/complete`, { status, headers, ...bodyMember(body) });
  }

  /** Keeps the claim for another lease. */
  async renew(token, lease) {
    const wish = lease === undefined ? {} : { lease: `${toMs('lease', lease)}ms` };
    const answer = await this.#expect(200, `/v1/claims/${token}/renew`, wish);
    return { leaseExpiresAt: JSON.parse(answer.body.toString()).lease_expires_at };
  }

  /** Gives the key back: the next claim executes. */
  async release(token) {
    await this.#expect(204, `/v1/claims/${token}/release`, {}, { repeatedIsLost: true });
  }

  /** Closes idle connections. */
  close() {
    this.#agent.destroy();
  }

  async #expect(status, path, wish, how) {
    const answer = await this.#call(path, wish, { again: true, ...how });
    if (answer.status === status) return answer;
    throw toError(answer);
  }

  // All calls may be repeated: claims by their id, the others by their token. `again`: also when the server answers that
  // it cannot now. `repeatedIsLost`: what an earlier attempt has done already is answered with claim-lost.
  async #call(path, wish, { waitMs = 0, again = false, repeatedIsLost = false } = {}) {
    const body = Buffer.from(JSON.stringify(wish));
    let sent = false;
    for (let attempt = 1; ; ++attempt) {
      try {
        const answer = await this.#send(path, body, this.#timeoutMs + waitMs);
        if (again && answer.status >= 500 && attempt < ATTEMPTS) throw toError(answer);
        if (repeatedIsLost && sent && answer.status === 409) return { ...answer, status: 204 };
        return answer;
      } catch (error) {
        sent ||= error.sent;
        error.sent = sent;
        if (attempt === ATTEMPTS) throw error;
        await delay(RETRY_PAUSE_MS * 2 ** (attempt - 1));
      }
    }
  }

  #send(path, body, timeoutMs) {
    return new Promise((resolve, reject) => {
      const request = this.#transport.request(new URL(path, this.#base), {
        method: 'POST',
        agent: this.#agent,
        headers: { ...this.#headers, 'Content-Length': body.length },
      });
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      const fail = (cause) => {
        clearTimeout(timer);
        request.destroy();
        const message = `oncegate at ${this.#base.origin} cannot be reached: ${cause.message || cause.code}`;
        reject(new OncegateError(message, { code: 'unreachable', sent: !NEVER_SENT.has(cause.code), cause }));
      };
      request.on('error', fail);
      request.on('response', (response) => {
        const pieces = [];
        let bytes = 0;
        response.on('data', (piece) => {
          pieces.push(piece);
          if ((bytes += piece.length) > ANSWER_BYTES_MAX) fail(new Error('the answer is too large'));
        });
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) });
        });
      });
      request.end(body);
    });
  }
}

module.exports = { Client, OncegateError };

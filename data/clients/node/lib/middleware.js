// Express middleware: the first request of a key is executed, its answer stored, and every other one gets that answer.
'use strict';

const { randomUUID } = require('node:crypto');

const { capture } = require('./capture.js');
const { Client } = require('./client.js');
const { toMs } = require('./duration.js');
const { Later } = require('./later.js');
const { keyFromHeaders, checkKey, fingerprintOf, InvalidKey } = require('./request.js');

const KEY_HEADERS = ['X-Idempotency-Key', 'Idempotency-Key'];
// An outcome of 700 KiB fits into the control listener's 1 MiB even as base64.
const BODY_BYTES_MAX = 700 * 1024;
const LEASE_MS_MIN = 1000;
const PATIENCE_MS = 300_000; // for an outcome that could not be stored

const TITLES = {
  'missing-key': [400, false, 'The request carries no idempotency key'],
  'invalid-key': [400, false, 'The idempotency key is malformed'],
  'store-unavailable': [503, true, 'The store cannot answer'],
};

function problemOf(code, detail) {
  const [status, retryable, title] = TITLES[code];
  return { type: `urn:oncegate:error:${code}`, title, status, detail, code, retryable };
}

function oneOf(name, value, values) {
  if (!values.includes(value)) throw new TypeError(`oncegate: '${name}' is one of ${values.join(', ')}: ${value}`);
  return value;
}

const KNOWN = ['url', 'token', 'ca', 'timeout', 'client', 'scope', 'type', 'labels', 'ttl', 'lease', 'maxRun', 'wait',
  'key', 'keyHeader', 'methods', 'fingerprint', 'isFinal', 'onMissingKey', 'onUnavailable', 'onLeaseExpiry', 'busyStatus',
  'maxStoredBody', 'onError'];

function readOptions(given) {
  for (const name of Object.keys(given)) {
    if (!KNOWN.includes(name)) throw new TypeError(`oncegate: there is no option '${name}'`);
  }
  const per = (value) => (typeof value === 'function' ? value : () => value);
  const options = {
    client: given.client ?? new Client({ url: given.url, token: given.token, timeout: given.timeout, ca: given.ca }),
    scope: per(given.scope),
    type: per(given.type),
    labels: per(given.labels),
    ttl: toMs('ttl', given.ttl ?? '24h'),
    lease: toMs('lease', given.lease ?? '60s'),
    maxRun: toMs('maxRun', given.maxRun ?? '10m'),
    wait: toMs('wait', given.wait ?? '5s'),
    key: given.key,
    keyHeaders: [given.keyHeader ?? KEY_HEADERS].flat().map((name) => String(name).toLowerCase()),
    methods: new Set((given.methods ?? ['POST', 'PATCH']).map((method) => method.toUpperCase())),
    fingerprint: given.fingerprint === false ? () => undefined : given.fingerprint ?? fingerprintOf,
    isFinal: given.isFinal ?? ((status) => status >= 200 && status < 300),
    onMissingKey: oneOf('onMissingKey', given.onMissingKey ?? 'pass', ['pass', 'reject']),
    onUnavailable: oneOf('onUnavailable', given.onUnavailable ?? 'closed', ['closed', 'open']),
    onLeaseExpiry: oneOf('onLeaseExpiry', given.onLeaseExpiry ?? 'hold', ['hold', 'rerun']),
    busyStatus: given.busyStatus ?? 409,
    maxStoredBody: given.maxStoredBody ?? BODY_BYTES_MAX,
    onError: given.onError ?? ((error, { scope, key }) => console.error(`${error.message} (${scope} ${key})`)),
  };
  if (options.lease < LEASE_MS_MIN) throw new TypeError(`oncegate: 'lease' is at least 1s: ${given.lease}`);
  if (!Number.isInteger(options.busyStatus) || options.busyStatus < 400 || options.busyStatus > 599)
    throw new TypeError(`oncegate: 'busyStatus' is a status from 400 to 599: ${given.busyStatus}`);
  if (!Number.isInteger(options.maxStoredBody) || options.maxStoredBody < 0 || options.maxStoredBody > BODY_BYTES_MAX)
    throw new TypeError(`oncegate: 'maxStoredBody' is at most ${BODY_BYTES_MAX} bytes: ${given.maxStoredBody}`);
  return options;
}

function refuse(res, problem, { status = problem.status, retryAfter } = {}) {
  const body = JSON.stringify({ ...problem, status });
  res.statusCode = status;
  res.setHeader('Content-Type', 'application/problem+json');
  res.setHeader('Content-Length', Buffer.byteLength(body));
  res.setHeader('Oncegate-Outcome', problem.code);
  if (retryAfter !== undefined) res.setHeader('Retry-After', String(retryAfter));
  res.end(body);
}

// What was stored wins over what others have set for this request; lines of one name stand together.
function replay(res, { status, headers, body }) {
  const values = new Map();
  for (const [name, value] of headers) {
    const known = values.get(name.toLowerCase());
    if (known) known[1].push(value);
    else values.set(name.toLowerCase(), [name, [value]]);
  }
  for (const [lower, [name, list]] of values) {
    res.removeHeader(lower);
    res.setHeader(name, list.length === 1 ? list[0] : list);
  }
  res.statusCode = status;
  res.setHeader('Idempotency-Replayed', 'true');
  res.setHeader('Oncegate-Outcome', 'replayed');
  if (body === null) res.setHeader('Oncegate-Body', 'omitted');
  const hasBody = status !== 204 && status !== 304;
  if (hasBody) res.setHeader('Content-Length', body === null ? 0 : body.length);
  res.end(hasBody && body !== null ? body : undefined);
}

// One request that holds its key, from the claim to the outcome.
class Execution {
  #timer;
  #claim;
  #options;
  #later;
  #report;
  #renewing = false;

  constructor(claim, options, later, report) {
    this.#claim = claim;
    this.#options = options;
    this.#later = later;
    this.#report = report;
  }

  // Renews the lease while the handler runs, but not for ever.
  keepLease(onTooLong) {
    const { lease, maxRun, client } = this.#options;
    const started = performance.now();
    this.#timer = setInterval(async () => {
      if (performance.now() - started >= maxRun) {
        this.stopLease();
        this.#report(new Error(`oncegate: the handler has not answered for ${maxRun} ms; its outcome becomes unknown`));
        return onTooLong();
      }
      if (this.#renewing) return;
      this.#renewing = true;
      try {
        await client.renew(this.#claim.token, lease);
      } catch (error) {
        if (error.code === 'claim-lost') this.stopLease();
        this.#report(error);
      } finally {
        this.#renewing = false;
      }
    }, Math.max(1, Math.floor(Math.min(lease / 3, maxRun))));
    this.#timer.unref();
  }

  stopLease() {
    clearInterval(this.#timer);
  }

  // Never rejects: whatever happens here, the client gets the answer.
  async settle({ status, fields, body, store }, final) {
    const { client } = this.#options;
    const { token } = this.#claim;
    const attempt = store && final
      ? () => client.complete(token, { status, headers: fields, body })
      : () => client.release(token);
    try {
      await attempt();
    } catch (error) {
      this.#report(error);
      if (!error.retryable) return;
      const bytes = body?.length ?? 0;
      if (!this.#later.add(bytes, PATIENCE_MS, attempt, (again) => again.retryable, this.#report))
        this.#report(new Error('oncegate: too many outcomes wait to be stored; this one is given up'));
    } finally {
      this.stopLease();
    }
  }

  // The handler broke off: nobody knows what it did. Retries should hear that soon.
  async breakOff() {
    this.stopLease();
    this.#report(new Error('oncegate: the handler destroyed its answer; the outcome becomes unknown'));
    await this.#options.client.renew(this.#claim.token, LEASE_MS_MIN).catch(this.#report);
  }
}

/**
 * Express middleware that lets every request with an idempotency key take effect once. See README.md for the options.
 */
function idempotency(given = {}) {
  const options = readOptions(given);
  const later = new Later();

  // A claim that got no answer may hold the key although nobody will act on it.
  function giveBack(wish, report) {
    const { client } = options;
    const undo = async () => {
      const claimed = await client.claim({ ...wish, wait: 0 });
      if (claimed.outcome === 'execute') await client.release(claimed.token);
    };
    later.add(0, options.lease, undo, (error) => error.retryable, report);
  }

  function unavailable(error, wish, req, res) {
    const report = reporter(wish);
    report(error);
    // An operator's decision about a restored store is not a failure that could be passed by.
    if (options.onUnavailable === 'open' && !error.held) {
      req.oncegate = { key: wish.key, scope: wish.scope, outcome: 'unprotected', attempt: 1 };
      res.setHeader('Oncegate-Outcome', 'unprotected');
      return true;
    }
    if (error.sent && error.retryable && !error.held) giveBack(wish, report);
    refuse(res, problemOf('store-unavailable', 'oncegate cannot answer; nothing was executed.'), { retryAfter: 5 });
    return false;
  }

  function reporter({ key, scope = 'default' }) {
    return (error) => {
      try {
        options.onError(error, { key, scope });
      } catch (failure) {
        console.error(failure); // an answer must not be lost to a bad logger
      }
    };
  }

  function wishOf(req, key) {
    return {
      key,
      scope: options.scope(req),
      type: options.type(req),
      labels: options.labels(req),
      fingerprint: options.fingerprint(req),
      ttl: options.ttl,
      lease: options.lease,
      wait: options.wait,
      onLeaseExpiry: options.onLeaseExpiry,
      claimId: randomUUID(),
    };
  }

  function execute(claimed, wish, req, res) {
    const report = reporter(wish);
    const execution = new Execution(claimed, options, later, report);
    const isFinal = (status) => {
      try {
        return Boolean(options.isFinal(status, req, res));
      } catch (error) {
        report(error);
        return status >= 200 && status < 300;
      }
    };
    const caught = capture(req, res, {
      bytesMax: options.maxStoredBody,
      settle: (answer) => execution.settle(answer, isFinal(answer.status)),
      broken: () => execution.breakOff(),
    });
    execution.keepLease(() => caught.letGo());
    req.oncegate = {
      key: wish.key,
      scope: wish.scope ?? 'default',
      outcome: 'executed',
      attempt: claimed.attempt,
      possibleDuplicate: claimed.possibleDuplicate,
    };
  }

  // Whether the handler is to run.
  async function admit(req, res) {
    if (!options.methods.has(req.method)) {
      res.setHeader('Oncegate-Outcome', 'passed');
      return true;
    }
    let wish;
    try {
      const key = options.key === undefined ? '' : options.key(req) ?? '';
      wish = wishOf(req, key === '' ? keyFromHeaders(req, options.keyHeaders) : checkKey(key));
    } catch (error) {
      if (!(error instanceof InvalidKey)) throw error;
      refuse(res, problemOf('invalid-key', error.message));
      return false;
    }
    if (wish.key === '') {
      if (options.onMissingKey === 'reject') {
        refuse(res, problemOf('missing-key', 'The request has no idempotency key.'));
        return false;
      }
      res.setHeader('Oncegate-Outcome', 'unkeyed');
      return true;
    }
    let claimed;
    try {
      claimed = await options.client.claim(wish);
    } catch (error) {
      return unavailable(error, wish, req, res);
    }
    if (claimed.outcome === 'execute') {
      execute(claimed, wish, req, res);
      return true;
    }
    if (claimed.outcome === 'replay') {
      replay(res, claimed.response);
      return false;
    }
    const busy = claimed.outcome === 'in-flight' || claimed.outcome === 'outcome-unknown';
    refuse(res, claimed.problem, { status: busy ? options.busyStatus : undefined, retryAfter: claimed.retryAfter });
    return false;
  }

  function middleware(req, res, next) {
    admit(req, res).then((runs) => runs && next(), next);
  }
  middleware.client = options.client;
  return middleware;
}

module.exports = { idempotency };

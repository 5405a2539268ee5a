// Stands between a handler and its answer: the answer is kept, and its end reaches the client when it is stored.
'use strict';

const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te',
  'trailer', 'transfer-encoding', 'upgrade'];
// Of one answer or one client; and the length, which the body tells.
const NOT_KEPT = new Set([...HOP_BY_HOP, 'date', 'set-cookie', 'content-length', 'idempotency-replayed']);

const isOwn = (name) => name.toLowerCase().startsWith('oncegate-');
const hasNoBody = (status) => status === 204 || status === 304 || (status >= 100 && status < 200);

function namesOf(res) {
  return res.getRawHeaderNames ? res.getRawHeaderNames() : res.getHeaderNames();
}

// [[name, value], ...] in order and with repeats, less what is not kept.
function fieldsToKeep(res) {
  const connection = String(res.getHeader('connection') ?? '').toLowerCase().split(/\s*,\s*/);
  const fields = [];
  for (const name of namesOf(res)) {
    const lower = name.toLowerCase();
    if (NOT_KEPT.has(lower) || isOwn(lower) || connection.includes(lower)) continue;
    const value = res.getHeader(name);
    for (const one of Array.isArray(value) ? value : [value]) fields.push([name, String(one)]);
  }
  return fields;
}

// The forms that writeHead takes: an object, [name, value, ...] or [[name, value], ...].
function setFields(res, fields) {
  if (!fields) return;
  let pairs;
  if (!Array.isArray(fields)) {
    pairs = Object.entries(fields);
  } else if (Array.isArray(fields[0])) {
    pairs = fields;
  } else {
    if (fields.length % 2 !== 0) throw new TypeError('oncegate: writeHead got a list of header fields of odd length');
    pairs = Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]);
  }
  const values = new Map();
  for (const [name, value] of pairs) {
    if (!name || value === undefined) continue;
    const known = values.get(name.toLowerCase());
    if (known) known[1].push(...[value].flat());
    else values.set(name.toLowerCase(), [name, [value].flat()]);
  }
  for (const [name, list] of values.values()) res.setHeader(name, list.length === 1 ? list[0] : list);
}

function toBytes(chunk, encoding) {
  if (typeof chunk === 'string') return Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8');
  // A copy: the handler is told at once that it may use its buffer again.
  return Buffer.from(chunk);
}

/**
 * Keeps the answer that is given through `res`. Up to `bytesMax` it is held back as a whole; a larger one flows to the
 * client, without its last piece. When the handler has ended it `settle({status, fields, body, store})` is awaited
 * (`body` null: it was too large; `store` false: the handler said Oncegate-Store: no) and the rest reaches the client.
 * `broken()` is called if the handler destroys the answer instead. The client's going away is not shown to the handler
 * before it has ended, so that what it pipes goes on.
 *
 * Returns { letGo }: from then on the handler sees its client as it is.
 */
function capture(req, res, { bytesMax, settle, broken }) {
  const { socket } = req;
  const real = { write: res.write, end: res.end, writeHead: res.writeHead, flushHeaders: res.flushHeaders,
    emit: res.emit, destroy: res.destroy };
  let head = null; // as it is stored
  let pieces = []; // what was written; null: more than bytesMax, and it flows
  let bytes = 0;
  let held = null; // the last piece of what flows
  let ended = false;
  let through = false; // nothing is caught any more
  let gone = false; // the client is
  let closeEvent = null;

  function takeHead(status) {
    head = {
      status,
      fields: fieldsToKeep(res),
      store: String(res.getHeader('oncegate-store') ?? '').trim().toLowerCase() !== 'no',
    };
    for (const name of namesOf(res)) {
      if (isOwn(name) || name.toLowerCase() === 'idempotency-replayed') res.removeHeader(name);
    }
    res.setHeader('Oncegate-Outcome', 'executed');
  }

  function writeHead(status, reason, fields) {
    if (through || res.headersSent) return real.writeHead.apply(this, arguments);
    if (typeof reason !== 'string') {
      fields = fields ?? reason;
      reason = undefined;
    }
    setFields(res, fields);
    takeHead(Number(status));
    return reason === undefined ? real.writeHead.call(this, status) : real.writeHead.call(this, status, reason);
  }

  // Decides status and fields, which is not the same as sending them. `length`: of the body, if that is all there.
  function fixHead(length) {
    if (res.headersSent) return head ?? takeHead(res.statusCode);
    const sized = length !== undefined && req.method !== 'HEAD' && !hasNoBody(res.statusCode) &&
      !res.hasHeader('content-length') && !res.hasHeader('transfer-encoding');
    if (sized) res.setHeader('Content-Length', length);
    try {
      res.writeHead(res.statusCode); // by its name, so that what others have hung before it runs
    } catch (error) {
      if (sized) res.removeHeader('content-length');
      throw error;
    }
    if (head === null) takeHead(res.statusCode);
  }

  // The client gets what has been held back, but for the last piece. Returns what write() does.
  function flow() {
    const all = pieces;
    pieces = null;
    held = all.pop();
    let ready = true;
    for (const piece of gone ? [] : all) ready = real.write.call(res, piece);
    return ready;
  }

  function write(chunk, encoding, callback) {
    if (through) return real.write.apply(this, arguments);
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (ended) {
      const error = Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' });
      if (callback) process.nextTick(callback, error);
      return false;
    }
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return real.write.apply(this, arguments); // throws
    fixHead();
    const piece = toBytes(chunk, encoding);
    if (callback) process.nextTick(callback);
    if (piece.length === 0) return true;
    bytes += piece.length;
    if (pieces !== null) {
      pieces.push(piece);
      if (bytes <= bytesMax) return true;
      return flow();
    }
    const last = held;
    held = piece;
    return gone || real.write.call(res, last);
  }

  function end(chunk, encoding, callback) {
    if (through) return real.end.apply(this, arguments);
    if (typeof chunk === 'function') [chunk, callback] = [undefined, chunk];
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (ended) {
      if (callback) process.nextTick(callback, null);
      return this;
    }
    if (chunk === null) chunk = undefined;
    if (chunk !== undefined && typeof chunk !== 'string' && !(chunk instanceof Uint8Array))
      return real.end.apply(this, arguments); // throws
    const piece = chunk === undefined ? Buffer.alloc(0) : toBytes(chunk, encoding);
    fixHead(bytes === 0 ? piece.length : undefined);
    ended = true;
    bytes += piece.length;
    if (pieces !== null) pieces.push(piece);
    const whole = pieces === null ? null : Buffer.concat(pieces);
    const empty = hasNoBody(head.status) || req.method === 'HEAD';
    const body = empty ? Buffer.alloc(0) : bytes > bytesMax ? null : whole;
    const rest = whole ?? (held === null ? piece : Buffer.concat([held, piece]));
    settle({ ...head, body }).then(() => finish(rest, callback));
    return this;
  }

  function finish(rest, callback) {
    through = true;
    if (rest.length > 0 && !gone) real.end.call(res, rest, callback);
    else real.end.call(res, callback);
    showClose();
  }

  function setClosed(closed) {
    res.destroyed = closed;
    res._closed = closed;
  }

  function showClose() {
    if (closeEvent === null) return;
    const event = closeEvent;
    closeEvent = null;
    setClosed(true);
    real.emit.apply(res, event);
  }

  // Rather than that the socket was destroyed here.
  function clientLeft() {
    return socket.readableEnded || Boolean(socket.errored);
  }

  function emit(event) {
    if (event !== 'close' || through) return real.emit.apply(this, arguments);
    gone = true;
    closeEvent = arguments;
    // An error after the first byte makes Express destroy the socket.
    if (head !== null && !ended && !clientLeft()) broken();
    // Or else sendFile and pipeline would not begin; 'drain' sets going what waits for the client to read.
    res.socket = null;
    setClosed(false);
    process.nextTick(() => real.emit.call(res, 'drain'));
    return true;
  }

  function destroy() {
    if (!ended && !through) {
      through = true;
      broken();
    }
    return real.destroy.apply(this, arguments);
  }

  function flushHeaders() {
    if (through || pieces === null) return real.flushHeaders.apply(this, arguments);
    fixHead();
  }

  Object.assign(res, { write, end, writeHead, flushHeaders, emit, destroy });
  Object.defineProperty(res, 'writableEnded', { configurable: true, get: () => ended || res.finished });

  return {
    letGo() {
      if (!ended) showClose();
    },
  };
}

module.exports = { capture };

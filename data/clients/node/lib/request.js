// What a request says: its key, and what tells it from another one of the same key.
'use strict';

const { createHash } = require('node:crypto');

const KEY = /^[A-Za-z0-9._:=+/@~-]{1,255}$/;

class InvalidKey extends Error {}

// '' if there is none. The header's value is the key, bare or as "..." (RFC 8941).
function keyFromHeaders(req, names) {
  for (const name of names) {
    const lines = [];
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      if (req.rawHeaders[i].toLowerCase() === name) lines.push(req.rawHeaders[i + 1]);
    }
    if (lines.length > 1) throw new InvalidKey(`The header ${name} is repeated.`);
    let key = (lines[0] ?? '').trim();
    if (key.startsWith('"')) {
      if (key.length < 2 || !key.endsWith('"')) throw new InvalidKey(`${name}: the quotation marks do not match.`);
      key = key.slice(1, -1);
    }
    if (key !== '') return checkKey(key);
  }
  return '';
}

function checkKey(key) {
  if (typeof key !== 'string' || !KEY.test(key))
    throw new InvalidKey('A key is 1 to 255 characters of A-Z a-z 0-9 . _ : = + / @ ~ -');
  return key;
}

// The bytes of the body if somebody kept them, or else what a parser made of them.
function bodyOf(req) {
  const body = req.rawBody ?? req.body;
  if (body === undefined || body === null) return '';
  return typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
}

// Each part with its length before it, so that no two requests read the same.
function fingerprintOf(req) {
  const hash = createHash('sha256');
  for (const part of [req.method, req.originalUrl ?? req.url, bodyOf(req)])
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest('hex');
}

module.exports = { keyFromHeaders, checkKey, fingerprintOf, InvalidKey };

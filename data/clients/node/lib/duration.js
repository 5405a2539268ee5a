'use strict';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

// Milliseconds of '500ms', '30s', '15m', '24h', '7d', or of a number, which is milliseconds already.
function toMs(name, value) {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  const match = typeof value === 'string' && /^(\d{1,12})(ms|s|m|h|d)$/.exec(value);
  if (!match) throw new TypeError(`oncegate: '${name}' is not a duration such as '30s', nor milliseconds: ${value}`);
  return Number(match[1]) * UNITS[match[2]];
}

module.exports = { toMs };

'use strict';

const { Client, OncegateError } = require('./lib/client.js');
const { idempotency } = require('./lib/middleware.js');

module.exports = { idempotency, Client, OncegateError };

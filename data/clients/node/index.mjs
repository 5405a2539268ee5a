import oncegate from './index.js';

export const { idempotency, Client, OncegateError } = oncegate;

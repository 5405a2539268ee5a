// The usual way to do without a proxy: Express, PostgreSQL, a table with a unique key, and a middleware that looks there
// first. One process a core. Durable in PostgreSQL's default way: each transaction is on disk before it is answered.
"use strict";

const cluster = require("node:cluster");
const os = require("node:os");
const express = require("express");
const { Pool } = require("pg");

const [port, host, database] = process.argv.slice(2);
const TTL = "24 hours";
const BODY = "r".repeat(500);

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS idempotency_keys (
    key text PRIMARY KEY,
    state text NOT NULL,
    status integer,
    body text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
  );
  CREATE INDEX IF NOT EXISTS idempotency_keys_expires_at ON idempotency_keys (expires_at)`;

function idempotent(pool) {
  return async (request, response, next) => {
    const key = request.get("Idempotency-Key");
    if (!key) return next();
    try {
      const known = await pool.query({
        name: "look-up",
        text: "SELECT state, status, body FROM idempotency_keys WHERE key = $1 AND expires_at > now()",
        values: [key],
      });
      if (known.rowCount === 1) {
        const { state, status, body } = known.rows[0];
        if (state !== "completed") return response.status(409).send("in flight");
        return response.status(status).set("Idempotency-Replayed", "true").type("json").send(body);
      }
      const claimed = await pool.query({
        name: "claim",
        text: `INSERT INTO idempotency_keys (key, state, expires_at) VALUES ($1, 'in_progress', now() + interval '${TTL}')
               ON CONFLICT (key) DO NOTHING`,
        values: [key],
      });
      if (claimed.rowCount === 0) return response.status(409).send("in flight");
      const send = response.send.bind(response);
      response.send = (body) => {
        pool
          .query({
            name: "complete",
            text: "UPDATE idempotency_keys SET state = 'completed', status = $2, body = $3 WHERE key = $1",
            values: [key, response.statusCode, body],
          })
          .then(() => send(body), next);
        return response;
      };
      next();
    } catch (error) {
      next(error);
    }
  };
}

// The least that can be done for a new key: one statement before the work, one after it.
function claimAndComplete(pool) {
  return async (request, response, next) => {
    try {
      const key = request.get("Idempotency-Key");
      const claimed = await pool.query({
        name: "claim",
        text: `INSERT INTO idempotency_keys (key, state, expires_at) VALUES ($1, 'in_progress', now() + interval '${TTL}')
               ON CONFLICT (key) DO NOTHING`,
        values: [key],
      });
      if (claimed.rowCount === 0) return response.status(409).send("in flight");
      await pool.query({
        name: "complete",
        text: "UPDATE idempotency_keys SET state = 'completed', status = $2, body = $3 WHERE key = $1",
        values: [key, 200, BODY],
      });
      response.type("json").send(BODY);
    } catch (error) {
      next(error);
    }
  };
}

async function main() {
  const pool = new Pool({ host, port: 5432, database, user: "postgres", max: 16 });
  if (cluster.isPrimary) {
    await pool.query(SCHEMA);
    await pool.end();
    for (let i = 0; i < os.cpus().length; ++i) cluster.fork();
    return;
  }
  const app = express();
  app.disable("x-powered-by");
  app.use(express.text({ type: "*/*" }));
  app.post("/claim-complete", claimAndComplete(pool));
  app.use(idempotent(pool));
  app.post("/webhook", (request, response) => response.type("json").send(BODY));
  const server = app.listen(Number(port), "127.0.0.1");
  server.keepAliveTimeout = 600_000;
}

main();

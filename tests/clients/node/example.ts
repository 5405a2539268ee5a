// Compiled, never run: the types say what README.md and Express say.
import express from 'express';
import { Client, Claimed, OncegateError, idempotency } from 'oncegate';

const app = express();
app.use(express.json());
app.use(idempotency({ url: 'http://127.0.0.1:8081', ttl: '24h', keyHeader: 'Idempotency-Key', type: 'order' }));
app.use(
  '/payments',
  idempotency({
    scope: (req: express.Request) => `payments-${req.get('X-Tenant')}`,
    labels: (req: express.Request) => ({ order_id: String(req.body.order_id) }),
    isFinal: (status) => status < 500,
    onUnavailable: 'open',
    onError: (error, { key }) => console.error(key, error.code, error.message),
  }),
);
app.post('/orders', (req, res) => {
  res.json({ order: 42 });
});

export async function work(client: Client): Promise<string | undefined> {
  const claimed: Claimed = await client.claim({ key: 'evt_1', lease: '60s', wait: 5000 });
  if (claimed.outcome === 'replay') return claimed.response.body?.toString();
  if (claimed.outcome !== 'execute') throw new OncegateError(claimed.problem.detail);
  await client.complete(claimed.token, { status: 200, headers: [['Content-Type', 'text/plain']], body: 'done' });
  return undefined;
}

// @ts-expect-error: there is no such option
idempotency({ tll: '24h' });

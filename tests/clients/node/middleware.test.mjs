import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { Readable, pipeline } from 'node:stream';
import { after, before, describe, test } from 'node:test';

import express4 from 'express4';
import express5 from 'express5';
import { Client, OncegateError, idempotency } from 'oncegate';

import { LossyProxy, Oncegate, ask, comparable, serving, signal } from './server.mjs';

const gate = new Oncegate();
let keys = 0;
before(() => gate.start());
after(() => gate.remove());

const newKey = () => `key_${++keys}`;
const withKey = (key, more = {}) => ({ headers: { 'Idempotency-Key': key, 'Content-Type': 'text/plain', ...more } });
const record = (key) => gate.call('GET', `/v1/records/default/${key}`);

// An application whose handler counts itself; `url` is the sidecar's unless options say otherwise.
function appOf(express, handler, options = {}, more = () => {}) {
  const app = express();
  app.errors = [];
  app.runs = 0;
  const onError = (error, about) => app.errors.push({ error, about });
  app.use(express.raw({ type: '*/*' }));
  app.use(idempotency({ url: gate.url, wait: 0, onError, ...options }));
  app.post('/', (req, res, next) => {
    app.runs += 1;
    return handler(req, res, next);
  });
  more(app);
  // Express prints what goes wrong; here it is meant to.
  app.set('env', 'test');
  return app;
}

for (const [version, express] of [['Express 4', express4], ['Express 5', express5]]) {
  describe(version, { concurrency: true }, () => {
    const file = () => {
      const path = join(gate.folder, `${version.replace(' ', '-')}.bin`);
      writeFileSync(path, Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251)));
      return path;
    };
    const answers = {
      json: (req, res) => res.status(201).json({ order: 42, name: 'Zoë' }),
      'send of text': (req, res) => res.send('done'),
      'send of bytes': (req, res) => res.type('application/x-thing').send(Buffer.from([0, 255, 128, 13, 10])),
      sendStatus: (req, res) => res.sendStatus(204),
      'end without a body': (req, res) => res.status(202).end(),
      'repeated fields': (req, res) => {
        res.append('X-Many', 'one').append('X-Many', 'two').set('X-Other', 'three').append('Set-Cookie', 'a=b');
        res.links({ next: '/2' }).send('fields');
      },
      'write and end': (req, res) => {
        res.write('one ');
        res.write(Buffer.from('two '));
        res.write('74687265650a', 'hex');
        res.end('four');
      },
      'writeHead with fields': (req, res) => res.writeHead(200, { 'X-A': '1', 'X-B': ['2', '3'] }).end('head'),
      'writeHead with a list': (req, res) => res.writeHead(200, 'Fine', ['X-A', '1', 'X-B', '2', 'X-A', '3']).end('list'),
      pipe: (req, res) => Readable.from([Buffer.from('pi'), Buffer.from('pe'), Buffer.from('d')]).pipe(res),
      pipeline: (req, res) => pipeline(Readable.from(['a', 'b'.repeat(200_000)]), res, () => {}),
      sendFile: (req, res) => res.sendFile(file()),
      redirect: (req, res) => res.redirect(303, '/orders/42'),
    };
    for (const [name, handler] of Object.entries(answers)) {
      test(`${name}: the replay is the answer`, async () => {
        const app = appOf(express, handler, { isFinal: (status) => status < 400 });
        await serving(app, async (url) => {
          const key = newKey();
          const first = await ask(url, withKey(key), 'body');
          const again = await ask(url, withKey(key), 'body');
          assert.equal(first.outcome, 'executed', first.text);
          assert.equal(first.headers['idempotency-replayed'], undefined);
          assert.equal(again.outcome, 'replayed', again.text);
          assert.equal(again.headers['idempotency-replayed'], 'true');
          assert.equal(again.headers['set-cookie'], undefined);
          assert.deepEqual(comparable(again), comparable(first));
          assert.equal(app.runs, 1);
          assert.deepEqual(app.errors, []);
        });
      });
    }

    test('what is not final is executed again', async () => {
      const failures = [
        (req, res) => res.status(500).send('no'),
        (req, res) => res.status(404).json({}),
        () => {
          throw new Error('thrown');
        },
        (req, res, next) => next(new Error('passed on')),
        (req, res) => res.set('Oncegate-Store', 'no').send('not this time'),
      ];
      if (version === 'Express 5') failures.push(() => Promise.reject(new Error('rejected')));
      const app = appOf(express, (req, res, next) => (failures.shift() ?? ((_, out) => out.send('at last')))(req, res, next));
      await serving(app, async (url) => {
        const key = newKey();
        const tries = failures.length;
        for (let i = 0; i < tries; ++i) {
          const failed = await ask(url, withKey(key));
          assert.equal(failed.outcome, 'executed');
          assert.equal(failed.headers['oncegate-store'], undefined);
        }
        assert.equal((await ask(url, withKey(key))).text, 'at last');
        assert.equal((await ask(url, withKey(key))).outcome, 'replayed');
        assert.equal(app.runs, tries + 1);
        assert.deepEqual(app.errors, []);
      });
    });

    test('thirty copies at once: one is executed, the others wait for its answer', async () => {
      const app = appOf(express, (req, res) => setImmediate(() => res.json({ run: app.runs })), { wait: '10s' });
      await serving(app, async (url) => {
        const key = newKey();
        const all = await Promise.all(Array.from({ length: 30 }, () => ask(url, withKey(key), 'x')));
        assert.deepEqual([...new Set(all.map(({ status, text }) => `${status} ${text}`))], ['200 {"run":1}']);
        assert.equal(all.filter(({ outcome }) => outcome === 'executed').length, 1);
        assert.equal(app.runs, 1);
      });
    });

    test('a client that goes away does not cancel what was begun', async () => {
      const ways = {
        json: (res) => res.json({ order: 1 }),
        pipe: (res) => Readable.from([Buffer.alloc(50_000, 'a'), Buffer.alloc(50_000, 'b')]).pipe(res),
        pipeline: (res) => pipeline(Readable.from([Buffer.alloc(50_000, 'a')]), res, () => {}),
        sendFile: (res) => res.sendFile(file()),
        'many writes': (res) => {
          for (let i = 0; i < 30; ++i) res.write(Buffer.alloc(50_000, 'c'));
          res.end();
        },
      };
      for (const [name, way] of Object.entries(ways)) {
        const left = signal();
        const app = appOf(express, (req, res) => left.then(() => way(res)), { wait: '5s' });
        await serving(app, async (url) => {
          const key = newKey();
          const socketClosed = signal();
          const request = ask(url, {
            ...withKey(key),
            onSent: (sent) => {
              const look = () => (app.runs === 1 ? sent.destroy() : setImmediate(look));
              look();
              sent.on('close', () => socketClosed.set());
            },
          });
          await assert.rejects(request);
          await socketClosed;
          // The server has noticed when a later connection's request has been served.
          await ask(url, { method: 'GET' });
          left.set();
          const again = await ask(url, withKey(key));
          assert.equal(again.outcome, 'replayed', `${name}: ${again.text}`);
          assert.equal(app.runs, 1, name);
          assert.deepEqual(app.errors, [], name);
        });
      }
    });

    test('a handler that breaks its answer off leaves an outcome that nobody knows', async () => {
      const ways = {
        destroy: (req, res) => res.destroy(),
        'throw after the first byte': (req, res) => {
          res.write('half');
          throw new Error('thrown');
        },
      };
      await Promise.all(Object.entries(ways).map(async ([name, way]) => {
        const app = appOf(express, way, { wait: '10s' });
        await serving(app, async (url) => {
          const key = newKey();
          await assert.rejects(ask(url, withKey(key)), name);
          const again = await ask(url, withKey(key));
          assert.equal(again.status, 409, name);
          assert.equal(again.outcome, 'outcome-unknown', name);
          assert.equal(again.json().code, 'outcome-unknown');
          assert.equal(app.runs, 1);
          assert.match(app.errors[0].error.message, /destroyed its answer/);
        });
      }));
    });
  });
}

describe('keys', { concurrency: true }, () => {
  const app = () => appOf(express5, (req, res) => res.send('ran'));
  test('requests without a key, and other methods, pass through', async () => {
    const it = app();
    it.get('/', (req, res) => res.send('read'));
    await serving(it, async (url) => {
      assert.equal((await ask(url, withKey('"" '))).outcome, 'unkeyed');
      assert.equal((await ask(url)).outcome, 'unkeyed');
      assert.equal((await ask(url, { ...withKey(newKey()), method: 'GET' })).outcome, 'passed');
      assert.equal(it.runs, 2);
    });
  });

  test('a bad key is refused before anything runs', async () => {
    const it = app();
    await serving(it, async (url) => {
      for (const value of ['a b', '"a', 'ä', 'x'.repeat(256), ['a', 'a'], 'a,b']) {
        const answer = await ask(url, withKey(value));
        assert.equal(answer.status, 400, value);
        assert.equal(answer.json().code, 'invalid-key');
        assert.equal(answer.headers['content-type'], 'application/problem+json');
      }
      assert.equal(it.runs, 0);
    });
  });

  test('"abc" and abc are one key, X-Idempotency-Key comes first', async () => {
    const it = app();
    await serving(it, async (url) => {
      const key = newKey();
      await ask(url, withKey(`"${key}"`));
      assert.equal((await ask(url, withKey('other', { 'X-Idempotency-Key': key }))).outcome, 'replayed');
    });
  });

  test('onMissingKey, keyHeader, key, methods', async () => {
    const options = { onMissingKey: 'reject', keyHeader: 'X-Event', key: (req) => req.query.event, methods: ['post'] };
    const it = appOf(express5, (req, res) => res.send(req.oncegate.key), options);
    await serving(it, async (url) => {
      const missing = await ask(url, withKey(newKey()));
      assert.equal(missing.status, 400);
      assert.equal(missing.json().code, 'missing-key');
      const key = newKey();
      assert.equal((await ask(url, { headers: { 'X-Event': key } })).text, key);
      assert.equal((await ask(`${url}/?event=${key}.2`)).text, `${key}.2`);
      assert.equal((await ask(`${url}/?event=a%20b`)).json().code, 'invalid-key');
    });
  });

  test('the same key with another request is refused', async () => {
    const it = app();
    await serving(it, async (url) => {
      const key = newKey();
      await ask(url, withKey(key), 'one');
      const other = await ask(url, withKey(key), 'two');
      assert.equal(other.status, 422);
      assert.equal(other.json().code, 'key-reused');
      assert.equal((await ask(`${url}/?a=1`, withKey(key), 'one')).status, 422);
      assert.equal((await ask(url, withKey(key), 'one')).outcome, 'replayed');
    });
  });

  test('type, labels, ttl and scope stand in the record', async () => {
    const options = { type: (req) => req.query.type, labels: { shop: 's1' }, ttl: '1h', scope: 'orders' };
    const it = appOf(express5, (req, res) => res.send('ran'), options);
    await serving(it, async (url) => {
      const key = newKey();
      await ask(`${url}/?type=payment`, withKey(key));
      const stored = await gate.call('GET', `/v1/records/orders/${key}`);
      assert.equal(stored.type, 'payment');
      assert.deepEqual(stored.labels, { shop: 's1' });
      assert.equal(Date.parse(stored.expires_at) - Date.parse(stored.completed_at), 3_600_000);
    });
  });
});

describe('large answers', { concurrency: true }, () => {
  test('flow to the first client whole and are remembered without their body', async () => {
    const ways = {
      pipe: (res) => Readable.from(Array.from({ length: 64 }, (_, i) => Buffer.alloc(40_000, i))).pipe(res),
      send: (res) => res.send(Buffer.alloc(2_560_000, 'x')),
    };
    for (const [name, way] of Object.entries(ways)) {
      const app = appOf(express5, (req, res) => way(res.set('X-Kept', 'yes').set('ETag', '"1"')));
      await serving(app, async (url) => {
        const key = newKey();
        const first = await ask(url, withKey(key));
        assert.equal(first.body.length, 2_560_000, name);
        const again = await ask(url, withKey(key));
        assert.equal(again.outcome, 'replayed', name);
        assert.equal(again.headers['oncegate-body'], 'omitted');
        assert.equal(again.headers['content-length'], '0');
        assert.equal(again.headers['x-kept'], 'yes');
        assert.equal(again.headers.etag, undefined);
        assert.equal(app.runs, 1);
      });
    }
  });

  test('their last piece waits until the outcome is stored', async () => {
    const go = signal();
    const app = appOf(express5, async (req, res) => {
      res.set('Content-Length', 120_000);
      res.write(Buffer.alloc(60_000, 'a'));
      res.write(Buffer.alloc(60_000, 'b'));
      await go;
      res.end();
    }, { maxStoredBody: 1000 });
    await serving(app, async (url) => {
      const key = newKey();
      let seen = 0;
      const request = new Promise((resolve) => {
        ask(url, {
          ...withKey(key),
          onSent: (sent) => sent.on('response', (response) => response.on('data', (piece) => {
            if ((seen += piece.length) === 60_000) resolve();
          })),
        });
      });
      await request;
      assert.equal((await record(key)).state, 'in_progress');
      assert.equal(seen, 60_000);
      go.set();
    });
  });

  test('an answer is stored before its client has it', async () => {
    const states = [];
    const client = new Client({ url: gate.url });
    const complete = client.complete.bind(client);
    client.complete = async (...words) => {
      await complete(...words);
      states.push('stored');
    };
    const app = appOf(express5, (req, res) => res.send('x'), { client });
    await serving(app, async (url) => {
      await ask(url, withKey(newKey()));
      states.push('answered');
      assert.deepEqual(states, ['stored', 'answered']);
    });
  });
});

describe('leases', { concurrency: true }, () => {
  test('a lease is renewed while the handler runs, and the others hear in-flight', async () => {
    const go = signal();
    const app = appOf(express5, async (req, res) => res.send(await go), { lease: '1s', busyStatus: 503 });
    await serving(app, async (url) => {
      const key = newKey();
      const first = ask(url, withKey(key));
      while (app.runs === 0) await new Promise(setImmediate);
      // Waits for longer than the lease has.
      const other = await new Client({ url: gate.url }).claim({ key, wait: '1500ms' });
      assert.equal(other.outcome, 'in-flight');
      const busy = await ask(url, withKey(key));
      assert.equal(busy.status, 503);
      assert.deepEqual([busy.json().code, busy.json().status, busy.headers['retry-after']], ['in-flight', 503, '1']);
      go.set('late');
      assert.equal((await first).text, 'late');
      assert.equal((await ask(url, withKey(key))).text, 'late');
      assert.equal(app.runs, 1);
      assert.deepEqual(app.errors, []);
    });
  });

  test('a handler that never ends leaves an outcome that nobody knows; it may still end later', async () => {
    const go = signal();
    let closed = 0;
    const app = appOf(express5, async (req, res) => {
      res.on('close', () => (closed += 1));
      res.send(await go);
    }, { lease: '1s', maxRun: '500ms', wait: '5s' });
    await serving(app, async (url) => {
      const key = newKey();
      const first = ask(url, withKey(key));
      while (app.runs === 0) await new Promise(setImmediate);
      assert.equal((await ask(url, withKey(key))).outcome, 'outcome-unknown');
      assert.match(app.errors[0].error.message, /has not answered for 500 ms/);
      assert.deepEqual(app.errors[0].about, { key, scope: 'default' });
      go.set('at last');
      assert.equal((await first).text, 'at last');
      assert.equal((await ask(url, withKey(key))).outcome, 'replayed');
      assert.equal(app.runs, 1);
    });
  });

  test('a claim that was lost does not take the answer from the client', async () => {
    const go = signal();
    const app = appOf(express5, async (req, res) => res.send(await go));
    await serving(app, async (url) => {
      const key = newKey();
      const first = ask(url, withKey(key));
      while (app.runs === 0) await new Promise(setImmediate);
      await gate.call('DELETE', `/v1/records/default/${key}?force=true`);
      go.set('mine');
      assert.equal((await first).text, 'mine');
      assert.deepEqual(app.errors.map(({ error }) => error.code), ['claim-lost']);
    });
  });

  test('an onError that throws takes nothing from the client', async (context) => {
    const printed = context.mock.method(console, 'error', () => {});
    const onError = () => {
      throw new Error('a bad logger');
    };
    const app = appOf(express5, async (req, res) => {
      await gate.call('DELETE', `/v1/records/default/${req.oncegate.key}?force=true`);
      res.send('mine');
    }, { onError });
    await serving(app, async (url) => assert.equal((await ask(url, withKey(newKey()))).text, 'mine'));
    assert.equal(printed.mock.callCount(), 1);
  });
});

describe('when the network fails', { concurrency: true }, () => {
  test('a call whose answer is lost is made again and does nothing twice', async () => {
    for (const losing of ['/v1/claims', '/complete', '/release']) {
      const proxy = await new LossyProxy(gate.url).start();
      const status = losing === '/release' ? 500 : 200;
      const app = appOf(express5, (req, res) => res.status(status).send('once'), { url: proxy.url });
      await serving(app, async (url) => {
        const key = newKey();
        Object.assign(proxy, { lose: 2, losing });
        const first = await ask(url, withKey(key));
        assert.deepEqual([first.status, first.text], [status, 'once'], losing);
        assert.equal(proxy.lost, 2, losing);
        assert.equal((await ask(url, withKey(key))).outcome, status === 200 ? 'replayed' : 'executed', losing);
        assert.deepEqual(app.errors, [], losing);
      });
      await proxy.stop();
    }
  });

  test('a claim that stays without an answer is refused, and given back', async () => {
    const proxy = await new LossyProxy(gate.url).start();
    const app = appOf(express5, (req, res) => res.send('ran'), { url: proxy.url, wait: '10s' });
    await serving(app, async (url) => {
      const key = newKey();
      Object.assign(proxy, { lose: 3, losing: '/v1/claims' });
      const refused = await ask(url, withKey(key));
      assert.equal(refused.status, 503);
      assert.deepEqual([refused.outcome, refused.headers['retry-after']], ['store-unavailable', '5']);
      assert.equal(app.runs, 0);
      assert.equal(app.errors[0].error.code, 'unreachable');
      const again = await ask(url, withKey(key));
      assert.equal(again.outcome, 'executed', again.text);
    });
    await proxy.stop();
  });

  test('without oncegate nothing runs, or everything, as was chosen', async () => {
    const url = 'http://127.0.0.1:1';
    const closed = appOf(express5, (req, res) => res.send('ran'), { url });
    await serving(closed, async (at) => {
      const refused = await ask(at, withKey(newKey()));
      assert.equal(refused.status, 503);
      assert.deepEqual([refused.json().code, refused.json().retryable], ['store-unavailable', true]);
      assert.equal(closed.runs, 0);
    });
    const open = appOf(express5, (req, res) => res.send(req.oncegate.outcome), { url, onUnavailable: 'open' });
    await serving(open, async (at) => {
      const ran = await ask(at, withKey(newKey()));
      assert.deepEqual([ran.status, ran.text, ran.outcome], [200, 'unprotected', 'unprotected']);
      assert.equal(open.errors[0].error.code, 'unreachable');
    });
  });

  test('an outcome that could not be stored is stored when oncegate is back', async () => {
    const own = await new Oncegate().start();
    const go = signal();
    const app = appOf(express5, async (req, res) => res.send(await go), { url: own.url });
    await serving(app, async (url) => {
      const first = ask(url, withKey('a'));
      while (app.runs === 0) await new Promise(setImmediate);
      await own.stop('SIGKILL');
      go.set('done');
      assert.equal((await first).text, 'done');
      assert.equal(app.errors[0].error.code, 'unreachable');
      await own.start();
      const client = new Client({ url: own.url });
      const claimed = await client.claim({ key: 'a', wait: '20s' });
      assert.equal(claimed.outcome, 'replay');
      assert.equal(claimed.response.body.toString(), 'done');
      client.close();
    });
    await own.remove();
  });

  test('a token is sent, and a wrong one is an error that names itself', async () => {
    const folder = new Oncegate();
    const tokens = join(folder.folder, 'tokens');
    writeFileSync(tokens, 'app:a-good-token\n', { mode: 0o600 });
    const own = await Object.assign(folder, { flags: ['--control-token-file', tokens] }).start();
    const good = new Client({ url: own.url, token: 'a-good-token' });
    assert.equal((await good.claim({ key: 'a' })).outcome, 'execute');
    const bad = new Client({ url: own.url, token: 'a-bad-token' });
    await assert.rejects(bad.claim({ key: 'a' }), (error) =>
      error instanceof OncegateError && error.code === 'unauthorized' && !error.retryable);
    for (const client of [good, bad]) client.close();
    await own.remove();
  });
});

describe('the package', { concurrency: true }, () => {
  test('is one for import and require', () => {
    const required = createRequire(import.meta.url)('oncegate');
    assert.equal(required.idempotency, idempotency);
    assert.equal(required.Client, Client);
  });

  test('refuses options that it does not know or understand', () => {
    const rows = [[{ tll: '24h' }, /no option 'tll'/], [{ ttl: 'a day' }, /'ttl'/], [{ lease: '10ms' }, /'lease'/],
      [{ onUnavailable: 'maybe' }, /'onUnavailable'/], [{ url: 'ftp://x' }, /'url'/], [{ busyStatus: 200 }, /'busyStatus'/],
      [{ maxStoredBody: 1 << 20 }, /'maxStoredBody'/]];
    for (const [options, message] of rows) assert.throws(() => idempotency(options), { name: 'TypeError', message });
  });

  test('serves without Express', async () => {
    const middleware = idempotency({ url: gate.url });
    const app = (req, res) => middleware(req, res, (error) => res.end(error ? 'failed' : 'plain'));
    await serving(app, async (url) => {
      const key = newKey();
      assert.equal((await ask(url, withKey(key))).text, 'plain');
      const again = await ask(url, withKey(key));
      assert.deepEqual([again.outcome, again.text], ['replayed', 'plain']);
    });
  });
});

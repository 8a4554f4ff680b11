// node-redis and ioredis against a server: node node.mjs PORT FOLDER-OF-NODE_MODULES CLUSTER-PORT TLS-PORT PKI-FOLDER
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const port = Number(process.argv[2]);
const clusterPort = Number(process.argv[4]);
const tlsPort = Number(process.argv[5]);
const pki = (name) => readFileSync(`${process.argv[6]}/${name}`);
const load = createRequire(process.argv[3] + '/');
const { createClient, createCluster } = load('redis');
const { BasicClientSideCache } = load('@redis/client');
const Redis = load('ioredis');
const url = `redis://127.0.0.1:${port}`;
setTimeout(() => { console.log('not ok: no answer within 120 s'); process.exit(1); }, 120000).unref();

// What is pushed comes when it comes: polls, never a fixed wait.
async function until(condition, what) {
  const end = Date.now() + 60000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function nodeRedis(options, name) {
  const client = createClient({ url, name: 'edge', ...options });
  client.on('error', (error) => { throw error; });
  await client.connect();
  assert.equal(await client.clientGetName(), 'edge');
  assert.equal(await client.set('node:a', 'wörld', { expiration: { type: 'EX', value: 100000 } }), 'OK');
  assert.equal(await client.get('node:a'), 'wörld');
  assert.equal(await client.get('node:none'), null);
  assert.equal(await client.set('node:a', 'x', { condition: 'NX' }), null);
  assert.deepEqual(await client.mGet(['node:a', 'node:none']), ['wörld', null]);
  await assert.rejects(client.incr('node:a'), /not an integer/);
  const many = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.set(`node:many:${i}`, String(i))));
  assert.ok(many.every((reply) => reply === 'OK'));
  assert.deepEqual(await client.multi().set('node:n', '1').incrBy('node:n', 41).get('node:n').exec(), ['OK', 42, '42']);
  await client.watch('node:n');
  const other = await client.duplicate().connect();
  await other.set('node:n', '0');
  await assert.rejects(client.multi().incr('node:n').exec(), (error) => error.constructor.name === 'WatchError');
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: 'node:many:*', COUNT: 100 })) for (const key of keys) found.add(key);
  assert.equal(found.size, 1000);
  const messages = [];
  await other.subscribe('node:news', (message) => messages.push(message));
  await other.pSubscribe('node:n*', (message, channel) => messages.push(`${channel} ${message}`));
  assert.equal(await client.publish('node:news', 'hello'), 2);
  await until(() => messages.length === 2, 'two messages');
  assert.deepEqual(messages.sort(), ['hello', 'node:news hello']);
  await other.unsubscribe('node:news');
  await other.pUnsubscribe('node:n*');
  await other.close();
  await client.close();
  console.log(`ok node-redis, ${name}`);
}

async function cached() {
  const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 100, evictPolicy: 'LRU' });
  const client = createClient({ url, RESP: 3, clientSideCache: cache });
  client.on('error', (error) => { throw error; });
  await client.connect();
  const other = await createClient({ url }).connect();
  await other.set('node:cached', 'old');
  assert.equal(await client.get('node:cached'), 'old');
  assert.equal(await client.get('node:cached'), 'old');
  assert.equal(cache.stats().hitCount, 1);
  await other.set('node:cached', 'new');
  await until(async () => (await client.get('node:cached')) === 'new', 'the cached value is invalidated');
  await other.flushDb();
  await until(async () => (await client.get('node:cached')) === null, 'FLUSHDB invalidates all');
  await client.close();
  await other.close();
  console.log('ok node-redis, client-side cache');
}

async function nodeCluster(RESP) {
  const cluster = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${clusterPort}` }], RESP });
  cluster.on('error', (error) => { throw error; });
  await cluster.connect();
  await Promise.all(Array.from({ length: 200 }, (_, i) => cluster.set(`cluster:${i}`, String(i))));
  for (let i = 0; i < 200; i += 1) assert.equal(await cluster.get(`cluster:${i}`), String(i));
  assert.deepEqual(await cluster.multi().set('{tag}a', '1').get('{tag}a').exec(), ['OK', '1']);
  const messages = [];
  await cluster.subscribe('news', (message) => messages.push(message));
  await cluster.sSubscribe('shard', (message) => messages.push(message));
  await cluster.publish('news', 'to all');
  await cluster.sPublish('shard', 'to a shard');
  await until(() => messages.length === 2, 'a message to all and one to a shard');
  assert.deepEqual(messages.sort(), ['to a shard', 'to all']);
  await cluster.unsubscribe('news');
  await cluster.sUnsubscribe('shard');
  await cluster.close();
  console.log(`ok node-redis, cluster client, RESP${RESP}`);
}

// Connections that the server closes: the client comes back with its name, database and subscriptions.
async function killed() {
  const options = { url: `${url}/3`, RESP: 3, name: 'victim', socket: { reconnectStrategy: 20 } };
  const ready = { client: 0, subscriber: 0 };
  const client = createClient(options).on('error', () => {}).on('ready', () => { ready.client += 1; });
  const subscriber = client.duplicate().on('error', () => {}).on('ready', () => { ready.subscriber += 1; });
  await client.connect();
  await subscriber.connect();
  const messages = [];
  await subscriber.subscribe('node:back', (message) => messages.push(message));
  const other = await createClient({ url }).connect();
  await client.set('node:third', '3');
  for (const type of ['normal', 'pubsub']) await other.sendCommand(['CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes']);
  await until(() => ready.client === 2 && ready.subscriber === 2, 'both are back');
  assert.equal(await client.clientGetName(), 'victim');
  assert.equal(await client.get('node:third'), '3');
  await until(async () => (await other.publish('node:back', 'hello')) === 1, 'subscribed again');
  await until(() => messages.length >= 1, 'a message after coming back');
  await Promise.all([client.close(), subscriber.close(), other.close()]);
  console.log('ok node-redis, after CLIENT KILL');
}

async function tls() {
  const secrets = { ca: pki('ca.pem'), cert: pki('edge-edge-1.pem'), key: pki('edge-edge-1.key') };
  const client = createClient({ RESP: 3, socket: { host: 'localhost', port: tlsPort, family: 4, tls: true, ...secrets } });
  client.on('error', (error) => { throw error; });
  await client.connect();
  const value = 'x'.repeat(1 << 20);
  await Promise.all(Array.from({ length: 20 }, (_, i) => client.set(`tls:${i}`, value)));
  const values = await Promise.all(Array.from({ length: 20 }, (_, i) => client.get(`tls:${i}`)));
  assert.ok(values.every((found) => found === value));
  const io = new Redis({ port: tlsPort, family: 4, tls: { ...secrets, servername: 'localhost' } });
  assert.equal((await io.get('tls:7')).length, value.length);
  await io.quit();
  await client.close();
  console.log('ok node-redis and ioredis over TLS, pipelines of 20 MiB');
}

async function ioredis() {
  const client = new Redis({ port, db: 4, connectionName: 'edge-io' });
  assert.equal(await client.set('io:a', 'b', 'PX', 100000000, 'NX'), 'OK');
  assert.equal(await client.get('io:a'), 'b');
  assert.deepEqual(await client.getBuffer('io:a'), Buffer.from('b'));
  assert.deepEqual(await client.multi().incr('io:n').get('io:n').exec(), [[null, 1], [null, '1']]);
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i += 1) pipeline.set(`io:many:${i}`, i);
  const replies = await pipeline.exec();
  assert.ok(replies.every(([error, reply]) => error === null && reply === 'OK'));
  const found = new Set();
  for await (const keys of client.scanStream({ match: 'io:many:*', count: 100 })) for (const key of keys) found.add(key);
  assert.equal(found.size, 1000);
  const subscriber = client.duplicate();
  const messages = [];
  subscriber.on('message', (channel, message) => messages.push(`${channel} ${message}`));
  await subscriber.subscribe('io:news');
  await client.publish('io:news', 'hello');
  await until(() => messages.length === 1, 'a message');
  assert.deepEqual(messages, ['io:news hello']);
  await subscriber.quit();
  assert.equal(await client.quit(), 'OK');
  const cluster = new Redis.Cluster([{ host: '127.0.0.1', port: clusterPort }]);
  await Promise.all(Array.from({ length: 200 }, (_, i) => cluster.set(`io:cluster:${i}`, i)));
  assert.equal(await cluster.get('io:cluster:77'), '77');
  cluster.on('message', (channel, message) => messages.push(`${channel} ${message}`));
  await cluster.subscribe('io:all');
  await cluster.publish('io:all', 'hello');
  await until(() => messages.length === 2, 'a message through the cluster');
  await cluster.quit();
  console.log('ok ioredis, and its cluster client');
}

await nodeRedis({}, 'RESP2');
await nodeRedis({ RESP: 3 }, 'RESP3');
await cached();
await nodeCluster(2);
await nodeCluster(3);
await killed();
await tls();
await ioredis();
